"""The workers of a run: born, killed, and put back into their slots, by one process that forks them."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.chaos.stream.order import Action, Order

ROOT = Path(__file__).parents[3]
BACKOFF_S = 0.5
"""A worker that ended by itself is not put back at once: the brokers may be away."""
WAIT_S = 120


@dataclass
class Slot:
    """One place in the group."""

    name: str
    order: Order
    is_wanted: bool = True
    pid: int | None = None
    asked: bool = False
    """Whether a worker is being born."""
    due: float = 0.0
    """When one may be born."""
    away_s: float = 0.0
    """How long the slot stays empty after the next kill."""


class Crew:
    """Slots and their workers; a context. One thread calls it, and calls :meth:`tick` all the time."""

    def __init__(self, folder: Path, plan_of: Callable[[str], dict[str, Any]]) -> None:
        """Prepare.

        Args:
            folder: where orders and logs lie.
            plan_of: what a worker is born with, by its slot.
        """
        self._folder, self._plan_of = folder, plan_of
        self._told: queue.Queue[dict[str, Any]] = queue.Queue()
        self.slots: dict[str, Slot] = {}
        self.codes: Counter[int] = Counter()
        """How workers ended: exit code, or minus the signal's number."""
        self.born = 0
        self.killed_at: list[tuple[float, bool]] = []
        """Of each SIGKILL: when (seconds since 1970), and whether its slot is filled at once; the reader empties it."""

    def __enter__(self) -> Self:
        with (self._folder / "nursery.log").open("a") as log:
            self._nursery = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.stream.nursery"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        self._thread = threading.Thread(target=self._listen, name="crew", daemon=True)
        self._thread.start()
        assert self._told.get(timeout=WAIT_S)["ready"]
        return self

    def __exit__(self, *_: object) -> None:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.close()
        self._nursery.wait(WAIT_S)
        self._thread.join(WAIT_S)
        self._nursery.stdout.close()

    def want(self, name: str) -> Slot:
        """Have a worker in a slot from now on."""
        slot = self.slots.setdefault(name, Slot(name, Order(self._folder / f"order-{name}")))
        slot.is_wanted = True
        return slot

    def dismiss(self, name: str) -> None:
        """End a slot's worker in order, and have none there any more."""
        self.slots[name].is_wanted = False
        self.signal(self.slots[name], signal.SIGTERM)

    def signal(self, slot: Slot, number: int) -> None:
        """Send a signal to a slot's worker, if there is one."""
        if slot.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(slot.pid, number)

    def order(self, slot: Slot, action: Action, step: str, away_s: float = 0.0) -> None:
        """Ask a slot's worker for a fault at a step; the slot stays empty for a while where that kills it."""
        slot.away_s = away_s
        slot.order.ask(action, step)

    def ready(self) -> list[Slot]:
        """Return the slots whose workers have committed something."""
        return [slot for slot in self.slots.values() if slot.pid is not None and slot.order.is_ready]

    def tick(self) -> None:
        """Take note of what happened, and put workers into the slots that want one."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._note(self._told.get_nowait())
        now = time.monotonic()
        for slot in self.slots.values():
            if slot.is_wanted and slot.pid is None and not slot.asked and slot.due <= now:
                slot.order.begin()
                slot.asked = True
                self._bear(slot)

    def end(self, limit_s: float = WAIT_S) -> None:
        """End all workers in order."""
        for name in self.slots:
            self.dismiss(name)
        end = time.monotonic() + limit_s
        while any(slot.pid or slot.asked for slot in self.slots.values()):
            assert time.monotonic() < end, "workers do not end"
            self.tick()
            time.sleep(0.02)

    def _bear(self, slot: Slot) -> None:
        assert self._nursery.stdin is not None
        plan = {
            **self._plan_of(slot.name),
            "slot": slot.name,
            "order": str(self._folder / f"order-{slot.name}"),
            "log": str(self._folder / f"worker-{slot.name}.log"),
        }
        self._nursery.stdin.write(json.dumps(plan).encode() + b"\n")
        self._nursery.stdin.flush()

    def _note(self, told: dict[str, Any]) -> None:
        if "born" in told:
            slot = self.slots[told["slot"]]
            slot.pid, slot.asked = told["born"], False
            self.born += 1
            if not slot.is_wanted:
                self.signal(slot, signal.SIGTERM)
            return
        self.codes[told["code"]] += 1
        slot = next(slot for slot in self.slots.values() if slot.pid == told["ended"])
        was_killed = told["code"] == -signal.SIGKILL
        if was_killed:
            self.killed_at.append((told["at"], not slot.away_s))
        slot.pid = None
        slot.due = time.monotonic() + (slot.away_s if was_killed else BACKOFF_S)
        slot.away_s = 0.0

    def _listen(self) -> None:
        assert self._nursery.stdout is not None
        for line in self._nursery.stdout:
            self._told.put({**json.loads(line), "at": time.time()})
