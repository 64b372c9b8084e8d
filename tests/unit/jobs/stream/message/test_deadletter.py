from __future__ import annotations

import functools
import json

import pytest

from jobs.stream.message.deadletter import DeadLetters
from jobs.stream.message.identity import EventSource, Topics
from jobs.stream.message.provenance import Provenance
from jobs.stream.message.refusal import MEANING, Reason, Refusal
from jobs.stream.record import OVERHEAD_BYTES, Message, Record
from scoretrail.digest import of_bytes
from scoretrail.model.bundle import Bundle
from tests.factory.streamed import IDENTITY, chances, header

REFUSAL = Refusal(Reason.WRONG_TYPE, "expected float, got str", "x")
HEADERS = (("h", b"\xff\x00"), ("h", None), ("h", b"again"))
EVENT = Record("events", 3, 7, 5, b"\xffkey", b"\xffvalue", HEADERS)


@functools.cache
def bundle() -> Bundle:
    return chances()


def letters(limit: int = 1_000_000) -> DeadLetters:
    topics = Topics(predictions="p", dead_letters="d", max_dead_letter_bytes=limit)
    return DeadLetters(Provenance(bundle(), IDENTITY, "events"), topics)


def wire_bytes(message: Message) -> int:
    return message.size_bytes + OVERHEAD_BYTES


def test_the_events_bytes_are_untouched_and_ours_follow() -> None:
    message = letters().to_message(EVENT, REFUSAL)

    assert (message.topic, message.key, message.value) == ("d", b"\xffkey", b"\xffvalue")
    assert message.headers[:3] == HEADERS
    ours = {name: (value or b"").decode() for name, value in message.headers[3:]}
    trail = json.loads(ours.pop("scoretrail-dead-letter"))
    assert ours == {
        "__connect.errors.topic": "events",
        "__connect.errors.partition": "3",
        "__connect.errors.offset": "7",
        "__connect.errors.connector.name": "parcels",
        "__connect.errors.stage": "VALUE_CONVERTER",
        "__connect.errors.exception.class.name": "scoretrail.wrong_type",
        "__connect.errors.exception.message": "wrong_type: x: expected float, got str",
        "scoretrail-trail": f"outcome=0;role=champion;model=numbers/1.0.0;bundle={bundle().digest[:12]}",
    }
    assert trail == {
        **Provenance(bundle(), IDENTITY, "events").trail(3, 7, 0, of_bytes(b"\xffvalue")),
        "expected": "expected float, got str",
        "field": "x",
        "id": EventSource(IDENTITY, "events").outcome_id(3, 7, 0),
        "reason": "wrong_type",
        "reasons": "wrong_type:x",
    }


def test_null_stays_null_and_has_the_digest_of_no_bytes() -> None:
    message = letters().to_message(Record("events", 0, 0, 0, None, None, ()), Refusal(Reason.NO_VALUE))

    assert (message.key, message.value) == (None, None)
    assert json.loads(header(message, "scoretrail-dead-letter"))["event_sha256"] == of_bytes(b"")
    assert header(message, "__connect.errors.exception.message") == "no_value"


def test_what_failed_later_is_told_apart() -> None:
    message = letters().to_message(EVENT, Refusal(Reason.SCORE_FAILED, "the model failed on a batch"))

    assert header(message, "__connect.errors.stage") == "TRANSFORMATION"


def test_it_is_the_same_for_the_same_event() -> None:
    assert letters().to_message(EVENT, REFUSAL) == letters().to_message(EVENT, REFUSAL)
    assert letters().to_message(EVENT, REFUSAL) != letters().to_message(EVENT, REFUSAL, outcome=1)


def test_a_redriven_letter_keeps_its_headers_and_the_last_ones_count() -> None:
    first = letters().to_message(EVENT, REFUSAL)
    again = letters().to_message(Record("events", 0, 1, 0, first.key, first.value, first.headers), REFUSAL)

    assert again.headers[: len(first.headers)] == first.headers
    assert header(again, "__connect.errors.offset") == "1"


LONG = b"v" * 5000
WIDE = tuple((f"h{i}", b"x" * 100) for i in range(50))


@pytest.mark.parametrize(
    ("event", "truncated"),
    [
        (Record("events", 3, 7, 5, b"k", LONG, HEADERS), "value"),
        (Record("events", 3, 7, 5, b"k", b"v", WIDE), "headers"),
        (Record("events", 3, 7, 5, b"k", LONG, WIDE), "value,headers"),
        (Record("events", 3, 7, 5, b"k" * 5000, LONG, WIDE), "value,headers,key"),
        (Record("events", 3, 7, 5, b"k" * 5000, None, ()), "value,headers,key"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_the_topic_has_no_room_for_is_left_out_and_described(event: Record, truncated: str) -> None:
    limit = 4000
    message = letters(limit).to_message(event, REFUSAL)

    assert header(message, "scoretrail-truncated") == truncated
    assert wire_bytes(message) <= limit
    assert message.key == (of_bytes(event.key or b"").encode() if "key" in truncated else event.key)
    if "headers" not in truncated:
        assert message.headers[: len(event.headers)] == event.headers
    if "value" not in truncated:
        assert message.value == event.value
        return
    told = json.loads(message.value or b"")
    value = event.value
    assert told["value"] == (None if value is None else {"sha256": of_bytes(value), "size_bytes": len(value)})
    assert told["source"] == {"cluster": "c1", "topic": "events", "partition": 3, "offset": 7}
    assert told["headers"]["count"] == len(event.headers)
    assert told["key"] == {"sha256": of_bytes(event.key or b""), "size_bytes": len(event.key or b"")}


def test_a_byte_more_or_less_decides() -> None:
    whole = letters().to_message(EVENT, REFUSAL)

    assert letters(wire_bytes(whole)).to_message(EVENT, REFUSAL) == whole
    assert header(letters(wire_bytes(whole) - 1).to_message(EVENT, REFUSAL), "scoretrail-truncated") != ""


def test_what_a_broker_refused_anyway_is_left_out_wholly() -> None:
    message = letters().to_message(EVENT, REFUSAL, whole=False)

    assert header(message, "scoretrail-truncated") == "value,headers,key"
    assert len(message.headers) == 10


def test_the_digest_of_left_out_headers_knows_where_one_ends() -> None:
    several = [
        (("a", b"bc"),),
        (("ab", b"c"),),
        (("a", b"b"), ("c", b"")),
    ]
    events = [Record("events", 3, 7, 5, None, None, headers) for headers in several]
    told = [json.loads(letters().to_message(one, REFUSAL, whole=False).value or b"") for one in events]

    assert len({one["headers"]["sha256"] for one in told}) == 3


def test_every_reason_has_a_meaning() -> None:
    assert list(MEANING) == list(Reason)
