"""Delays of the last hours on an hourly tick: what was known of the flights that had landed by then."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

WINDOW_HOURS: Final = 3
"""A flight counts at the three ticks after its landing: enough flights at a time, and still this hour's weather."""
DELAY: Final = timedelta(minutes=10)
"""From a tick to when its figures can be read: what an aggregation on a schedule takes."""
FIGURES: Final = ("landed", "arr_delay", "late_share")

_HOUR_US: Final = 3_600_000_000
_UTC: Final = pa.timestamp("us", "UTC")


def delay_ticks(landed: pa.Table, key: str) -> pa.Table:
    """Return the delays of each entity's flights at each tick at which it has any.

    The value at tick T describes the flights with T − 3 h < landing <= T. An entity without a landing in that time has
    no row: what is known of it is older, and its age says so.

    Args:
        landed: ``landed_at``, ``arr_delay`` (minutes), ``late`` and the column ``key``, none of them null.
        key: whose delays: ``carrier`` or ``origin``.

    Returns:
        ``entity``, ``event_time`` (the tick), ``available_at``, and as float32 ``<key>_landed`` (flights),
        ``<key>_arr_delay`` (mean, minutes) and ``<key>_late_share`` (0 to 1).
    """
    at = landed["landed_at"].cast(pa.int64())
    first = pc.multiply(pc.divide(pc.add(at, _HOUR_US - 1), _HOUR_US), _HOUR_US)
    flights = pa.table({"entity": landed[key], "arr_delay": landed["arr_delay"].cast(pa.int64())})
    flights = flights.append_column("late", landed["late"].cast(pa.int64()))
    every = pa.concat_tables(
        [flights.append_column("tick", pc.add(first, hour * _HOUR_US)) for hour in range(WINDOW_HOURS)]
    )
    sums = every.group_by(["entity", "tick"], use_threads=False).aggregate(
        [("late", "count"), ("arr_delay", "sum"), ("late", "sum")]
    )
    # Sums of integers are exact in any order, so one division decides every bit.
    count = sums["late_count"].cast(pa.float64())
    delay_us = DELAY // timedelta(microseconds=1)
    return pa.table(
        {
            "entity": sums["entity"],
            "event_time": sums["tick"].cast(_UTC),
            "available_at": pc.add(sums["tick"], delay_us).cast(_UTC),
            f"{key}_landed": count.cast(pa.float32()),
            f"{key}_arr_delay": _float32(pc.divide(sums["arr_delay_sum"].cast(pa.float64()), count)),
            f"{key}_late_share": _float32(pc.divide(sums["late_sum"].cast(pa.float64()), count)),
        }
    )


def _float32(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.float32(), safe=False)
