from __future__ import annotations

import msgspec
import pytest

from jobs.stream.message.deadletter import TRUNCATED
from jobs.stream.message.identity import Topics
from jobs.stream.message.redrive_header import Origin, restored
from jobs.stream.record import Message, Record
from jobs.stream.redrive.letter import OURS, Letter, read_letter
from tests.factory.streamed import TOPICS, event, handler, numbers, record


def as_record(message: Message, offset: int = 0) -> Record:
    return Record(message.topic, 0, offset, 1_000, message.key, message.value, message.headers)


def refused(event: Record, topics: Topics = TOPICS) -> Record:
    (message,) = handler(numbers(), topics=topics).handle([event])
    assert message.topic == TOPICS.dead_letters
    return as_record(message)


def letter_of(found: Record) -> Letter:
    letter = read_letter(found)
    assert letter is not None
    return letter


BAD = event(7, x="no", headers=(("a", b"1"), ("traceparent", b"x"), ("a", b"2")))


def test_the_headers_are_those_that_dead_letters_are_given() -> None:
    ours = refused(BAD).headers[len(BAD.headers) :]

    assert tuple(name for name, _ in ours) == OURS


def test_a_dead_letter_leads_back_to_its_event() -> None:
    letter = letter_of(refused(BAD))

    assert letter.next == Origin("events", 3, 7, 1)
    assert (letter.reason, letter.role, letter.cluster, letter.is_truncated) == ("wrong_type", "champion", "c1", False)
    redriven = msgspec.structs.replace(as_record(letter.event), timestamp_ms=BAD.timestamp_ms)
    assert redriven.topic == "events.redrive"
    assert restored(redriven, {"events.redrive"}) == (BAD, 1)


def test_an_event_that_was_a_dead_letter_itself_keeps_its_headers() -> None:
    foreign = msgspec.structs.replace(refused(BAD), topic="events", partition=1)
    letter = letter_of(refused(foreign))

    assert letter.next == Origin("events", 1, 0, 1)
    assert letter.event.headers[:-1] == foreign.headers


def test_a_truncated_one_is_known_as_such() -> None:
    large = record(b"x" * 5_000, 4)
    letter = letter_of(
        refused(large, Topics(predictions="p", dead_letters=TOPICS.dead_letters, max_dead_letter_bytes=4_000))
    )

    assert letter.is_truncated
    assert str(letter.next) == "events/3/4"


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("a", b"1"),),
        ((TRUNCATED, b"value"),),
        refused(BAD).headers[:-1],
        (*refused(BAD).headers, ("a", b"1")),
        (*refused(BAD).headers[:-1], (OURS[-1], b"{")),
        (*refused(BAD).headers[:-1], (OURS[-1], None)),
    ],
    ids=["none", "foreign", "truncated only", "cut", "more", "no json", "empty"],
)
def test_what_is_no_dead_letter_of_ours_is_none(headers: tuple[tuple[str, bytes | None], ...]) -> None:
    assert read_letter(msgspec.structs.replace(refused(BAD), headers=headers)) is None
