"""Landings as instants: over midnight, through changes of the clocks, and where nothing is known."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from examples.flights import landing
from examples.flights.landing import landed_at
from scoretrail.errors import InputError

ZONES = pa.table(
    {
        "faa": ["LAX", "ORD", "PHX", "HNL", "EWR"],
        "tzone": [
            "America/Los_Angeles",
            "America/Chicago",
            "America/Phoenix",
            "Pacific/Honolulu",
            "America/New_York",
        ],
    }
)


def landed(sched: str, dest: str, dep_delay: int | None, air_time: int | None, arr_time: int | None) -> datetime | None:
    flights = pa.table(
        {
            "sched_dep_at": pa.array([datetime.fromisoformat(sched)], pa.timestamp("us", "UTC")),
            "dest": [dest],
            **{
                name: pa.array([value], type_)
                for (name, type_), value in zip(landing.COLUMNS.items(), (dep_delay, air_time, arr_time), strict=True)
            },
        }
    )
    (found,) = landed_at(flights, ZONES).to_pylist()
    return found  # type: ignore[no-any-return]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("sched", "dest", "dep_delay", "air_time", "arr_time", "expected"),
    [
        # 10:15 UTC, 2 minutes late, 227 in the air: down at 14:04; 08:30 in Chicago is 14:30.
        ("2013-01-01T10:15Z", "ORD", 2, 227, 830, "2013-01-01T14:30"),
        # On the minute of touching down.
        ("2013-01-01T10:15Z", "ORD", 2, 227, 804, "2013-01-01T14:04"),
        # Over midnight at the destination, the source's 2400 among it.
        ("2013-07-01T22:00Z", "LAX", 60, 470, 2400, "2013-07-02T07:00"),
        ("2013-07-01T22:00Z", "LAX", 60, 470, 10, "2013-07-02T07:10"),
        # Phoenix has no summer time, Honolulu neither.
        ("2013-07-01T12:00Z", "PHX", 0, 300, 1025, "2013-07-01T17:25"),
        ("2013-07-01T12:00Z", "HNL", -5, 600, 1200, "2013-07-01T22:00"),
        # New York's clocks skip 02:00 to 03:00: wheels down at 01:50, at the gate at 03:05, 15 minutes later.
        ("2013-03-10T05:00Z", "EWR", 0, 110, 305, "2013-03-10T07:05"),
        # A clock that the day did not have: it was not changed yet.
        ("2013-03-10T05:00Z", "EWR", 0, 110, 230, "2013-03-10T07:30"),
        # They repeat 01:00 to 02:00: down at 01:50 of the first time, at the gate 5 and 20 minutes later.
        ("2013-11-03T04:00Z", "EWR", 0, 110, 155, "2013-11-03T05:55"),
        ("2013-11-03T04:00Z", "EWR", 0, 110, 110, "2013-11-03T06:10"),
    ],
)
def test_a_landing_is_the_first_time_the_clock_shows_it(
    sched: str, dest: str, dep_delay: int, air_time: int, arr_time: int, expected: str
) -> None:
    assert landed(sched, dest, dep_delay, air_time, arr_time) == utc(expected)


@pytest.mark.parametrize(
    ("dest", "dep_delay", "air_time", "arr_time"),
    [("SJU", 0, 200, 900), ("ORD", None, None, None), ("ORD", 0, None, 900), ("ORD", 0, 200, None)],
)
def test_what_is_not_known_is_null(
    dest: str, dep_delay: int | None, air_time: int | None, arr_time: int | None
) -> None:
    assert landed("2013-01-01T10:15Z", dest, dep_delay, air_time, arr_time) is None


@pytest.mark.parametrize(
    ("sched", "dest", "air_time", "arr_time"),
    [
        ("2013-01-01T10:15Z", "ORD", 227, 800),  # before the wheels were down
        ("2013-07-10T05:00Z", "EWR", 110, 20),
    ],
)
def test_a_clock_that_cannot_be_is_refused(sched: str, dest: str, air_time: int, arr_time: int) -> None:
    with pytest.raises(InputError, match="cannot have landed"):
        landed(sched, dest, 2, air_time, arr_time)
