"""Ends the process when the loop stands still: calls of a transaction wait without a limit."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Self

from scoretrail import log
from scoretrail.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOKS: int = 10
"""In one limit; so it is noticed late by a tenth of it at most."""


class Watchdog:
    """A thread that looks at a clock; a context."""

    def __init__(
        self,
        limit_s: float,
        end: Callable[[int], object] = os._exit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; the clock runs from :meth:`start` on.

        Args:
            limit_s: how long the loop may take between two beats.
            end: ends the process. Not by an exception: the loop's thread waits inside a library and would not see it.
            clock: seconds that never go back.
        """
        self._limit_s = limit_s
        self._end = end
        self._clock = clock
        self._beat = (clock(), "start")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def beat(self, step: str) -> None:
        """Say that the loop has got to a step."""
        self._beat = (self._clock(), step)

    def age_s(self) -> float:
        """Return the seconds since the last beat."""
        return self._clock() - self._beat[0]

    @property
    def is_watching(self) -> bool:
        """Whether the loop is bound to move."""
        return self._thread.is_alive()

    def start(self) -> Self:
        """Begin to watch."""
        self.beat("start")
        self._thread.start()
        return self

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _watch(self) -> None:
        while not self._stopped.wait(self._limit_s / _LOOKS):
            _, step = self._beat
            age_s = self.age_s()
            if age_s > self._limit_s:
                log.get().error(log.LOOP_STALLED, step=step, seconds=round(age_s, 1), limit_s=self._limit_s)
                # The transaction stays open; the broker aborts it, or the restarted worker of this slot does.
                self._end(int(ExitCode.RETRY))
                return
