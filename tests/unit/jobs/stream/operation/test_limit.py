"""Too many dead letters stop a worker, but not before there is a window to judge."""

from __future__ import annotations

import pytest

from jobs.stream.loop.turn import Outcome, Turn
from jobs.stream.operation.limit import DeadLetterLimit, DeadLetterPolicy
from scoretrail.errors import DeadLetterLimitError, ExitCode


def turn(records: int, dead_letters: int) -> Turn:
    return Turn(Outcome.COMMITTED, records=records, dead_letters=dead_letters)


def test_a_share_above_the_limit_stops_the_worker() -> None:
    limit = DeadLetterLimit(DeadLetterPolicy(0.5, 100))
    limit.observe(turn(60, 60))  # not a window yet
    with pytest.raises(DeadLetterLimitError, match="60 of the last 110") as raised:
        limit.observe(turn(50, 0))
    assert raised.value.exit_code is ExitCode.LIMIT


def test_a_share_at_the_limit_is_allowed() -> None:
    limit = DeadLetterLimit(DeadLetterPolicy(0.5, 100))
    for _ in range(10):
        limit.observe(turn(100, 50))


def test_what_left_the_window_is_forgotten() -> None:
    limit = DeadLetterLimit(DeadLetterPolicy(0.5, 100))
    limit.observe(turn(40, 40))
    for _ in range(3):
        limit.observe(turn(50, 0))
    limit.observe(turn(50, 50))  # 50 of 100


def test_idle_turns_count_nothing() -> None:
    limit = DeadLetterLimit(DeadLetterPolicy(0.1, 1))
    limit.observe(Turn(Outcome.IDLE))
