"""Seconds by stage of a run."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scoretrail.clock import Clock


class Stopwatch:
    """Adds up the time each stage took."""

    def __init__(self, clock: Clock) -> None:
        """Start the total."""
        self._clock = clock
        self._began = clock.monotonic()
        self._stages: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add what happens inside to a stage."""
        began = self._clock.monotonic()
        try:
            yield
        finally:
            self._stages[name] = self._stages.get(name, 0.0) + self._clock.monotonic() - began

    def seconds(self) -> dict[str, float]:
        """Return stage -> seconds, and ``total``."""
        total = self._clock.monotonic() - self._began
        return {**{name: round(value, 3) for name, value in self._stages.items()}, "total": round(total, 3)}
