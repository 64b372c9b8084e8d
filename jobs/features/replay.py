"""The order of a lockstep replay: what is loaded before which events, so that the stream sees what the join saw.

The as-of join gives an event at time t the values with ``available_at <= t``. A replay sees the same if, at each
distinct ``available_at`` a, the values of a are loaded, then the events of [a, next a) are sent, and their commits
are awaited.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from jobs.features.latest import latest
from jobs.features.table import AVAILABLE_AT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Step:
    """Values to load, then events to send."""

    available_at: datetime | None
    """The latest time at which one of the values became available; None where there is none before the events."""
    values: Mapping[str, pa.Table]
    """Stored set -> at most one row per entity: the latest of those that became available since the step before."""
    events: pa.Table
    """At least one row, in order of time."""


def lockstep(tables: Mapping[str, pa.Table], events: pa.Table, event_time: str) -> Iterator[Step]:
    """Yield the steps of a replay, in order.

    Times without an event before the next one are joined into one step: nobody could have seen the difference.
    Values that become available after the last event are in no step.

    Args:
        tables: stored set -> its offline table, rows in any order.
        events: the records, in any order; those of one time keep theirs.
        event_time: the events' time column, timestamp[us, UTC].

    Returns:
        Steps that together hold each event once, and each value at most once.
    """
    events = events.sort_by([(event_time, "ascending")])
    at = _microseconds(events, event_time)
    ordered = {name: table.sort_by([(AVAILABLE_AT, "ascending")]) for name, table in tables.items()}
    times = {name: _microseconds(table, AVAILABLE_AT) for name, table in ordered.items()}
    # Before each event, how many of all distinct availabilities have passed: where that changes, a step begins.
    moments = np.unique(np.concatenate([np.empty(0, np.int64), *times.values()]))
    passed = np.searchsorted(moments, at, side="right")
    starts = np.flatnonzero(np.diff(passed, prepend=-1))
    loaded = dict.fromkeys(ordered, 0)
    for start, stop in zip(starts, np.append(starts[1:], len(at))[: len(starts)], strict=True):
        values = {}
        latest_at: datetime | None = None
        if passed[start]:
            moment = moments[passed[start] - 1]
            latest_at = pa.scalar(int(moment), pa.int64()).cast(pa.timestamp("us", "UTC")).as_py()
            for name, table in ordered.items():
                until = int(np.searchsorted(times[name], moment, side="right"))
                values[name] = latest(table.slice(loaded[name], until - loaded[name]))
                loaded[name] = until
        yield Step(latest_at, values, events.slice(start, stop - start))


def _microseconds(table: pa.Table, column: str) -> NDArray[np.int64]:
    return np.asarray(table[column].cast(pa.int64()), np.int64)
