"""What a person sees of a running job: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TextIO

from scoretrail.clock import SystemClock

if TYPE_CHECKING:
    from scoretrail.clock import Clock

LINE_EVERY_S: Final = 5.0
"""Often enough to see that something moves, seldom enough for a scheduler's log."""
_BAR_WIDTH: Final = 12
"""What 80 columns leave beside the figures."""
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400
_MINUTE_S: Final = 60
_MILLION: Final = 1_000_000
_THOUSAND: Final = 1000


@dataclass(frozen=True)
class Pace:
    """How much of a count is done after how long."""

    total_rows: int | None
    total_tasks: int
    done_rows: int
    done_tasks: int
    seconds: float

    @property
    def ratio(self) -> float:
        """The share that is done, 0 to 1, by rows where their total is known."""
        done, total = (self.done_rows, self.total_rows) if self.total_rows else (self.done_tasks, self.total_tasks)
        return min(done / total, 1.0) if total else 1.0

    @property
    def rows_per_s(self) -> float | None:
        """Rows a second since the count began; None before the first."""
        return self.done_rows / self.seconds if self.done_rows and self.seconds > 0 else None

    @property
    def remaining_s(self) -> float | None:
        """Seconds to go if it goes on like this; None before the first rows or tasks."""
        return self.seconds * (1 - self.ratio) / self.ratio if self.ratio > 0 else None

    def __str__(self) -> str:
        """Return everything in one line.

        >>> print(Pace(total_rows=8_000_000, total_tasks=64, done_rows=2_000_000, done_tasks=16, seconds=4.0))
        2,000,000 of 8,000,000 rows · 16 of 64 tasks · 500,000 rows/s · 12 s left
        """
        parts = [f"{self.done_tasks:,} of {self.total_tasks:,} tasks"]
        if self.total_rows is not None:
            parts.insert(0, f"{self.done_rows:,} of {self.total_rows:,} rows")
        elif self.done_rows:
            parts.insert(0, f"{self.done_rows:,} rows")
        if self.rows_per_s is not None:
            parts.append(f"{self.rows_per_s:,.0f} rows/s")
        if self.remaining_s is not None and self.ratio < 1:
            parts.append(f"{duration(self.remaining_s)} left")
        return " · ".join(parts)

    @property
    def brief(self) -> str:
        """Everything that fits beside a bar in 80 columns.

        >>> Pace(total_rows=8_000_000, total_tasks=64, done_rows=2_000_000, done_tasks=16, seconds=4.0).brief
        '2.0M of 8.0M rows · 16/64 tasks · 500k rows/s · 12 s left'
        """
        parts = [f"{self.done_tasks}/{self.total_tasks} tasks"]
        if self.total_rows is not None:
            parts.insert(0, f"{_brief(self.done_rows)} of {_brief(self.total_rows)} rows")
        if self.rows_per_s is not None:
            parts.append(f"{_brief(self.rows_per_s)} rows/s")
        if self.remaining_s is not None and self.ratio < 1:
            parts.append(f"{duration(self.remaining_s)} left")
        return " · ".join(parts)


def _brief(number: float) -> str:
    if number >= _MILLION:
        return f"{number / _MILLION:.1f}M"
    return f"{number / _THOUSAND:.0f}k" if number >= 10 * _THOUSAND else f"{number:.0f}"


def duration(seconds: float) -> str:
    """Return a duration as people say it.

    >>> duration(4.2), duration(75), duration(7320), duration(2_595_600)
    ('4 s', '1 min 15 s', '2 h 2 min', '30 d 1 h')
    """
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


class _Count:
    """The count that is running, if one is: what both listeners share."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_s = 0.0
        self._pace: Pace | None = None

    def begin(self, total_rows: int | None, total_tasks: int) -> Pace:
        self._started_s = self._clock.monotonic()
        self._pace = Pace(total_rows, total_tasks, 0, 0, 0.0)
        return self._pace

    def pace(self, done_rows: int, done_tasks: int) -> Pace | None:
        last = self._pace
        if last is not None:
            # Never back: rows and tasks are told by different sources, and one may be a poll behind.
            self._pace = replace(
                last,
                done_rows=max(done_rows, last.done_rows),
                done_tasks=max(done_tasks, last.done_tasks),
                seconds=self._clock.monotonic() - self._started_s,
            )
        return self._pace

    def end(self) -> Pace | None:
        last, self._pace = self._pace, None
        return last


class LineProgress:
    """Writes plain lines: one when something begins, one every few seconds, one at the end."""

    def __init__(self, stream: TextIO, clock: Clock | None = None, every_s: float = LINE_EVERY_S) -> None:
        """Listen.

        Args:
            stream: where the lines go.
            clock: measures the pace.
            every_s: seconds between two lines.
        """
        self._stream = stream
        self._clock = clock or SystemClock()
        self._every_s = every_s
        self._count = _Count(self._clock)
        self._what = ""
        self._said_s = 0.0

    def step(self, text: str) -> None:
        """Write the text as a line."""
        self._say(text)

    def start(self, total_rows: int | None, total_tasks: int, what: str = "scoring") -> None:
        """Write what begins."""
        self.stop()
        self._what = what
        self._say(f"{what}: {self._count.begin(total_rows, total_tasks)}")

    def update(self, done_rows: int, done_tasks: int) -> None:
        """Write a line if the last one is old enough."""
        pace = self._count.pace(done_rows, done_tasks)
        if pace is not None and self._clock.monotonic() - self._said_s >= self._every_s:
            self._say(f"{self._what}: {pace}")

    def stop(self) -> None:
        """Write how far it came."""
        last = self._count.end()
        if last is not None:
            self._say(f"{self._what}: {last}")

    def _say(self, text: str) -> None:
        self._said_s = self._clock.monotonic()
        self._stream.write(f"{text}\n")
        self._stream.flush()


class BarProgress:
    """Draws one bar with rows, tasks, rows/s and the time to go."""

    def __init__(self, console: Any, clock: Clock | None = None) -> None:  # noqa: ANN401  (rich loads when asked for)
        """Listen.

        Args:
            console: a :class:`rich.console.Console` on a terminal.
            clock: measures the pace.
        """
        self._console = console
        self._count = _Count(clock or SystemClock())
        self._bar: Any = None
        self._task: Any = None

    def step(self, text: str) -> None:
        """Write the text as a line, above the bar if there is one."""
        self._console.print(text, style="dim", markup=False, highlight=False)

    def start(self, total_rows: int | None, total_tasks: int, what: str = "scoring") -> None:
        """Draw an empty bar."""
        from rich.progress import BarColumn, Progress, TextColumn

        self.stop()
        pace = self._count.begin(total_rows, total_tasks)
        columns = ("{task.description}", BarColumn(bar_width=_BAR_WIDTH), TextColumn("{task.fields[pace]}"))
        self._bar = Progress(*columns, console=self._console)
        self._task = self._bar.add_task(what, total=1.0, pace=pace.brief)
        self._bar.start()

    def update(self, done_rows: int, done_tasks: int) -> None:
        """Draw the bar as far as it is."""
        pace = self._count.pace(done_rows, done_tasks)
        if pace is not None:
            self._bar.update(self._task, completed=pace.ratio, pace=pace.brief)

    def stop(self) -> None:
        """Leave the bar as it is, and the cursor below it."""
        if self._count.end() is not None:
            self._bar.stop()
