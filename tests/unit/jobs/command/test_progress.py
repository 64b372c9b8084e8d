"""What a person sees of a running job."""

import io
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console

from jobs.command.progress import BarProgress, LineProgress, Pace
from jobs.command.terminal import Terminal
from jobs.progress import Progress, SilentProgress


@dataclass
class SteppedClock:
    """A clock that a test moves."""

    seconds: float = 100.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds


def lines(every_s: float = 5.0) -> tuple[LineProgress, SteppedClock, io.StringIO]:
    clock, stream = SteppedClock(), io.StringIO()
    return LineProgress(stream, clock, every_s), clock, stream


def test_a_line_comes_every_few_seconds_and_at_both_ends() -> None:
    progress, clock, stream = lines()
    progress.step("planning 31 files")
    progress.start(1000, 4)
    for second in range(1, 13):
        clock.seconds += 1
        progress.update(second * 50, second // 4)
    progress.stop()
    assert stream.getvalue().splitlines() == [
        "planning 31 files",
        "scoring: 0 of 1,000 rows · 0 of 4 tasks",
        "scoring: 250 of 1,000 rows · 1 of 4 tasks · 50 rows/s · 15 s left",
        "scoring: 500 of 1,000 rows · 2 of 4 tasks · 50 rows/s · 10 s left",
        "scoring: 600 of 1,000 rows · 3 of 4 tasks · 50 rows/s · 8 s left",
    ]


def test_a_count_never_goes_back() -> None:
    progress, clock, stream = lines(every_s=0)
    progress.start(100, 10)
    clock.seconds += 1
    progress.update(100, 10)
    progress.update(100, 0)
    progress.stop()
    assert stream.getvalue().splitlines()[-1] == "scoring: 100 of 100 rows · 10 of 10 tasks · 100 rows/s"


def test_outside_a_count_nothing_is_told() -> None:
    progress, _, stream = lines(every_s=0)
    progress.update(1, 1)
    progress.stop()
    assert stream.getvalue() == ""


def test_tasks_alone_give_a_time_to_go() -> None:
    pace = Pace(total_rows=None, total_tasks=10, done_rows=0, done_tasks=5, seconds=3.0)
    assert str(pace) == "5 of 10 tasks · 3 s left"


def test_a_count_of_nothing_is_done() -> None:
    assert Pace(total_rows=0, total_tasks=0, done_rows=0, done_tasks=0, seconds=1.0).ratio == 1.0


def test_a_bar_is_drawn_on_a_terminal_and_fits_it() -> None:
    stream, clock = io.StringIO(), SteppedClock()
    progress = BarProgress(Console(file=stream, force_terminal=True, width=80, color_system=None), clock)
    progress.start(8_000_000, 64)
    clock.seconds += 10
    progress.update(4_000_000, 32)
    progress.step("half of it")
    progress.stop()
    progress.stop()
    assert "4.0M of 8.0M rows · 32/64 tasks · 400k rows/s · 10 s left" in stream.getvalue()
    assert "half of it" in stream.getvalue()


def test_a_second_count_ends_the_first() -> None:
    stream = io.StringIO()
    progress = BarProgress(Console(file=stream, force_terminal=True, width=80, color_system=None), SteppedClock())
    progress.start(None, 2, "hashing files")
    progress.start(10, 2)
    progress.stop()
    assert "hashing files" in stream.getvalue()
    assert "scoring" in stream.getvalue()


def test_every_listener_fits_the_protocol() -> None:
    listeners: list[Progress] = [
        SilentProgress(),
        lines()[0],
        BarProgress(Console(file=io.StringIO())),
        Terminal(quiet=True).progress(),
    ]
    for listener in listeners:
        listener.step("x")
        listener.start(1, 1)
        listener.update(1, 1)
        listener.stop()
