from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from jobs.stream.handling.lookup import StorePolicy
from jobs.stream.message.envelope import EventPolicy
from jobs.stream.message.identity import Topics
from jobs.stream.record import OVERHEAD_BYTES, Message, Record
from scoretrail.errors import FeatureViewError, RefusedMessageError, StoreUnavailableError
from scoretrail.feature.online import MemoryOnlineStore
from tests.factory.streamed import (
    NUMBERS,
    SENT_MS,
    STRICT_WINDY,
    TOPICS,
    TRACE,
    chances,
    event,
    handler,
    header,
    numbers,
    picky,
    reason,
    record,
    value_of,
    winds,
    windy,
)

WELL_FORMED = {"key": "a", "at": 0, "x": 1}


class Away(MemoryOnlineStore):
    """A store that never answers."""

    def read(self, keys: Sequence[str], deadline_s: float) -> list[bytes | None]:
        raise StoreUnavailableError("the online store did not answer in time")


def text(**fields: Any) -> bytes:
    return json.dumps(WELL_FORMED | fields).encode()


#: Everything that an event can do wrong, as far as one record shows it.
BAD: dict[str, tuple[Record, str]] = {
    "tombstone": (record(None), "no_value"),
    "empty": (record(b""), "no_value"),
    "10 MB": (record(b"[" + b"1," * 5_000_000 + b"1]"), "value_too_large"),
    "1,000 headers": (record(text(), headers=tuple((f"h{i}", b"") for i in range(1000))), "too_many_headers"),
    "gzip": (record(text(), headers=(("content-encoding", b"gzip"),)), "content_encoding_unsupported"),
    "avro": (record(text(), headers=(("content-type", b"avro/binary"),)), "content_type_unsupported"),
    "structured": (
        record(text(), headers=(("content-type", b"application/cloudevents+json"),)),
        "structured_mode_unsupported",
    ),
    "old cloud event": (record(text(), headers=(("ce_specversion", b"0.3"),)), "cloudevents_version"),
    "half a cloud event": (record(text(), headers=(("ce_id", b"1"),)), "cloudevents_incomplete"),
    "unknown version": (record(text(), headers=(("scoretrail_model_version", b"9.9.9"),)), "model_version_not_allowed"),
    "no json": (record(b"late"), "not_json"),
    "missing": (record(b'{"key":"a","at":0}'), "missing_field"),
    "wrong type": (record(text(x="1")), "wrong_type"),
    "null": (record(text(x=None)), "null_not_allowed"),
    "no offset": (record(text(at="2013-12-01T00:00:00")), "wrong_type"),
    "future": (record(text(at=SENT_MS * 1000 + 60_000_001)), "event_from_future"),
    "before the year 1": (record(text(at="0001-01-01T00:00:00+01:00")), "wrong_type"),
    "out of range": (record(text(x=101)), "out_of_range"),
    "infinite": (record(text(y=1e39)), "infinite"),
    "category": (record(text(place="nowhere")), "unknown_category"),
    "failing feature": (record(text(x=-7)), "feature_failed"),
    "not finite": (record(text(x=0, y=0)), "null_not_allowed"),
}


@pytest.mark.parametrize(("bad", "expected"), BAD.values(), ids=BAD)
def test_a_bad_event_is_a_dead_letter_with_its_reason_and_bytes(bad: Record, expected: str) -> None:
    good = event(1)
    messages = handler(numbers()).handle([good, bad, good])

    assert [message.topic for message in messages] == ["predictions", "dead-letters", "predictions"]
    assert reason(messages[1]) == expected
    assert header(messages[1], "__connect.errors.exception.class.name") == f"scoretrail.{expected}"
    if len(bad.value or b"") < 1_000_000:
        assert (messages[1].key, messages[1].value) == (bad.key, bad.value)
        assert messages[1].headers[: len(bad.headers)] == bad.headers
    assert messages[0] == messages[2] == handler(numbers()).handle([good])[0]


def test_all_of_them_at_once_and_in_order() -> None:
    bad = [one for one, _ in BAD.values()]
    records = [one for i, poison in enumerate(bad) for one in (event(i, x=i), poison)]

    mine = handler(numbers())
    messages = mine.handle(records)

    assert [value_of(message)["score"] for message in messages[::2]] == [float(i) for i in range(len(bad))]
    assert [reason(message) for message in messages[1::2]] == [expected for _, expected in BAD.values()]
    assert (mine.tally.predictions, mine.tally.refused.total()) == (len(bad), len(bad))
    assert mine.tally.refused["wrong_type"] == 3
    assert mine.tally.stage_s.keys() == {"decode", "lookup", "score", "encode"}


def test_no_records_are_no_messages() -> None:
    assert handler(numbers()).handle([]) == []


def test_all_rules_that_an_event_broke_are_listed() -> None:
    (message,) = handler(numbers()).handle([record(text(x=101, place="nowhere"))])

    told = json.loads(header(message, "scoretrail-dead-letter"))
    assert (told["reason"], told["field"], told["expected"]) == ("out_of_range", "x", "-100 to 100")
    assert told["reasons"] == "out_of_range:x,unknown_category:place"


def test_poison_for_the_model_costs_nobody_else_anything() -> None:
    messages = handler(picky()).handle([event(i, x=9 if i in {2, 5} else i % 3) for i in range(8)])

    assert [reason(messages[i]) for i in (2, 5)] == ["score_failed"] * 2
    assert [value_of(messages[i])["score"] for i in (0, 1, 3, 4, 6, 7)] == [10.0, 11.0, 10.0, 11.0, 10.0, 11.0]


def test_the_limits_are_the_policys() -> None:
    mine = handler(numbers(), policy=EventPolicy(max_value_bytes=60, max_headers=1, max_future_s=0))
    late = record(text(at=SENT_MS * 1000 + 1))
    messages = mine.handle(
        [record(text(more="x" * 40)), record(text(), headers=(("a", b""), ("b", b""))), late, record(text())]
    )

    assert [reason(one) for one in messages[:3]] == ["value_too_large", "too_many_headers", "event_from_future"]
    assert messages[3].topic == "predictions"


# --- Versions ---------------------------------------------------------------------------------------------------------


def pin(version: str) -> tuple[tuple[str, bytes], ...]:
    return (("scoretrail_model_version", version.encode()),)


def test_an_allowed_version_scores_what_asks_for_it_and_the_others_stay() -> None:
    pinned = chances(version="0.9.0", threshold=0.1)
    mine = handler(chances(), v0_9_0=pinned)
    records = [event(0, x=0.2), event(1, x=0.2, headers=pin("0.9.0")), event(2, x=0.2), event(3, headers=pin("1.0.0"))]

    messages = mine.handle(records)

    assert [value_of(message)["decision"] for message in messages[:3]] == ["no", "yes", "no"]
    assert [value_of(message)["trail"]["version"] for message in messages[:3]] == ["1.0.0", "0.9.0", "1.0.0"]
    assert [value_of(message)["entity_key"] for message in messages[:3]] == ["k0", "k1", "k2"]
    assert reason(messages[3]) == "model_version_not_allowed"  # served, but nobody allowed to ask for it


def test_a_pinned_version_may_have_another_view() -> None:
    bundle, other = numbers(), windy()
    mine = handler(bundle, winds(other, HERE=3.0), v2_0_0=other)
    records = [event(0), event(1, headers=pin("2.0.0"), place="here"), event(2, headers=pin("2.0.0"))]

    plain, pinned, bad = mine.handle(records)

    assert (value_of(plain)["score"], value_of(pinned)["score"]) == (1.0, 3.0)
    assert (value_of(plain)["stored"], value_of(pinned)["stored"].keys()) == ({}, {"weather"})
    assert reason(bad) == "missing_field"
    assert "model=numbers/1.0.0" in header(bad, "scoretrail-trail")


def test_a_view_that_events_cannot_have_is_refused_at_the_start() -> None:
    raw = NUMBERS.replace(b'Request("n", pa.int32(), default=0)', b'Request("n", pa.binary())')
    with pytest.raises(FeatureViewError, match="cannot come with an event"):
        handler(chances(), v1_1_0=numbers(features=raw))


# --- The online store -------------------------------------------------------------------------------------------------


def test_stored_features_are_looked_up_and_counted() -> None:
    bundle = windy()
    mine = handler(bundle, winds(bundle, HERE=2.5))
    messages = mine.handle([event(0, place="here"), event(1, place="there"), event(2, place="HERE")])

    assert [value_of(message)["score"] for message in messages] == [2.5, -1.0, 2.5]
    assert mine.tally.stored == {("weather", "fresh"): 2, ("weather", "default"): 1}
    assert (mine.tally.oldest_s, mine.tally.keys_read, mine.tally.store_unavailable) == ({"weather": 3600}, 2, 0)


def test_the_age_is_judged_by_event_time() -> None:
    bundle = windy()
    messages = handler(bundle, winds(bundle, -4, HERE=2.5)).handle([event(place="here")])

    assert value_of(messages[0])["stored"] == {"weather": {"age_s": 14_400, "outcome": "default"}}


def test_pause_gives_the_micro_batch_up_and_counts_nothing_twice() -> None:
    mine = handler(windy(), Away(), StorePolicy.PAUSE)
    with pytest.raises(StoreUnavailableError):
        mine.handle([event(place="here"), record(None)])

    assert (mine.tally.micro_batches, mine.tally.predictions, mine.tally.refused.total()) == (0, 0, 0)


def test_default_scores_and_says_so() -> None:
    mine = handler(windy(), Away(), StorePolicy.DEFAULT)
    (message,) = mine.handle([event(place="here")])

    told = value_of(message)
    assert (told["score"], told["store_unavailable"]) == (-1.0, True)
    assert told["stored"] == {"weather": {"age_s": None, "outcome": "default"}}
    assert mine.tally.store_unavailable == 1


def test_default_refuses_where_the_view_has_no_default() -> None:
    (message,) = handler(windy(features=STRICT_WINDY), Away(), StorePolicy.DEFAULT).handle([event(place="here")])

    assert reason(message) == "store_unavailable"
    told = json.loads(header(message, "scoretrail-dead-letter"))
    assert (told["field"], told["reasons"]) == ("weather", "stored_missing:weather")


def test_an_unknown_entity_is_told_from_a_store_that_is_away() -> None:
    bundle = windy(features=STRICT_WINDY)
    (message,) = handler(bundle, winds(bundle), StorePolicy.DEFAULT).handle([event(place="here")])

    assert reason(message) == "stored_missing"


def test_dead_letter_refuses_what_needs_the_store_and_nothing_else() -> None:
    mine = handler(chances(), Away(), StorePolicy.DEAD_LETTER, v2_0_0=windy())
    plain, needy = mine.handle([event(), event(headers=pin("2.0.0"), place="here")])

    assert value_of(plain)["store_unavailable"] is False
    assert reason(needy) == "store_unavailable"


def test_a_first_prediction_without_the_store_is_provisional_and_only_that() -> None:
    away = handler(windy(), Away(), StorePolicy.DEFAULT).handle([event(place="here"), record(None)])
    assert [message.is_provisional for message in away] == [True, False]
    bundle = windy()
    (there,) = handler(bundle, winds(bundle, HERE=2.5), StorePolicy.DEFAULT).handle([event(place="here")])
    assert not there.is_provisional


def test_a_second_prediction_names_the_first_and_has_the_store_s_values() -> None:
    bundle, records = windy(), [event(0, place="here"), event(1, place="there")]
    first = handler(bundle, Away(), StorePolicy.DEFAULT).handle(records)
    second = handler(bundle, winds(bundle, HERE=2.5), StorePolicy.DEFAULT).supersede(records)

    assert second is not None
    assert [value_of(message)["score"] for message in second] == [2.5, -1.0]
    assert [header(message, "ce_supersedes") for message in second] == [header(message, "ce_id") for message in first]
    assert {header(message, "ce_id") for message in second}.isdisjoint(header(message, "ce_id") for message in first)
    told = value_of(second[0])
    assert (told["trail"]["outcome"], told["store_unavailable"], second[0].is_provisional) == (1, False, False)
    assert second[0].key == first[0].key


def test_there_is_no_second_prediction_while_the_store_is_away_or_of_what_is_refused_by_now() -> None:
    bundle = windy(features=STRICT_WINDY)
    for policy in StorePolicy:
        assert handler(windy(), Away(), policy).supersede([event(place="here")]) is None
    assert handler(bundle, winds(bundle), StorePolicy.DEFAULT).supersede([event(place="here")]) == []


# --- Sizes ------------------------------------------------------------------------------------------------------------


def test_a_prediction_that_its_topic_does_not_take_is_a_dead_letter() -> None:
    long = event(x=1.0)
    (whole,) = handler(numbers()).handle([long])
    size = whole.size_bytes + OVERHEAD_BYTES

    def handled(limit: int) -> Message:
        topics = Topics(predictions="predictions", dead_letters="dead-letters", max_prediction_bytes=limit)
        return handler(numbers(), topics=topics).handle([long])[0]

    assert handled(size) == whole
    assert reason(handled(size - 1)) == "message_too_large"


def test_a_long_entity_key_does_not_stop_the_partition() -> None:
    (message,) = handler(numbers(), policy=EventPolicy(max_value_bytes=3_000_000)).handle(
        [record(text(key="k" * 2**20))]
    )

    assert reason(message) == "message_too_large"
    assert message.size_bytes + OVERHEAD_BYTES <= TOPICS.max_dead_letter_bytes


# --- What the loop could not handle -----------------------------------------------------------------------------------


def test_a_record_that_fails_in_another_way_is_refused_by_name_only() -> None:
    mine = handler(numbers())
    message = mine.refuse(event(headers=(("traceparent", TRACE),)), ZeroDivisionError("secret"))

    assert reason(message) == "unexpected"
    assert header(message, "__connect.errors.exception.message") == "unexpected: ZeroDivisionError"
    assert message.value == event().value
    assert mine.tally.refused == {"unexpected": 1}


def test_a_message_that_a_broker_refused_loses_its_bytes() -> None:
    message = handler(numbers()).refuse(event(), RefusedMessageError("the message is too large for its topic"))

    assert reason(message) == "message_too_large"
    assert header(message, "scoretrail-truncated") == "value,headers,key"
