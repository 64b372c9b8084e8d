"""Events that were scored without the store are remembered by one worker, and let go of once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from jobs.stream.loop.enrichment import Enrichment
from jobs.stream.port import Partition
from jobs.stream.record import Message, Record
from tests.factory.broker_twin import Echo


@dataclass
class Case:
    """An enrichment with a store and a clock that are set."""

    limit: int = 10
    at: float = 100.0
    answers: bool = True
    asked: int = 0
    seen: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.late = Enrichment(self.limit, self.store_is_back, self)  # type: ignore[arg-type]
        self.handler = Echo(second=self.second)

    def monotonic(self) -> float:
        return self.at

    def store_is_back(self) -> bool:
        self.asked += 1
        return self.answers

    def second(self, records: Sequence[Record]) -> list[Message]:
        self.seen.append([one.offset for one in records])
        return [Message("predictions", None, b"2") for _ in records]

    def remember(self, *offsets: int, partition: int = 0, is_provisional: bool = True) -> None:
        records = [Record("events", partition, offset, 0, None, b"{}") for offset in offsets]
        first = Message("predictions", None, b"1", is_provisional=is_provisional)
        self.late.remember(records, [first] * len(records))

    def take(self, most: int = 99) -> int:
        return len(self.late.second_predictions(self.handler, most))


def test_the_oldest_come_first_and_each_once() -> None:
    case = Case()
    case.remember(1, 2, 3)
    assert [case.take(2), case.take(2), case.take(2)] == [2, 1, 0]
    assert case.seen == [[1, 2], [3]]


def test_only_what_was_scored_without_the_store_is_remembered() -> None:
    case = Case()
    case.remember(1, is_provisional=False)
    assert (len(case.late), case.take(), case.asked) == (0, 0, 0)


def test_beyond_the_limit_the_oldest_are_forgotten() -> None:
    case = Case(limit=2)
    case.remember(1, 2, 3)
    assert case.take() == 2
    assert case.seen == [[2, 3]]
    none = Case(limit=0)
    none.remember(1)
    assert len(none.late) == 0


def test_events_of_a_partition_that_moved_are_forgotten_and_the_limit_stays() -> None:
    case = Case(limit=3)
    case.remember(1, 3)
    case.remember(2, partition=1)
    case.late.forget({Partition("events", 0)})
    case.remember(10, 11, 12, 13, partition=1)
    case.take()
    assert case.seen == [[11, 12, 13]]


def test_a_store_that_is_away_is_asked_once_a_second() -> None:
    case = Case(answers=False)
    case.remember(1)
    assert [case.take() for _ in range(5)] == [0] * 5
    assert case.asked == 1
    case.at += 1
    case.answers = True
    assert (case.take(), case.asked) == (1, 2)


def test_one_that_falls_silent_between_the_two_questions_keeps_the_events() -> None:
    case = Case()
    case.remember(1)
    assert len(case.late.second_predictions(Echo(), 9)) == 0  # its lookup got no answer
    case.at += 1
    assert case.take() == 1
