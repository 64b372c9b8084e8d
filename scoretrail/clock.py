"""The time, as an argument: a system clock, and one that stands still for replays and tests."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time of day and measures durations."""

    def now(self) -> datetime:
        """Return the time of day, aware, in UTC, to the microsecond."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary origin, never going back; for durations."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time of day, aware, in UTC, to the microsecond."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds from an arbitrary origin, never going back."""
        return time.monotonic()


@dataclass(frozen=True)
class FixedClock:
    """A clock whose time of day stands still; durations still pass, since they are figures and not data."""

    at: datetime

    def now(self) -> datetime:
        """Return the fixed time, in UTC."""
        return self.at.astimezone(UTC)

    def monotonic(self) -> float:
        """Return seconds from an arbitrary origin, never going back."""
        return time.monotonic()


def utc_text(at: datetime) -> str:
    """Return an RFC 3339 text in UTC with microseconds, as every record of ours writes a time.

    >>> utc_text(datetime(2013, 12, 2, 5, tzinfo=UTC))
    '2013-12-02T05:00:00.000000Z'
    """
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_utc_text(text: str) -> datetime:
    """Return the aware time that :func:`utc_text` wrote.

    >>> from_utc_text("2013-12-02T05:00:00.000000Z").isoformat()
    '2013-12-02T05:00:00+00:00'
    """
    return datetime.fromisoformat(text).astimezone(UTC)
