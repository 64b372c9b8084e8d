"""Workers, broker, network and store are harmed in every way at once; each event still has exactly one outcome."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.chaos.stream.arena import PARTITIONS, Arena
from tests.chaos.stream.comparison import Verdict, compare
from tests.chaos.stream.conftest import Length, length
from tests.chaos.stream.crew import Crew, Slot
from tests.chaos.stream.ledger import Ledger
from tests.chaos.stream.order import Action
from tests.chaos.stream.reader import Lookout, commits_of, events_of, outcomes_of
from tests.chaos.stream.report import Report, report_of
from tests.chaos.stream.schedule import Fault, Kind, deal
from tests.chaos.stream.storm import Storm

SLOTS = ("0", "1", "2")
ALIAS_S = 4.0
SETTLE_S = 300
MANY_KILLS = 200
"""So many say how long a kill is felt; that nothing is lost is for the long storm to show."""
OPEN_S = 120
"""A transaction of a dead worker is aborted after 4 s, and when the broker looks, every second; if it has the time."""


def judged(arena: Arena, ledger: Ledger, *, with_commits: bool = True) -> Verdict:
    """Compare what the topics hold, read anew by a reader that knows nothing of the run."""
    where = arena.broker.address
    arena.await_closed(OPEN_S)
    return compare(
        events_of(where, arena.input),
        outcomes_of(where, arena.predictions, arena.dead_letters),
        commits_of(where, arena.group, arena.input) if with_commits else (),
        ledger.acknowledged(),
    )


def weather(arena: Arena, how: Length, deck: Sequence[Fault]) -> Report:
    """Run workers while events come and faults are carried out; return what came of it."""
    began = time.monotonic()
    ledger = Ledger(arena.broker.address, arena.input, PARTITIONS, how.rate, how.seed)
    lookout = Lookout(arena.broker.address, arena.outputs, arena.partition_of, PARTITIONS)

    def is_over() -> bool:
        return time.monotonic() - began > how.limit_s

    with Crew(arena.folder, arena.plan) as crew, ledger, lookout:
        storm = Storm(arena, crew, lookout)
        for slot in SLOTS:
            crew.want(slot)
        assert storm.until(lambda: min(lookout.written_ms) > 0), "no outcome of some partition"
        arena.move_aliases(ALIAS_S)
        for fault in deck:
            if is_over():
                break
            storm.carry_out(fault)
        for more in deal(how.kills, how.seed + 1):  # for kills that nobody was there for
            if more.kind is Kind.KILL and storm.killed < how.kills and not is_over():
                storm.carry_out(more)
        # Not by what was sent: while the broker is down, the producer gives up on some.
        storm.until(lambda: ledger.arrived >= how.events or is_over(), how.events / how.rate * 2)
        storm.end()
        ledger.stop()
        arena.settle()
        arena.await_no_lag(SETTLE_S, storm.tick)
        crew.end()
        verdict = judged(arena, ledger)
        return report_of(how.seed, time.monotonic() - began, verdict, storm, crew, ledger, arena)


def show(report: Report, how: Length, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{report.to_text()}\n")
    if how.report is not None:
        report.append(how.report)


def assert_sound(report: Report) -> None:
    assert report.markers_skipped == 0, "the broker half ended a transaction: see jobs/services/fencing.py"
    assert Verdict(**report.verdict).faults == {}, report.verdict["examples"]
    assert report.unexpected_codes == set()
    assert report.verdict["predictions"] + report.verdict["dead_letters"] == report.events
    assert report.alias_moves > 0


@pytest.mark.timeout(1200)
def test_a_storm_loses_nothing_and_doubles_nothing(arena: Arena, capsys: pytest.CaptureFixture[str]) -> None:
    how = Length(kills=12, events=5_000, rate=200, seed=1)
    report = weather(arena, how, deal(how.kills, how.seed))
    show(report, how, capsys)
    assert_sound(report)
    assert set(report.faults) | set(report.missed) == {str(kind) for kind in Kind}


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_long_storm_loses_nothing_and_doubles_nothing(arena: Arena, capsys: pytest.CaptureFixture[str]) -> None:
    how = length(kills=100, events=50_000, rate=450)
    report = weather(arena, how, deal(how.kills, how.seed))
    show(report, how, capsys)
    assert_sound(report)
    assert report.kills >= how.kills or report.seconds > how.limit_s


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_kills_alone_are_soon_over(arena: Arena, capsys: pytest.CaptureFixture[str]) -> None:
    asked = length(kills=MANY_KILLS, events=0, rate=200)
    how = replace(asked, kills=min(asked.kills, MANY_KILLS), events=0)
    deck = [fault for fault in deal(how.kills, how.seed) if fault.kind in {Kind.KILL, Kind.KILL_AT_STEP}]
    report = weather(arena, how, deck)
    show(report, how, capsys)
    assert_sound(report)
    assert report.median_s["restarted, undisturbed"] <= 5


@pytest.mark.parametrize(("naive", "fault"), [("produce first", "twice"), ("commit first", "lost")])
def test_the_control_a_loop_without_the_guards_is_found_out(arena: Arena, naive: str, fault: str) -> None:
    ledger = Ledger(arena.broker.address, arena.input, PARTITIONS, rate=200, seed=1)
    with Crew(arena.folder, lambda slot: arena.plan(slot, naive)) as crew, ledger:
        slot = crew.want("0")
        for _ in range(3):
            kill_between(crew, slot)
        ledger.stop()
        arena.await_no_lag(SETTLE_S, crew.tick)
    verdict = judged(arena, ledger, with_commits=False)
    assert getattr(verdict, fault) >= 3, verdict
    assert set(verdict.faults) == {fault}


def kill_between(crew: Crew, slot: Slot) -> None:
    """Kill a naive worker that has done a round between its two halves; return when its successor is born."""
    born = crew.born
    until(lambda: slot.pid is not None and slot.order.is_ready, crew)
    crew.order(slot, Action.KILL, "between")
    until(lambda: crew.born > max(born, 1), crew)


def until(holds: Callable[[], bool], crew: Crew) -> None:
    end = time.monotonic() + SETTLE_S
    while not holds():
        assert time.monotonic() < end, crew.codes
        crew.tick()
        time.sleep(0.005)
