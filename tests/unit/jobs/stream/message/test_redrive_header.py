from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from jobs.stream.message.redrive_header import REDRIVE, Origin, origin_of, redrive_topics, restored
from jobs.stream.record import Record
from scoretrail.setting import StreamSettings
from tests.factory.streamed import TOPICS, event, handler, header, numbers, reason, record, value_of

REDRIVEN = frozenset({"events.redrive"})
READING = replace(TOPICS, redriven=REDRIVEN)


def redriven(offset: int = 9, *, outcome: int = 1, topic: str = "events.redrive", **fields: Any) -> Record:
    before = event(offset, **fields)
    head = Origin("events", 3, 7, outcome).to_header()
    return msgspec.structs.replace(before, topic=topic, partition=0, headers=(*before.headers, head))


def test_an_event_is_as_it_was() -> None:
    before, outcome = restored(redriven(headers=(("a", b"1"), ("a", None))), REDRIVEN)

    assert (before.topic, before.partition, before.offset, outcome) == ("events", 3, 7, 1)
    assert before.headers == (("a", b"1"), ("a", None))
    assert before.value == event(9).value


def test_in_other_topics_the_header_means_nothing() -> None:
    given = redriven(topic="events")

    assert restored(given, REDRIVEN) == (given, 0)
    assert restored(redriven(), frozenset()) == (redriven(), 0)


@pytest.mark.parametrize(
    "head",
    [
        (REDRIVE, b"{"),
        (REDRIVE, b"\xff"),
        (REDRIVE, None),
        (REDRIVE, b'{"topic":"other","partition":0,"offset":0,"outcome":1}'),
        (REDRIVE, b'{"topic":"events","partition":0,"offset":0,"outcome":0}'),
        (REDRIVE, b'{"topic":"events","partition":-1,"offset":0,"outcome":1}'),
        ("x", b'{"topic":"events","partition":0,"offset":0,"outcome":1}'),
    ],
)
def test_what_is_not_ours_is_an_event_of_its_own(head: tuple[str, bytes | None]) -> None:
    given = msgspec.structs.replace(event(), topic="events.redrive", headers=(head,))

    assert origin_of(given) is None
    assert restored(given, REDRIVEN) == (given, 0)


def test_only_the_last_header_counts() -> None:
    head = Origin("events", 0, 0, 1).to_header()
    assert origin_of(msgspec.structs.replace(event(), topic="events.redrive", headers=(head, ("x", b"")))) is None


def test_a_worker_reads_redrive_topics_if_it_is_told_to() -> None:
    assert redrive_topics(StreamSettings(input=("a", "b"), redrive=True)) == ("a.redrive", "b.redrive")
    assert redrive_topics(StreamSettings(input=("a", "b"))) == ()


def test_outcomes_of_one_micro_batch_are_kept_apart() -> None:
    records = [event(1), redriven(x=2), event(2), redriven(x=3, outcome=2), redriven(x=1000), event(3, x="no")]
    messages = handler(numbers(), topics=READING).handle(records)

    assert [message.topic for message in messages] == ["predictions"] * 4 + ["dead-letters"] * 2
    told = [value_of(message) for message in messages[:4]]
    assert [one["trail"]["outcome"] for one in told] == [0, 1, 0, 2]
    assert [one["score"] for one in told] == [1, 2, 1, 3]
    assert [one["trail"]["source"]["offset"] for one in told] == [1, 7, 2, 7]
    assert len({header(message, "ce_id") for message in messages[:4]}) == 4
    assert "outcome=2" in header(messages[3], "scoretrail-trail")
    letter = json.loads(header(messages[4], "scoretrail-dead-letter"))
    assert (reason(messages[4]), letter["outcome"], letter["source"]["topic"]) == ("out_of_range", 1, "events")
    assert REDRIVE not in dict(messages[4].headers)
    assert json.loads(header(messages[5], "scoretrail-dead-letter"))["outcome"] == 0


def test_a_redriven_event_that_fails_alone_is_refused_as_itself() -> None:
    message = handler(numbers(), topics=READING).refuse(redriven(), ValueError("secret"))

    letter = json.loads(header(message, "scoretrail-dead-letter"))
    assert (letter["outcome"], letter["source"]["offset"], letter["source"]["topic"]) == (1, 7, "events")


def test_a_stray_record_of_a_redrive_topic_has_a_first_outcome_of_its_own() -> None:
    stray = msgspec.structs.replace(record(b'{"key":"a","at":0,"x":1}', 5), topic="events.redrive")
    (message,) = handler(numbers(), topics=READING).handle([stray])

    trail = value_of(message)["trail"]
    assert (trail["outcome"], trail["source"]["topic"]) == (0, "events.redrive")
