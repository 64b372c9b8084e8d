"""A span of times as an option of a command: ``A..B``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from scoretrail.errors import UsageError

_EXPECTED: Final = "A..B, each a date (midnight, UTC) or a full hour with its time zone, A before B"


def parse_span(text: str) -> tuple[datetime, datetime]:
    """Return the first moment of a span, and the first after it.

    >>> [at.isoformat() for at in parse_span("2013-12-01..2013-12-08T05:00Z")]
    ['2013-12-01T00:00:00+00:00', '2013-12-08T05:00:00+00:00']

    Raises:
        UsageError: it is none.
    """
    first, separator, last = text.partition("..")
    try:
        start, end = _hour(first), _hour(last)
    except ValueError as error:
        raise UsageError(f"{text!r} is no span of time", expected=_EXPECTED, got=str(error)) from error
    if not separator or start >= end:
        raise UsageError(f"{text!r} is no span of time", expected=_EXPECTED)
    return start, end


def _hour(text: str) -> datetime:
    """Return a date's midnight, or a full hour.

    Raises:
        ValueError: it is neither.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        if "T" in text or " " in text:
            msg = f"{text} says no time zone"
            raise ValueError(msg)
        at = at.replace(tzinfo=UTC)
    at = at.astimezone(UTC)
    if (at.minute, at.second, at.microsecond) != (0, 0, 0):
        msg = f"{text} is not a full hour"
        raise ValueError(msg)
    return at
