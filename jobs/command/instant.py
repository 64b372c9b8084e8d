"""A time as an option of a command."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from scoretrail.errors import UsageError

EXAMPLE: Final = "such as 2013-12-02T05:00Z"


def instant(option: str, text: str | None) -> datetime | None:
    """Return an aware time; None where none is given.

    Args:
        option: its name, for the message.
        text: ISO 8601 with a time zone.

    Raises:
        UsageError: it is no time, or says no time zone.
    """
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise UsageError(f"{option} is no time", expected=f"{EXAMPLE}, with its time zone", got=text)
    return at
