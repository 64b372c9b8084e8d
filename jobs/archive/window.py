"""A window of the stream: what one bundle in one role made of the events of one hour, in counts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING, Final

from scoretrail import digest
from scoretrail.clock import utc_text
from scoretrail.monitor.tally import Tally, added

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW: Final = timedelta(hours=1)
"""A day is made of windows wherever it begins: a baseline's days begin in the hour in which the least happens."""
WINDOW_US: Final = WINDOW // timedelta(microseconds=1)
WINDOWS: Final = "scoretrail.windows"
"""The metadata of an archive's commit with what was counted of its rows."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, order=True, kw_only=True)
class WindowKey:
    """Which window."""

    start: datetime
    """Of the hour of event times, UTC."""
    role: str
    model_name: str
    model_version: str
    bundle_sha256: str

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return self.start + WINDOW


@dataclass(frozen=True)
class Window:
    """What is known of a window; two of one window are parts of it."""

    key: WindowKey
    rows: int
    """All of its rows."""
    tally: Tally | None
    """What was counted of them; None where the bundle has no baseline, or the rows cannot be read."""
    counted: int
    """How many of the rows were counted."""
    revision: int = 0
    """How often rows came late; of a part 0."""

    def __add__(self, other: Window) -> Window:
        """Return both parts as one."""
        tallies = [one for one in (self.tally, other.tally) if one is not None]
        return Window(
            self.key,
            self.rows + other.rows,
            added(tallies),
            self.counted + other.counted,
            max(self.revision, other.revision),
        )


def start_of(us: int) -> datetime:
    """Return the start of the window of an event time, in microseconds since 1970.

    >>> start_of(-1).isoformat()
    '1969-12-31T23:00:00+00:00'
    """
    return _EPOCH + us // WINDOW_US * WINDOW


def merged(parts: Iterable[Window]) -> list[Window]:
    """Return one window of each key, in the order of their keys."""
    found: dict[WindowKey, list[Window]] = {}
    for part in parts:
        found.setdefault(part.key, []).append(part)
    return [reduce(Window.__add__, found[key]) for key in sorted(found)]


def to_text(windows: Iterable[Window]) -> str:
    """Return windows as the text that a commit says of itself."""
    return digest.canonical_json(
        [
            {
                **vars(one.key),
                "start": utc_text(one.key.start),
                "rows": one.rows,
                "counted": one.counted,
                "tally": None if one.tally is None else one.tally.to_text(),
            }
            for one in windows
        ]
    ).decode()


def from_text(text: str) -> list[Window]:
    """Return the windows that :func:`to_text` was given.

    Raises:
        TrailError: their counts cannot be read.
    """
    found = []
    for value in json.loads(text):
        rows, counted, tally = (value.pop(name) for name in ("rows", "counted", "tally"))
        key = WindowKey(**{**value, "start": datetime.fromisoformat(value["start"])})
        found.append(Window(key, rows, None if tally is None else Tally.from_text(tally), counted))
    return found
