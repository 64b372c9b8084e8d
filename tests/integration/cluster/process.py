"""Processes as /proc shows them: whose child one is, what it runs and which files it has open. Linux only."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")

PROC = Path("/proc")
_POLL_S = 0.02


@dataclass(frozen=True)
class Process:
    """A process, told apart by its start from a later one of the same id."""

    pid: int
    parent: int
    started: int
    """Clock ticks since the machine's start."""

    @property
    def command(self) -> str:
        """The command line; empty once it has ended."""
        with contextlib.suppress(OSError):
            return (PROC / str(self.pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return ""

    def open_paths(self) -> Iterator[str]:
        """Yield the files that it has open now."""
        with contextlib.suppress(OSError):
            for link in (PROC / str(self.pid) / "fd").iterdir():
                with contextlib.suppress(OSError):
                    yield str(link.readlink())

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if _read(self.pid) == self:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def has_ended(self) -> bool:
        """Whether it is gone, or only waits for its parent to notice."""
        return _read(self.pid) != self or _state(self.pid) in {"Z", "X", ""}


def descendants(pid: int) -> list[Process]:
    """Return the children of a process, their children, and so on."""
    everyone = [one for entry in PROC.iterdir() if entry.name.isdigit() and (one := _read(int(entry.name)))]
    family = {pid}
    below: list[Process] = []
    while fresh := [one for one in everyone if one.parent in family and one.pid not in family]:
        below += fresh
        family |= {one.pid for one in fresh}
    return below


def wait_for(look: Callable[[], Found | None], what: str, limit_s: float = 120, poll_s: float = _POLL_S) -> Found:
    """Return the first thing that ``look`` finds."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(poll_s)
    raise AssertionError(f"{limit_s:g} s, and still no {what}")


def _read(pid: int) -> Process | None:
    fields = _fields(pid)
    return Process(pid, int(fields[1]), int(fields[19])) if fields else None


def _state(pid: int) -> str:
    fields = _fields(pid)
    return fields[0] if fields else ""


def _fields(pid: int) -> list[str]:
    """Return the fields of ``stat`` from the third on: state, parent, ...; the second may hold spaces."""
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return []
