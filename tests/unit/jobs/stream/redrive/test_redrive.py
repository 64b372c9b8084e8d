"""A redrive between twins in memory: which dead letters go back, once, and what is counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from jobs.stream.message.identity import Identity, Topics
from jobs.stream.message.redrive_header import origin_of
from jobs.stream.port import Partition
from jobs.stream.record import Message, Record
from jobs.stream.redrive.filter import RedriveFilter
from jobs.stream.redrive.redrive import Redriven, RedriveRequest, redrive
from scoretrail.errors import BrokerError, ConfigurationError
from tests.factory.broker_twin import Twin, TwinOutput
from tests.factory.streamed import TOPICS, event, handler, numbers, record

REDRIVE = "events.redrive"
READING = Topics(predictions="predictions", dead_letters="dead-letters", redriven=frozenset({REDRIVE}))


@dataclass
class Log:
    """A topic of one partition."""

    topic: str
    records: list[Record] = field(default_factory=list)
    begins: int = 0

    def write(self, message: Message, timestamp_ms: int = 1_000) -> None:
        offset = self.begins + len(self.records)
        self.records.append(Record(self.topic, 0, offset, timestamp_ms, message.key, message.value, message.headers))

    def first(self) -> Mapping[Partition, int]:
        return {Partition(self.topic, 0): self.begins}

    def read_up_to_now(self) -> Iterator[list[Record]]:
        yield from ([one] for one in list(self.records))


class Stage:
    """Dead letters, a redrive topic and the broker between them."""

    def __init__(self) -> None:
        self.letters, self.redriven = Log("dead-letters"), Log(REDRIVE)
        self.twin = Twin()
        self.outputs: list[TwinOutput] = []

    def refuse(self, *events: Record, topics: Topics = TOPICS) -> None:
        for message in handler(numbers(), topics=topics).handle(events):
            assert message.topic == "dead-letters"
            self.letters.write(message)

    def output(self) -> TwinOutput:
        self.outputs.append(TwinOutput(self.twin, max_bytes=100_000))
        return self.outputs[-1]

    def run(self, on_step: Any = lambda _: None, *, dry_run: bool = False, **wanted: Any) -> Redriven:
        request = RedriveRequest(
            topics=("events",), cluster="c1", role="champion", filter=RedriveFilter(**wanted), dry_run=dry_run
        )
        try:
            return redrive(request, self.letters, self.redriven, self.output, on_step)
        finally:
            for message in self.twin.visible[len(self.redriven.records) :]:
                self.redriven.write(message, 2_000)

    def sent(self) -> list[str]:
        return [str(origin_of(one)) for one in self.redriven.records]


@pytest.fixture
def stage() -> Stage:
    found = Stage()
    found.refuse(event(1, x="no"), record(b"{", 2), event(3, x=1000), record(b"[", 4))
    return found


def test_each_dead_letter_goes_back_once_and_never_again(stage: Stage) -> None:
    first = stage.run()
    assert (first.seen, first.redriven, first.already, first.transactions) == (4, 4, 0, 4)
    assert first.reasons == {"wrong_type": 2, "not_json": 1, "out_of_range": 1}
    second = stage.run()
    assert (second.seen, second.redriven, second.already) == (4, 0, 4)
    assert stage.sent() == [f"events/3/{offset}" for offset in (1, 2, 3, 4)]


def test_one_filter_may_follow_another(stage: Stage) -> None:
    assert stage.run(reasons=frozenset({"not_json"})).redriven == 1
    rest = stage.run()
    assert (rest.redriven, rest.already) == (3, 1)
    assert len(stage.sent()) == len(set(stage.sent())) == 4


def test_what_is_refused_again_may_be_redriven_again(stage: Stage) -> None:
    stage.run()
    again = [msgspec.structs.replace(one, timestamp_ms=event().timestamp_ms) for one in stage.redriven.records]
    stage.refuse(*again, topics=READING)
    assert stage.run().redriven == 4
    outcomes = [origin.outcome for one in stage.redriven.records if (origin := origin_of(one))]
    assert outcomes == [1, 1, 1, 1, 2, 2, 2, 2]


def test_a_dry_run_counts_and_fences_nobody(stage: Stage) -> None:
    result = stage.run(dry_run=True, reasons=frozenset({"wrong_type"}))
    assert (result.redriven, result.left_out, result.transactions) == (2, 2, 0)
    assert (stage.sent(), stage.outputs) == ([], [])


def test_truncated_ones_are_counted_and_named_never_sent(stage: Stage) -> None:
    small = Topics(predictions="p", dead_letters="dead-letters", max_dead_letter_bytes=4_000)
    stage.refuse(record(b"x" * 5_000, 9), topics=small)
    result = stage.run()
    assert (result.redriven, result.truncated, result.truncated_events) == (4, 1, ["events/3/9"])
    assert "events/3/9" not in stage.sent()


def test_dead_letters_of_others_are_left_alone(stage: Stage) -> None:
    stage.letters.write(Message("dead-letters", b"k", b"somebody else's"))
    stage.refuse(msgspec.structs.replace(record(b"{"), topic="others"))
    from jobs.stream.handling.handler import Handler
    from jobs.stream.handling.lookup import Lookup, StorePolicy

    shadow = Identity(app="parcels", cluster="c1", role="challenger")
    (message,) = Handler(numbers(), Lookup(None, StorePolicy.PAUSE), TOPICS, shadow).handle([record(b"{", 8)])
    stage.letters.write(message)
    result = stage.run()
    assert (result.seen, result.redriven, result.foreign) == (7, 4, 3)


@pytest.mark.parametrize("step", ["opened", "known", "read", "begun", "sent", "flushed", "checked", "committed"])
def test_stopped_anywhere_and_started_again_each_goes_once(stage: Stage, step: str) -> None:
    steps: list[str] = []

    def stop(name: str) -> None:
        steps.append(name)
        if name == step and steps.count(name) in (1, 2):
            raise BrokerError("no answer")

    while True:
        try:
            stage.run(stop)
        except BrokerError:
            continue
        break
    assert stage.sent() == [f"events/3/{offset}" for offset in (1, 2, 3, 4)]
    assert all(output.calls[-1] == "close" for output in stage.outputs)


def test_a_redrive_topic_that_forgot_is_refused_unless_the_filter_begins_later(stage: Stage) -> None:
    stage.run(reasons=frozenset({"not_json"}))
    stage.redriven.begins = 1
    with pytest.raises(ConfigurationError, match="retention has removed"):
        stage.run()
    from datetime import UTC, datetime

    assert stage.run(since=datetime.fromtimestamp(2, UTC)).left_out == 4
    stage.redriven.records.clear()
    with pytest.raises(ConfigurationError, match="retention has removed"):
        stage.run(since=datetime.fromtimestamp(2, UTC))


def test_a_redrive_topic_that_is_too_small_is_named(stage: Stage) -> None:
    stage.refuse(record(b"x" * 200_000, 9))
    with pytest.raises(ConfigurationError, match="as large as a dead letter's event") as caught:
        stage.run()
    assert caught.value.where == REDRIVE
    assert stage.sent() == [f"events/3/{offset}" for offset in (1, 2, 3, 4)]
