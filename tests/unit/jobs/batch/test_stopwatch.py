from datetime import UTC, datetime

import pytest

from jobs.batch.stopwatch import Stopwatch


class Ticking:
    """A clock that is told when to go on."""

    at = 100.0

    def now(self) -> datetime:
        return datetime(2013, 12, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.at


def test_stages_add_up_and_may_lie_in_each_other() -> None:
    clock = Ticking()
    watch = Stopwatch(clock)
    for _ in range(2):
        with watch.stage("score"):
            clock.at += 1
            with watch.stage("spark_start"):
                clock.at += 0.25
    clock.at += 3
    assert watch.seconds() == {"spark_start": 0.5, "score": 2.5, "total": 5.5}


def test_a_stage_that_fails_took_its_time_as_well() -> None:
    clock = Ticking()
    watch = Stopwatch(clock)

    def fail() -> None:
        with watch.stage("plan"):
            clock.at += 2
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert watch.seconds() == {"plan": 2.0, "total": 2.0}
