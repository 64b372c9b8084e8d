"""Keeps the table of windows up with the archive, from time to time: copies, judges the days that are over, merges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobs.archive.judgement import DayJudge
from scoretrail import log
from scoretrail.errors import ScoretrailError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from jobs.archive.judgement import JudgedSpan
    from jobs.archive.window_table import WindowTable
    from scoretrail.clock import Clock

_EVERY_S: Final = 300.0
"""What is not copied lies in the archive's log and is lost by nobody; each copy is a commit and a small file."""


class WindowKeeper:
    """Keeps the windows of one archive."""

    def __init__(
        self,
        table: WindowTable,
        judge: DayJudge,
        clock: Clock,
        *,
        retention_days: int,
        merge: tuple[int, int],
        tell: Callable[[JudgedSpan], None] = lambda _: None,
        on_kept: Callable[[], object] = lambda: None,
    ) -> None:
        """Begin: the first turn copies.

        Args:
            table: the windows.
            judge: judges days.
            clock: measures durations.
            retention_days: how long the table's log is kept.
            merge: after how many copies small files are merged (0 never), and up to how many bytes.
            tell: is told what is said of the newest day of a bundle and role.
            on_kept: called after each time.
        """
        self._table = table
        self._judge = judge
        self._clock = clock
        self._retention_days = retention_days
        self._merge = merge
        self._tell = tell
        self._on_kept = on_kept
        self._told: dict[tuple[str, str], datetime] = {}
        self._copies = 0
        self._next = clock.monotonic()

    def turn(self) -> None:
        """Keep the windows if it is time."""
        if self._clock.monotonic() >= self._next:
            self.keep()

    def keep(self) -> None:
        """Copy what was counted and judge what is over; nothing about drift may stop the archive."""
        try:
            touched = self._table.copy(self._retention_days)
            for judged in self._judge.judge(touched):
                self._tell_newest(judged)
            self._copies += bool(touched)
            every, target_bytes = self._merge
            if touched and every and not self._copies % every:
                self._table.compact(target_bytes)
        except ScoretrailError as error:
            log.get().warning(log.WINDOWS_LEFT, table=self._table.table.uri, error=error.what)
        self._on_kept()
        self._next = self._clock.monotonic() + _EVERY_S

    def _tell_newest(self, judged: JudgedSpan) -> None:
        """Tell of a day unless a newer one was told of: late rows of last week do not change how things are today."""
        span = judged.span
        key = (span.model_name, span.role)
        if key not in self._told or span.start >= self._told[key]:
            self._told[key] = span.start
            self._tell(judged)
