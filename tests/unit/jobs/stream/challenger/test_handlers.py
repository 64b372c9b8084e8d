"""A challenger scores what the champion recorded to the same bits, or reads the events; what it made is noted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobs.stream.challenger.handlers import EventsHandler, RecordedHandler, why_not_recorded
from jobs.stream.comparison.pairing import Place
from jobs.stream.handling.lookup import Lookup, StorePolicy
from jobs.stream.loop.isolation import handle_apart
from jobs.stream.message.identity import Identity, Topics
from jobs.stream.record import Message, Record
from scoretrail.errors import ConfigurationError
from scoretrail.model.bundle import Bundle
from tests.factory.streamed import (
    IDENTITY,
    NOW,
    NUMBERS,
    SENT_MS,
    TRACE,
    WINDY,
    chances,
    event,
    handler,
    header,
    numbers,
    picky,
    record,
    three,
    value_of,
    winds,
    windy,
)

TOPICS = Topics(predictions="challenger-predictions", dead_letters="challenger-dead-letters")
CHALLENGER = Identity(app="parcels", cluster="c1", role="challenger")
CLOUD = {"specversion": b"1.0", "id": b"1", "source": b"/", "type": b"t", "subject": b"s"}
NO_STORE = Lookup(None, StorePolicy.PAUSE)


def published(bundle: Bundle, *events: Record, **more: Any) -> list[Record]:
    """Return the champion's predictions as records of their topic."""
    messages = handler(bundle, **more).handle(events)
    return [as_record(i, message) for i, message in enumerate(messages)]


def as_record(offset: int, message: Message) -> Record:
    return Record("predictions", 1, offset, SENT_MS, message.key, message.value, message.headers)


def recorded(bundle: Bundle, segment: str | None = None) -> RecordedHandler:
    return RecordedHandler(bundle, NO_STORE, TOPICS, CHALLENGER, segment=segment, clock=NOW)


@pytest.mark.parametrize("make", [chances, numbers, three])
def test_the_same_bundle_gives_the_same_bits_under_another_role(make: Any) -> None:
    cloud = tuple((f"ce_{name}", value) for name, value in CLOUD.items())
    sent = [event(i, x=0.1 * i, headers=(("traceparent", TRACE), *cloud)) for i in range(5)]
    champions = published(make(), *sent)
    messages = recorded(make()).handle(champions)
    for champion, message in zip(champions, messages, strict=True):
        assert (message.topic, message.key) == ("challenger-predictions", champion.key)
        theirs, ours = json.loads(champion.value or b""), value_of(message)
        assert (theirs["trail"].pop("role"), ours["trail"].pop("role")) == ("champion", "challenger")
        assert ours == theirs
        assert header(message, "traceparent").encode() == TRACE
        assert header(message, "ce_subject") == "s"
        assert header(message, "ce_id") != (dict(champion.headers)["ce_id"] or b"").decode()


def test_it_is_the_prediction_that_it_would_have_made_of_the_event() -> None:
    sent = event(7, x=0.75)
    (ours,) = recorded(chances(threshold=0.9)).handle(published(chances(), sent))
    direct = handler(chances(threshold=0.9)).handle([sent])[0]
    assert value_of(ours)["decision"] == "no"
    assert value_of(ours)["trail"]["event_sha256"] == value_of(direct)["trail"]["event_sha256"]
    assert value_of(ours) == {**value_of(direct), "trail": {**value_of(direct)["trail"], "role": "challenger"}}


def test_stored_features_are_those_of_the_champion_and_no_store_is_asked() -> None:
    bundle = windy()
    champions = published(bundle, event(place="here"), event(1, place="there"), store=winds(bundle, HERE=2.5))
    ours, other = (value_of(message) for message in recorded(windy()).handle(champions))
    assert (ours["score"], ours["stored"]) == (2.5, {"weather": {"age_s": 3600, "outcome": "fresh"}})
    assert (other["score"], other["stored"]) == (-1, {"weather": {"age_s": None, "outcome": "default"}})


def test_both_opinions_are_noted_with_their_bundles_and_segment() -> None:
    tried = recorded(chances(threshold=0.9), segment="ratio")
    tried.handle(published(chances(), event(7, x=0.75)))
    (one,) = tried.take()
    assert one.read == Place("predictions", 1, 0)
    assert one.champion is not None
    assert (one.champion.score, one.champion.decision, one.champion.bundle_sha256) == (0.75, "yes", chances().digest)
    assert (one.challenger.score, one.challenger.decision) == (0.75, "no")
    assert one.segment == "0.75"
    assert tried.take() == []


def tampered(sent: Record, **fields: Any) -> Record:
    value = json.loads(sent.value or b"") | fields
    return Record(sent.topic, sent.partition, sent.offset, SENT_MS, sent.key, json.dumps(value).encode(), sent.headers)


def test_what_is_no_prediction_of_these_inputs_is_refused_in_its_place() -> None:
    (good,) = published(chances(), event(x=0.5))
    (other,) = published(windy(), event(place="here"), store=winds(windy(), HERE=2.5))
    bad = [record(b"{"), record(None), record(b"[]"), other, tampered(good, inputs="AAAA"), tampered(good, inputs="é")]
    tried = recorded(chances())
    messages = tried.handle([good, *bad, good])
    assert [one.topic for one in messages] == [
        "challenger-predictions",
        *["challenger-dead-letters"] * len(bad),
        "challenger-predictions",
    ]
    told = [json.loads(header(one, "scoretrail-dead-letter")) for one in messages[1:-1]]
    assert [(one["reason"], one["field"]) for one in told] == [
        *[("not_json", "")] * 3,
        ("wrong_type", "inputs_schema"),
        *[("wrong_type", "inputs")] * 2,
    ]
    assert len(tried.take()) == 2


def test_a_vector_that_the_challenger_fails_on_is_found_and_the_others_are_noted_once() -> None:
    champions = published(numbers(), *(event(i, x=float(x)) for i, x in enumerate((0, 1, 7, 2))))
    tried = recorded(picky())
    messages = handle_apart(tried, champions)
    assert [one.topic for one in messages].count("challenger-dead-letters") == 1
    assert messages[2].topic == "challenger-dead-letters"
    assert [one.challenger.score for one in tried.take()] == [10, 11, 12]


def test_events_are_read_with_the_store_and_noted_by_their_place() -> None:
    bundle = windy()
    lookup = Lookup(winds(bundle, HERE=2.5), StorePolicy.PAUSE)
    tried = EventsHandler(bundle, lookup, TOPICS, CHALLENGER, segment="place", clock=NOW)
    messages = tried.handle([event(4, place="here"), record(b"{", 5), event(6, place="there")])
    assert [one.topic for one in messages] == [
        "challenger-predictions",
        "challenger-dead-letters",
        "challenger-predictions",
    ]
    noted = tried.take()
    assert [(one.read, one.challenger.score, one.champion, one.segment) for one in noted] == [
        (Place("events", 3, 4), 2.5, None, "here"),
        (Place("events", 3, 6), -1.0, None, "there"),
    ]


def test_what_failed_as_a_whole_is_noted_only_when_it_is_handled_again() -> None:
    tried = EventsHandler(numbers(), NO_STORE, TOPICS, CHALLENGER, clock=NOW)
    messages = handle_apart(tried, [event(0, x=1.0), event(1, x=-7.0), event(2, x=2.0)])
    assert messages[1].topic == "challenger-dead-letters"
    assert [one.read.offset for one in tried.take()] == [0, 2]


def test_a_segment_that_is_no_request_column_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no request column 'nothing'") as caught:
        EventsHandler(numbers(), NO_STORE, TOPICS, CHALLENGER, segment="nothing")
    assert "place" in str(caught.value.expected)


@pytest.mark.parametrize(
    ("challenger", "segment", "why"),
    [
        (numbers, None, ""),
        (chances, "ratio", ""),
        (windy, None, "the models have other inputs"),
        (numbers, "place", "'place' is not among the inputs, which is all that a prediction records"),
    ],
)
def test_recorded_vectors_are_scored_where_that_says_something(challenger: Any, segment: str | None, why: str) -> None:
    assert why_not_recorded(numbers().view, challenger().view, segment) == why


def test_another_key_or_other_stored_sets_keep_recorded_vectors_from_being_scored() -> None:
    keyed = numbers(features=NUMBERS.replace(b'entity_key="key",', b'entity_key="key", entity_key_type=pa.int64(),'))
    assert "entity key" in why_not_recorded(numbers().view, keyed.view, None)
    renamed = windy(features=WINDY.replace(b'"weather"', b'"climate"'))
    assert "stored sets" in why_not_recorded(windy().view, renamed.view, None)


def test_identities_differ() -> None:
    assert IDENTITY.role != CHALLENGER.role
