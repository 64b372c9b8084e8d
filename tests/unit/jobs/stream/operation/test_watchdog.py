"""A loop that stands still ends its process."""

from __future__ import annotations

import threading

from structlog.testing import capture_logs

from jobs.stream.operation.watchdog import Watchdog
from scoretrail import log


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_loop_that_stands_still_ends_the_process_and_names_the_step() -> None:
    ended = threading.Event()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    clock = Clock()
    with capture_logs() as logs, Watchdog(0.05, end, clock) as watchdog:
        watchdog.beat("commit")
        clock.now = 0.2
        assert ended.wait(10)
    assert codes == [75]
    assert [(entry["event"], entry["step"]) for entry in logs] == [(log.LOOP_STALLED, "commit")]


def test_a_loop_that_moves_goes_on() -> None:
    clock = Clock()
    codes: list[int] = []
    looked = threading.Event()

    def tick() -> float:
        if threading.current_thread().name == "watchdog":
            looked.set()
        return clock.now

    with Watchdog(0.01, codes.append, tick) as watchdog:
        for _ in range(5):
            clock.now += 0.009
            watchdog.beat("polled")
            looked.clear()
            assert looked.wait(10)
        assert watchdog.is_watching
    assert codes == []
    assert not watchdog.is_watching


def test_one_that_never_began_can_be_stopped() -> None:
    Watchdog(1).stop()
