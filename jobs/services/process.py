"""A process that is told apart from a later one of the same id, so that no signal reaches a stranger."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_POLL_S: Final = 0.01
_KILL_LIMIT_S: Final = 30.0
"""SIGKILL takes effect once the kernel has written back or given up what the process waits for."""
_PS_LIMIT_S: Final = 10.0
_DEAD: Final = frozenset("ZX")
_START_FIELD: Final = 19
"""Field 22 of ``/proc/PID/stat``, counted from the third: the two before hold a name with any characters."""


@dataclass(frozen=True)
class Process:
    """A process of this machine."""

    pid: int
    started: str
    """When it started, as the system states it: two processes of one id differ in it."""

    def is_running(self) -> bool:
        """Tell whether it is there, or was a moment ago and still lets go of its ports and files."""
        try:
            ended, _ = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # another's child
            return running(self.pid) == self
        # Only this says when the last thread of a child is gone; and a child that nobody waits for stays a zombie.
        return not ended

    def send(self, number: signal.Signals) -> bool:
        """Send a signal and tell whether there was anyone to get it."""
        if not self.is_running():
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False

    def wait(self, limit_s: float) -> bool:
        """Tell whether it ended within the limit."""
        end = time.monotonic() + limit_s
        while self.is_running():
            if time.monotonic() >= end:
                return False
            time.sleep(_POLL_S)
        return True

    def kill(self) -> None:
        """End it at once, and return when it is gone."""
        self.send(signal.SIGKILL)
        self.wait(_KILL_LIMIT_S)

    def end(self, limit_s: float) -> bool:
        """Ask it to end, and kill it after the limit; tell whether it ended by itself."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)  # a stopped process would not notice that it is asked
        if self.wait(limit_s):
            return True
        self.kill()
        return False


def running(pid: int) -> Process | None:
    """Return the process that has this id now, or None if none has, or only its exit status is left."""
    started = _of_proc(pid) if _PROC.is_dir() else _of_ps(pid)
    return Process(pid, started) if started else None


def descendants(process: Process) -> list[Process]:
    """Return the children of a process, their children, and so on, of any session; none where there is no /proc."""
    parents = {int(entry.name): _parent(entry) for entry in _PROC.glob("[0-9]*")}
    family = {process.pid}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    found = (running(pid) for pid in sorted(family - {process.pid}))
    return [one for one in found if one is not None]


def _parent(entry: Path) -> int | None:
    try:
        return int((entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
    except OSError:
        return None


def _of_proc(pid: int) -> str | None:
    try:
        fields = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        # The first thread of a program may be a zombie while the others still hold its ports.
        is_dead = fields[0] in _DEAD and len(list((_PROC / str(pid) / "task").iterdir())) <= 1
    except OSError:
        return None
    return None if is_dead else fields[_START_FIELD]


def _of_ps(pid: int) -> str | None:
    told = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],  # noqa: S607  (where it lies differs by system)
        capture_output=True,
        text=True,
        check=False,
        timeout=_PS_LIMIT_S,
        env={**os.environ, "LC_ALL": "C"},
    )
    state, _, started = told.stdout.strip().partition(" ")
    return started.strip() if started and state[:1] not in _DEAD else None
