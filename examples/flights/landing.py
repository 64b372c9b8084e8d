"""When a flight landed, as an instant: what the source says on the destination's clock, made UTC.

The source has the arrival as a clock at the destination (``arr_time``, HHMM) without a day. The wheels were down
``air_time`` minutes after the actual departure at the earliest; the landing is the first time from then on at which the
destination's clock shows ``arr_time``. No day has to be guessed, and an hour that the clocks repeat or skip does not
mislead. What lies between is taxiing: 5 to 235 minutes in the source.

A flight to an airport without a time zone in the source (7,602: Puerto Rico and the Virgin Islands) has no known
landing, and neither has one that was cancelled or diverted. It counts in no delay, for nobody can say from when on.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from scoretrail.errors import InputError

COLUMNS: Final = {"dep_delay": pa.int16(), "air_time": pa.int16(), "arr_time": pa.int16()}
"""What must be known of a flight besides its record."""
MAX_TAXI_MINUTES: Final = 360
"""Nothing taxis for six hours: a longer wait says that a time zone or a clock is wrong."""

_MINUTE_US: Final = 60_000_000
_MINUTES_PER_DAY: Final = 24 * 60
_UTC: Final = pa.timestamp("us", "UTC")


def landed_at(flights: pa.Table, zones: pa.Table) -> pa.Array:
    """Return when each flight landed; null where that is not known.

    Args:
        flights: ``sched_dep_at``, ``dest`` and ``COLUMNS``.
        zones: ``faa`` and ``tzone``, one row per airport.

    Returns:
        (n_rows,) timestamp[us, UTC].

    Raises:
        InputError: a flight would have taxied longer than any does.
    """
    down = _in_minutes(flights["sched_dep_at"], pc.add(flights["dep_delay"], flights["air_time"])).combine_chunks()
    zone = zones["tzone"].take(pc.index_in(flights["dest"], value_set=zones["faa"])).combine_chunks()
    clock = _minute_of_day(flights["arr_time"].combine_chunks())
    taxi = pa.nulls(len(flights), pa.int32())
    for name in pc.unique(zone.drop_null()).to_pylist():
        here = pc.fill_null(pc.equal(zone, name), fill_value=False)
        taxi = pc.replace_with_mask(taxi, here, _wait(down.filter(here), clock.filter(here), name))
    longest = pc.max(taxi).as_py()
    if longest is not None and longest > MAX_TAXI_MINUTES:
        raise InputError(
            "a flight cannot have landed when its clock says so",
            expected=f"at most {MAX_TAXI_MINUTES} minutes from wheels down to the gate",
            got=f"{longest} minutes",
        )
    return _in_minutes(down, taxi)


def _wait(since: pa.Array, clock: pa.Array, zone: str) -> pa.Array:
    """Return the minutes until a zone's clocks show a time.

    The offset from UTC may change on the way, so the one of six hours later is tried as well; the shorter wait counts
    of those after which the clock does show the time. Where it skips that time, whoever wrote it down had not changed
    the clock yet, and the offset at touchdown counts.
    """
    ahead = _in_minutes(since, pa.repeat(pa.scalar(MAX_TAXI_MINUTES, pa.int32()), len(since)))
    waits = [
        _modulo(pc.subtract(clock, _shown(since, zone))),
        _modulo(pc.add(pc.subtract(clock, _shown(ahead, zone)), MAX_TAXI_MINUTES)),
    ]
    right = []
    for wait in waits:
        shows = pc.equal(_shown(_in_minutes(since, wait), zone), clock)
        soon = pc.less_equal(wait, MAX_TAXI_MINUTES)
        right.append(pc.if_else(pc.and_(shows, soon), wait, pa.scalar(None, pa.int32())))
    return pc.coalesce(pc.min_element_wise(*right), waits[0])


def _shown(at: pa.Array, zone: str) -> pa.Array:
    local = at.cast(pa.timestamp("us", zone))
    return pc.add(pc.multiply(pc.hour(local), 60), pc.minute(local)).cast(pa.int32())


def _modulo(minutes: pa.Array) -> pa.Array:
    """Return minutes of more or less than a day as 0 to 1439."""
    positive = pc.add(minutes, 2 * _MINUTES_PER_DAY)
    return pc.subtract(positive, pc.multiply(pc.divide(positive, _MINUTES_PER_DAY), _MINUTES_PER_DAY)).cast(pa.int32())


def _in_minutes(at: pa.Array, minutes: pa.Array) -> pa.Array:
    later = pc.add(at.cast(pa.int64()), pc.multiply(minutes.cast(pa.int64()), _MINUTE_US))
    return later.cast(_UTC)


def _minute_of_day(hhmm: pa.Array) -> pa.Array:
    """Return the minute of a clock, 0 for both ends of the day: the source has 2400."""
    wide = hhmm.cast(pa.int32())
    minute = pc.subtract(wide, pc.multiply(pc.divide(wide, 100), 40))
    return pc.if_else(pc.equal(minute, _MINUTES_PER_DAY), 0, minute).cast(pa.int32())
