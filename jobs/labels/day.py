"""An event date as a span of time, and what may be read of a table within it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from scoretrail.feature.schema import TIMESTAMP

if TYPE_CHECKING:
    from collections.abc import Iterable

_DAY = timedelta(days=1)


def within(column: str, day: date) -> pc.Expression:
    """Return what is true of the rows whose time lies on a date, UTC."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    begin, end = (pa.scalar(at, TIMESTAMP) for at in (start, start + _DAY))
    return (pc.field(column) >= begin) & (pc.field(column) < end)


def dates_of(times: Any) -> set[date]:  # noqa: ANN401  (an Arrow array, chunked or not)
    """Return the dates, UTC, of times; nulls have none.

    >>> dates_of(pa.array([0, 86_399_999_999, None], TIMESTAMP))
    {datetime.date(1970, 1, 1)}
    """
    days = pc.unique(pc.floor_temporal(times.cast(TIMESTAMP, safe=False), unit="day"))
    return {at.date() for at in days.to_pylist() if at is not None}


def span(days: Iterable[date]) -> str:
    """Return the first and the last of some dates, for people.

    >>> span([date(2013, 12, 2), date(2013, 12, 1)])
    '2013-12-01 to 2013-12-02'
    """
    ordered = sorted(days)
    return f"{ordered[0]} to {ordered[-1]}" if ordered else "no dates"
