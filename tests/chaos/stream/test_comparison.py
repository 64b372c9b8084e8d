"""The comparison finds every way in which an event can go wrong; each case is one right run with one thing changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.chaos.stream.comparison import Commit, Event, Outcome, Verdict, compare

OLD, NEW = "aa" * 32, "bb" * 32


@dataclass
class Run:
    """Two partitions of four events; the second half of each is scored by a newer bundle."""

    events: dict[int, dict[int, Event]] = field(
        default_factory=lambda: {p: {o: Event(b"%d-%d" % (p, o), f"{p}{o}") for o in range(4)} for p in range(2)}
    )
    outcomes: list[Outcome] = field(
        default_factory=lambda: [
            Outcome(p, o, 0, b"%d-%d" % (p, o), f"{p}{o}", OLD if o < 2 else NEW, is_dead_letter=o == 3)
            for p in range(2)
            for o in range(4)
        ]
    )
    commits: list[Commit] = field(
        default_factory=lambda: [
            Commit(p, *rest) for p in range(2) for rest in ((0, 0, ""), (2, 1, OLD[:16]), (4, 2, NEW[:16]))
        ]
    )
    acknowledged: list[tuple[int, int, bytes]] = field(default_factory=lambda: [(0, 1, b"0-1"), (1, 3, b"1-3")])

    def verdict(self) -> Verdict:
        return compare(self.events, self.outcomes, self.commits, self.acknowledged)

    def lose(self) -> None:
        del self.outcomes[5]

    def repeat(self) -> None:
        self.outcomes.append(self.outcomes[5])

    def invent(self) -> None:
        self.outcomes.append(self.outcomes[5]._replace(partition=2))

    def count_up(self) -> None:
        self.outcomes.append(self.outcomes[5]._replace(number=1))

    def swap_keys(self) -> None:
        self.outcomes[0] = self.outcomes[0]._replace(key=b"0-1")

    def swap_bytes(self) -> None:
        self.outcomes[3] = self.outcomes[3]._replace(event_sha256="02")

    def score_by_the_older(self) -> None:
        self.outcomes[2] = self.outcomes[2]._replace(bundle=OLD)

    def go_back(self) -> None:
        self.commits[2] = self.commits[2]._replace(alias_no=0)

    def commit_again(self) -> None:
        last = self.commits[-1]
        self.commits.append(last._replace(alias_no=last.alias_no + 1))

    def step_back(self) -> None:
        last = self.commits[-1]
        self.commits.append(last._replace(offset=last.offset - 1))

    def forget(self) -> None:
        self.acknowledged.append((0, 4, b"0-4"))

    def misplace(self) -> None:
        self.acknowledged.append((0, 2, b"0-1"))


def test_a_right_run_has_no_faults() -> None:
    verdict = Run().verdict()
    assert verdict.faults == {}
    assert (verdict.events, verdict.predictions, verdict.dead_letters, verdict.commits) == (8, 6, 2, 6)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (Run.lose, "lost"),
        (Run.repeat, "twice"),
        (Run.invent, "strange"),
        (Run.count_up, "strange"),
        (Run.swap_keys, "altered"),
        (Run.swap_bytes, "altered"),
        (Run.score_by_the_older, "other_bundle"),
        (Run.go_back, "alias_back"),
        (Run.commit_again, "offset_back"),
        (Run.step_back, "offset_back"),
        (Run.forget, "vanished"),
        (Run.misplace, "vanished"),
    ],
)
def test_each_fault_is_found_and_no_other(change: Callable[[Run], None], fault: str) -> None:
    run = Run()
    change(run)
    verdict = run.verdict()
    assert verdict.faults.pop(fault) == 1
    assert set(verdict.faults) - {fault} <= ({"other_bundle"} if change is Run.invent else set())
    assert verdict.examples[0].startswith(fault)


def test_a_commit_that_lies_there_twice_word_for_word_is_counted_and_no_fault() -> None:
    run = Run()
    run.commits.append(run.commits[-1])
    verdict = run.verdict()
    assert (verdict.repeated, verdict.faults) == (1, {})
