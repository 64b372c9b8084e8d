"""Faults that the harness asks a worker for at a step of its turn, through a few bytes of shared memory."""

from __future__ import annotations

import mmap
from enum import IntEnum
from pathlib import Path

#: The steps of a turn of the real worker, then those of the naive loops.
TURN = ("polled", "begun", "sent", "flushed", "checked", "offsets", "committed")
STEPS = (*TURN, "recovering", "closed", "reset", "between")
_BYTES = 3
_ACTION, _STEP, _READY = range(_BYTES)


class Action(IntEnum):
    """What a worker does to itself."""

    NONE = 0
    KILL = 1
    STALL = 2
    """Stand still; the watchdog looks on."""
    STALL_ALONE = 3
    """Stand still while nothing looks on, for longer than the poll interval."""


class Order:
    """What one slot is asked for, and whether its worker has committed since it was born."""

    def __init__(self, path: Path) -> None:
        """Open the file, which is made where it is missing."""
        if not path.exists():
            path.write_bytes(bytes(_BYTES))
        with path.open("r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), _BYTES)

    def ask(self, action: Action, step: str) -> None:
        """Ask for an action at the next time that a step is done."""
        self._bytes[_ACTION : _STEP + 1] = bytes((action, STEPS.index(step)))

    def begin(self) -> None:
        """Forget what was asked, for a worker that is born."""
        self._bytes[:] = bytes(_BYTES)

    def take(self, step: str) -> Action:
        """Return what is to be done at this step, once."""
        if step == "committed":
            self._bytes[_READY] = 1
        action = Action(self._bytes[_ACTION])
        if not action or STEPS[self._bytes[_STEP]] != step:
            return Action.NONE
        self._bytes[_ACTION] = Action.NONE
        return action

    @property
    def is_ready(self) -> bool:
        """Whether the worker has committed something."""
        return bool(self._bytes[_READY])
