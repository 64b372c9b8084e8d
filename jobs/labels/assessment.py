"""How good the labelled predictions of a table were: the rolling window, weeks before it, and segments of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.labels.columns import EVENT_DATE, Status
from jobs.labels.scan import Scan
from scoretrail.monitor.concept import Labelled, assess, delays

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobs.labels.bundle import Bundles
    from scoretrail.monitor.concept import ConceptPolicy, Subject
    from scoretrail.table import OutputTable
    from scoretrail.trail.label_join import Assessment

HISTORY_WEEKS: Final = 13
"""A quarter of a year, the newest week included."""
SEGMENTS: Final = 20
"""Values of a segment's column that are told, those with the most rows."""
_GROUP: Final = ("model_name", "model_version", "bundle_sha256", "role")
_COLUMNS: Final = (*_GROUP, EVENT_DATE, "score", "outcome")
_WEEK: Final = timedelta(days=7)


@dataclass(frozen=True)
class Assessor:
    """Reads a labelled table, a week or a window at a time."""

    table: OutputTable
    bundles: Bundles
    policy: ConceptPolicy
    window_days: int
    segments: Sequence[str]

    def run(self) -> tuple[list[Assessment], dict[str, float | None]]:
        """Return the assessments, and the label delays of the window's rows."""
        newest = self._newest()
        if newest is None:
            return [], delays(np.empty(0))
        window = (newest - timedelta(days=self.window_days - 1), newest)
        rows = self._read(window, ["label_delay_s", *self.segments])
        found = []
        for subject, own in self._by_subject(rows):
            found.append(assess(_labelled(own), subject, self.policy, kind="rolling", window=window))
            found += self._segments(own, subject, window)
        for week in _weeks(newest):
            for subject, own in self._by_subject(self._read(week, [])):
                found.append(assess(_labelled(own), subject, self.policy, kind="history", window=week))
        return found, delays(np.asarray(rows["label_delay_s"].drop_null()))

    def _segments(self, rows: pa.Table, subject: Subject, window: tuple[date, date]) -> Iterator[Assessment]:
        labelled = _labelled(rows)
        for column in self.segments:
            values = np.array(rows[column].to_pylist(), object)
            often = Counter(value for value in values if value is not None).most_common()
            for value, _ in sorted(often, key=lambda one: (-one[1], one[0]))[:SEGMENTS]:
                own = labelled.where(values == value)
                yield assess(own, subject, self.policy, kind="segment", window=window, segment=(column, value))

    def _newest(self) -> date | None:
        """Return the newest event date with a row that counts."""
        days = {str(file.partition[EVENT_DATE]) for file in self.table.live_files() if file.rows}
        for day in sorted(map(date.fromisoformat, days), reverse=True):
            if self._data.count(_counts((day, day))):
                return day
        return None

    def _read(self, window: tuple[date, date], also: Sequence[str]) -> pa.Table:
        """Return the rows that count, in one order however their files lie: resampling then gives the same figures."""
        rows = self._data.rows([*_COLUMNS, *also], _counts(window))
        return rows.sort_by([(name, "ascending") for name in (EVENT_DATE, "score", "outcome")])

    @cached_property
    def _data(self) -> Scan:
        return Scan(self.table)

    def _by_subject(self, rows: pa.Table) -> Iterator[tuple[Subject, pa.Table]]:
        groups = rows.group_by(list(_GROUP), use_threads=False).aggregate([])
        for group in groups.sort_by([(name, "ascending") for name in _GROUP]).to_pylist():
            own = rows
            for name in _GROUP:
                own = own.filter(pc.equal(own[name], group[name]))
            yield self.bundles.subject(*(group[name] for name in _GROUP)), own


def _counts(window: tuple[date, date]) -> pc.Expression:
    start, end = (pa.scalar(day, pa.date32()) for day in window)
    day = pc.field(EVENT_DATE)
    return (day >= start) & (day <= end) & (pc.field("status") == Status.LABELLED.value)


def _labelled(rows: pa.Table) -> Labelled:
    outcome = np.array(rows["outcome"].to_pylist(), str)
    return Labelled(np.asarray(rows["score"]), outcome, np.asarray(rows[EVENT_DATE]))


def _weeks(newest: date) -> list[tuple[date, date]]:
    """Return the ISO weeks of the history, oldest first.

    >>> _weeks(date(2013, 12, 31))[-1]
    (datetime.date(2013, 12, 30), datetime.date(2014, 1, 5))
    """
    monday = newest - timedelta(days=newest.weekday())
    starts = [monday - i * _WEEK for i in reversed(range(HISTORY_WEEKS))]
    return [(start, start + timedelta(days=6)) for start in starts]
