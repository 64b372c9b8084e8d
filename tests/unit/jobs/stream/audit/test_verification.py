"""Outcomes are held against events: whole and equal ones pass, and every way of being wrong is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec
import pytest

from jobs.stream.audit.claim import Claim, claim_of_letter, claim_of_prediction
from jobs.stream.audit.verification import (
    ANOTHER_EVENT,
    ANOTHER_ID,
    ANOTHER_VECTOR,
    INVENTED,
    MISSING,
    OTHER_BYTES,
    SECOND,
    Scope,
    Verified,
    verify,
)
from jobs.stream.handling.lookup import StorePolicy
from jobs.stream.port import Partition
from jobs.stream.record import Message, Record
from tests.factory.streamed import IDENTITY, TOPICS, event, handler, numbers, record, winds, windy

PLACE = Partition("events", 3)
EVENTS = [event(10), event(11, x=2.0), record(b"{", 12), event(13)]
SCOPE = Scope(app=IDENTITY.app, cluster=IDENTITY.cluster, role=IDENTITY.role, committed={PLACE: 14}, first={PLACE: 10})


class Shelf:
    """A topic of one partition: what lies there, and what is seen only later."""

    def __init__(self, records: Sequence[Record], late: Sequence[Record] = ()) -> None:
        self._records, self._late, self._position = list(records), list(late), 0
        self.place = Partition("shelf", 0)

    def first(self) -> dict[Partition, int]:
        return {self.place: 0}

    def ends(self) -> dict[Partition, int]:
        return {self.place: len(self._records)}

    def positions(self) -> dict[Partition, int]:
        return {self.place: self._position}

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        self._position = offsets[self.place]

    def poll(self, timeout_s: float, max_records: int) -> list[Record]:
        if self._position < len(self._records):
            found = self._records[self._position :][:2]
            self._position += len(found)
            return found
        self._records += self._late
        self._late = []
        return self._records[self._position :]


def written(messages: Sequence[Message]) -> Iterator[Record]:
    for offset, message in enumerate(messages):
        yield Record(message.topic, 0, offset, 0, message.key, message.value, message.headers)


def published() -> tuple[list[Record], list[Record]]:
    """Return the predictions and the dead letters of the events."""
    messages = handler(numbers()).handle(EVENTS)
    return (
        list(written([one for one in messages if one.topic == TOPICS.predictions])),
        list(written([one for one in messages if one.topic == TOPICS.dead_letters])),
    )


def checked(
    predictions: Sequence[Record],
    letters: Sequence[Record],
    events: Sequence[Record] = EVENTS,
    scope: Scope = SCOPE,
    late: Sequence[Record] = (),
) -> Verified:
    outcomes = ((Shelf(predictions, late), claim_of_prediction), (Shelf(letters), claim_of_letter))
    return verify(scope, Shelf(events), outcomes, patience_s=0.2)


def test_what_was_published_is_found_whole() -> None:
    found = checked(*published())
    assert (found.events, found.predictions, found.dead_letters, found.before, found.gone) == (4, 3, 1, 0, 0)
    assert not found.faults


def test_an_outcome_that_is_seen_a_moment_later_is_not_missing() -> None:
    predictions, letters = published()
    assert not checked(predictions[:2], letters, late=predictions[2:]).faults
    assert checked(predictions[:2], letters).faults == {MISSING: 1}


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_lost_prediction_is_named_unless_the_group_may_have_begun_behind_it(lost: int) -> None:
    predictions, letters = published()
    del predictions[lost]
    found = checked(predictions, letters)
    offset = [10, 11, 13][lost]
    assert (found.before, found.examples) == ((1, []) if lost == 0 else (0, [f"{MISSING}: events/3:{offset}"]))
    strict = checked(predictions, letters, scope=replace(SCOPE, from_the_beginning=True))
    assert (strict.before, strict.faults) == (0, {MISSING: 1})


def again(change: Callable[[Record], Record]) -> Verified:
    """Return what is found where the second prediction is another record."""
    predictions, letters = published()
    predictions[1] = change(predictions[1])
    return checked(predictions, letters)


def with_value(record: Record, old: bytes, new: bytes) -> Record:
    assert record.value is not None
    assert old in record.value
    return msgspec.structs.replace(record, value=record.value.replace(old, new))


def test_a_second_first_outcome_is_named() -> None:
    predictions, letters = published()
    found = checked([*predictions, predictions[1]], letters)
    assert found.examples == [f"{SECOND}: events/3:11"]
    assert checked(predictions, letters, late=predictions[:1]).faults == {}  # nobody waits, so nobody looks


def test_an_outcome_of_other_bytes_is_named() -> None:
    events = [*EVENTS[:1], event(11, x=3.0), *EVENTS[2:]]
    assert checked(*published(), events).examples == [f"{ANOTHER_EVENT}: events/3:11"]


def test_an_id_that_does_not_follow_from_the_position_is_named() -> None:
    def change(record: Record) -> Record:
        headers = tuple((name, b"0" * 32 if name == "ce_id" else value) for name, value in record.headers)
        return msgspec.structs.replace(record, headers=headers)

    assert again(change).examples == [f"{ANOTHER_ID}: events/3:11"]


def test_inputs_that_are_not_those_of_their_digest_are_named() -> None:
    found = again(lambda record: with_value(record, b'"features_sha256":"', b'"features_sha256":"0'))
    assert found.examples == [f"{ANOTHER_VECTOR}: events/3:11"]


def test_an_outcome_of_no_event_is_named() -> None:
    assert checked(*published(), EVENTS[:1] + EVENTS[2:]).examples == [f"{INVENTED}: events/3:11"]


def test_a_dead_letter_with_other_bytes_than_the_event_s_is_named() -> None:
    predictions, (letter,) = published()
    other = msgspec.structs.replace(letter, value=b"}")
    assert checked(predictions, [other]).examples == [f"{OTHER_BYTES}: events/3:12"]


def test_what_retention_has_removed_cannot_be_held_against_anything() -> None:
    scope = replace(SCOPE, first={PLACE: 12})
    found = checked(*published(), EVENTS[2:], scope)
    assert (found.gone, found.events, dict(found.faults)) == (2, 2, {})


def test_what_is_not_committed_yet_is_left_for_the_next_time() -> None:
    found = checked(*published(), scope=replace(SCOPE, committed={PLACE: 12}))
    assert (found.events, found.predictions, found.dead_letters, dict(found.faults)) == (2, 2, 0, {})


def test_records_of_others_are_counted_and_no_fault() -> None:
    predictions, letters = published()
    assert checked([*predictions, record(b"no prediction", 9)], letters).foreign == 1
    assert checked(predictions, letters, scope=replace(SCOPE, role="challenger")).foreign == 4
    assert checked(predictions, letters, [], scope=replace(SCOPE, committed={})).foreign == 4


def test_a_superseding_prediction_is_a_further_outcome_of_the_same_bytes() -> None:
    bundle = windy()
    mine = handler(bundle, winds(bundle, HERE=2.5), StorePolicy.DEFAULT)
    events = [event(10, place="here"), event(11, place="here")]
    second = mine.supersede(events[:1])
    assert second is not None
    messages = list(written([*mine.handle(events), *second]))
    scope = replace(SCOPE, committed={PLACE: 12})
    found = checked(messages, [], events, scope)
    assert (found.predictions, found.later, dict(found.faults)) == (2, 1, {})
    assert checked(messages, [], [event(10, place="there"), events[1]], scope).faults == {ANOTHER_EVENT: 2}


def test_what_is_no_json_of_ours_claims_nothing() -> None:
    claims: list[Claim | None] = [claim_of_prediction(record(value)) for value in (None, b"", b"{}", b"[" * 5000)]
    assert claims == [None] * 4
    assert claim_of_letter(record(b"x")) is None
