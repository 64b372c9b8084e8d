from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from scoretrail.clock import FixedClock, SystemClock, from_utc_text, utc_text

NEW_YORK = timezone(timedelta(hours=-5))


def test_the_systems_clock_is_aware_and_its_durations_never_go_back() -> None:
    clock = SystemClock()

    assert clock.now().utcoffset() == timedelta(0)
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert clock.monotonic() <= clock.monotonic()


def test_a_fixed_clock_stands_still_in_utc_while_durations_pass() -> None:
    clock = FixedClock(datetime(2013, 12, 2, 0, 30, tzinfo=NEW_YORK))

    assert clock.now() == clock.now() == datetime(2013, 12, 2, 5, 30, tzinfo=UTC)
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2013, 12, 2, 5, tzinfo=UTC), "2013-12-02T05:00:00.000000Z"),
        (datetime(2013, 12, 2, 0, 0, 0, 1, tzinfo=NEW_YORK), "2013-12-02T05:00:00.000001Z"),
    ],
)
def test_a_time_is_written_in_utc_with_microseconds_and_reads_back(at: datetime, text: str) -> None:
    assert utc_text(at) == text
    assert from_utc_text(text) == at
    assert from_utc_text(text).tzinfo is UTC
