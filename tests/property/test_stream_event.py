"""No bytes stop a partition: each record gives exactly one message, and company does not change it."""

from __future__ import annotations

import functools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jobs.stream.handling.handler import Handler
from jobs.stream.message.refusal import Reason
from jobs.stream.record import Message, Record
from scoretrail.digest import canonical_json, of_bytes
from scoretrail.feature.schema import FaultCode
from tests.factory.streamed import SENT_MS, TOPICS, chances, handler

REASONS = {*Reason, *FaultCode}


@functools.cache
def mine() -> Handler:
    return handler(chances())


numbers = st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=3))
times = st.one_of(st.integers(), st.datetimes().map(lambda at: f"{at.isoformat()}Z"), st.text(max_size=3), st.none())
events = st.fixed_dictionaries(
    {"key": st.one_of(st.text(), st.integers(), st.none()), "at": times, "x": numbers},
    optional={"y": numbers, "place": st.sampled_from(["here", "THERE", "x", None, 1]), "n": numbers, "more": numbers},
).map(lambda event: json.dumps(event).encode())
good = st.fixed_dictionaries({"key": st.text(), "at": st.just(0), "x": st.floats(-100, 100, width=32)}).map(
    lambda event: json.dumps(event).encode()
)
values = st.one_of(good, events, st.binary(max_size=40), st.none(), good.map(lambda value: value[:-1]))
names = st.one_of(
    st.sampled_from(["ce_specversion", "ce_id", "content-type", "traceparent", "scoretrail_model_version"]),
    st.text(max_size=5),
)
headers = st.lists(st.tuples(names, st.none() | st.binary(max_size=20) | st.just(b"1.0")), max_size=4).map(tuple)
records = st.builds(
    Record,
    topic=st.sampled_from(["events", "more"]),
    partition=st.integers(0, 2**31 - 1),
    offset=st.integers(0, 2**63 - 1),
    timestamp_ms=st.sampled_from([SENT_MS, -1, 0]),
    key=st.none() | st.binary(max_size=8),
    value=values,
    headers=st.one_of(st.just(()), headers),
)


def scored(message: Message) -> dict[str, Any] | None:
    """Return a prediction's value; None for a dead letter."""
    if message.topic == TOPICS.dead_letters:
        return None
    found: dict[str, Any] = json.loads(message.value or b"")
    return found


@given(st.lists(records, max_size=12))
def test_each_record_gives_one_message_in_order(batch: list[Record]) -> None:
    messages = mine().handle(batch)

    assert len(messages) == len(batch)
    for record, message in zip(batch, messages, strict=True):
        told = scored(message)
        if told is None:
            trail = json.loads(dict(message.headers)["scoretrail-dead-letter"] or b"")
            assert trail["reason"] in REASONS
            assert (message.key, message.value) == (record.key, record.value)
            assert message.headers[: len(record.headers)] == record.headers
        else:
            trail = told["trail"]
            assert canonical_json(told) == message.value
            assert len(message.headers) <= 10
        assert trail["event_sha256"] == of_bytes(record.value or b"")
        assert trail["source"] == {
            "cluster": "c1",
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
        }


@given(st.lists(records, max_size=8), st.randoms(use_true_random=False))
def test_company_and_order_change_nothing(batch: list[Record], random: Any) -> None:
    alone = [mine().handle([record])[0] for record in batch]
    order = list(range(len(batch)))
    random.shuffle(order)

    assert mine().handle(batch) == alone
    assert mine().handle([batch[i] for i in order]) == [alone[i] for i in order]


@given(records)
def test_a_dead_letter_can_be_sent_whatever_the_record(record: Record) -> None:
    message = mine().refuse(record, RuntimeError("x"))

    assert message.topic == TOPICS.dead_letters
    assert all(isinstance(value, bytes | None) for _, value in message.headers)
