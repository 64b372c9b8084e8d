"""How long a SIGKILL of ``scoretrail stream run`` itself is felt by readers, with nothing else in its way."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.stream.arena import PARTITIONS, Arena
from tests.chaos.stream.conftest import length
from tests.chaos.stream.crew import ROOT, Crew
from tests.chaos.stream.ledger import Ledger
from tests.chaos.stream.reader import Lookout
from tests.chaos.stream.schedule import Fault, Kind
from tests.chaos.stream.storm import Storm
from tests.chaos.stream.test_storm import SETTLE_S, judged

RATE = 200
LIMIT_S = 60


class Command:
    """The command in a process of its own, in one slot."""

    def __init__(self, arena: Arena, slot: str) -> None:
        self._arena, self._slot = arena, slot
        self.start()

    def start(self) -> None:
        def text(value: Any) -> str:
            return json.dumps(value) if isinstance(value, list) else str(value)

        told = {**self._arena.settings(self._slot), "stream.slot": self._slot}
        settings = [part for name, value in told.items() for part in ("--set", f"{name}={text(value)}")]
        with (self._arena.folder / f"command-{self._slot}.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jobs.cli", "stream", "run", "--from", "earliest", *settings],
                cwd=self._arena.folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(LIMIT_S)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(LIMIT_S)


@pytest.fixture
def lookout(arena: Arena) -> Iterator[Lookout]:
    with Lookout(arena.broker.address, arena.outputs, arena.partition_of, PARTITIONS) as found:
        yield found


@pytest.fixture
def ledger(arena: Arena) -> Iterator[Ledger]:
    with Ledger(arena.broker.address, arena.input, PARTITIONS, RATE, seed=1) as found:
        yield found


def felt_s(lookout: Lookout, killed_at: float) -> float:
    """Return the seconds until outcomes of every partition that were made after a kill are visible."""
    while min(lookout.written_ms) <= killed_at * 1000:
        assert time.time() < killed_at + LIMIT_S, "it does not come back"
        time.sleep(0.01)
    return time.time() - killed_at


@pytest.mark.slow
def test_the_command_killed_and_started_again_in_its_slot(
    arena: Arena, lookout: Lookout, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    workers = [Command(arena, slot) for slot in ("0", "1")]
    felt_s(lookout, time.time())
    felt = []
    for _ in range(min(20, max(4, length(0, 0, 0).kills))):
        time.sleep(1)
        workers[0].kill()
        killed_at = time.time()
        workers[0].start()
        felt.append(felt_s(lookout, killed_at))
    ledger.stop()
    arena.await_no_lag(SETTLE_S, lambda: None)
    for worker in workers:
        worker.end()
    with capsys.disabled():
        sys.stdout.write(f"\nkilled and restarted, felt for: {told(felt)}\n")
    assert judged(arena, ledger).faults == {}
    assert statistics.median(felt) <= 5


@pytest.mark.slow
def test_killed_before_its_commit_and_not_restarted(
    arena: Arena, lookout: Lookout, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    with Crew(arena.folder, arena.plan) as crew:
        storm = Storm(arena, crew, lookout)
        for slot in ("0", "1"):
            crew.want(slot)
        assert storm.until(lambda: len(crew.ready()) == 2)
        for number in range(3):
            storm.carry_out(Fault(Kind.KILL_AWAY, 1, number, "offsets", 1))
            assert storm.until(lambda: storm.kills[-1].felt_s is not None)
            assert storm.until(lambda: len(crew.ready()) == 2)
        felt = [kill.felt_s or 0 for kill in storm.kills]
        ledger.stop()
        arena.await_no_lag(SETTLE_S, storm.tick)
        crew.end()
    with capsys.disabled():
        sys.stdout.write(f"\nkilled before its commit, not restarted, felt for: {told(felt)}\n")
    assert judged(arena, ledger).faults == {}
    assert storm.done == {Kind.KILL_AWAY: 3}
    assert statistics.median(felt) <= 10


def told(felt: list[float]) -> str:
    return f"{len(felt)} times, median {statistics.median(felt):.2f} s, slowest {max(felt):.2f} s"
