"""Holds windows of the stream against the baseline of their bundle: any span of them, and each day that is over."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from scoretrail import digest, log
from scoretrail.clock import utc_text
from scoretrail.errors import TrailError
from scoretrail.monitor.drift import Verdict, judge
from scoretrail.monitor.tally import added
from scoretrail.storage import Storage, join
from scoretrail.trail.run import TRAIL_FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.archive.counting import CountedModel, WindowCounter
    from jobs.archive.window import Window, WindowKey
    from jobs.archive.window_table import WindowTable
    from scoretrail.config import DriftSettings
    from scoretrail.monitor.report import Page

_VERDICTS, _PAGES = "verdicts", "pages"
_DAY: Final = timedelta(days=1)
_BUNDLE_DIGITS: Final = 12
_NAMED: Final = ("role", "model_name", "model_version", "bundle_sha256")


@dataclass(frozen=True, kw_only=True)
class Span:
    """A span of event times, and whose predictions are meant."""

    start: datetime
    end: datetime
    """The first moment after it."""
    role: str
    model_name: str
    model_version: str
    bundle_sha256: str

    @property
    def name(self) -> str:
        """Its name among the records, which sort by time."""
        return f"{self.start:%Y%m%dT%H}-{self.end:%Y%m%dT%H}-{self.role}-{self.bundle_sha256[:_BUNDLE_DIGITS]}"

    @property
    def before(self) -> Span:
        """The span of the same length that ends where this one begins."""
        return replace(self, start=self.start - (self.end - self.start), end=self.start)

    def covers(self, key: WindowKey) -> bool:
        """Tell whether a window is of this bundle and role, and begins in the span."""
        return self.start <= key.start < self.end and (key.bundle_sha256, key.role) == (self.bundle_sha256, self.role)


@dataclass(frozen=True)
class JudgedSpan:
    """A span, and what is said of it."""

    span: Span
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        span = {**vars(self.span), "start": utc_text(self.span.start), "end": utc_text(self.span.end)}
        return {"span": span, "verdict": self.verdict.to_json()}


class VerdictStore:
    """What was said of spans, beside the table of windows."""

    def __init__(self, windows: str, options: Mapping[str, str]) -> None:
        """Open the records.

        Args:
            windows: URI of the table of windows.
            options: storage settings.
        """
        self._storage = Storage(join(windows, TRAIL_FOLDER), options)

    def find(self, span: Span) -> dict[str, Any] | None:
        """Return what was said of a span (:meth:`JudgedSpan.to_json`), or None.

        Raises:
            TrailError: it cannot be read.
        """
        key = f"{_VERDICTS}/{span.name}.json"
        data = self._storage.get_or_none(key)
        return None if data is None else self._parsed(data, key)

    def newest(self, number: int) -> list[dict[str, Any]]:
        """Return so many of the newest records, oldest first.

        Raises:
            TrailError: one cannot be read.
        """
        return [self.read(key) for key in self.keys(number)]

    def keys(self, number: int) -> list[str]:
        """Return the keys of so many of the newest records, oldest first."""
        return sorted(found.key for found in self._storage.list(_VERDICTS))[-number:]

    def read(self, key: str) -> dict[str, Any]:
        """Return the record of a key.

        Raises:
            TrailError: it cannot be read.
        """
        return self._parsed(self._storage.get(key), key)

    def put(self, judged: JudgedSpan) -> None:
        """Keep what is said of a span; what was said before rows came late is replaced."""
        self._storage.put(f"{_VERDICTS}/{judged.span.name}.json", digest.canonical_json(judged.to_json()))

    def put_page(self, span: Span, page: Page) -> str:
        """Keep the page of a span, and return where it lies."""
        self._storage.put(f"{_PAGES}/{span.name}.json", page.json.encode())
        self._storage.put(f"{_PAGES}/{span.name}.html", page.html.encode())
        return join(self._storage.uri, _PAGES, f"{span.name}.html")

    def _parsed(self, data: bytes, key: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(data)
        except ValueError as error:
            raise TrailError("a verdict cannot be read", where=join(self._storage.uri, key), got=str(error)) from error
        return found


def judge_span(span: Span, windows: Sequence[Window], model: CountedModel, settings: DriftSettings) -> Verdict | None:
    """Return the verdict on a span; None where none of its rows were counted.

    Args:
        span: what is judged.
        windows: of the span and of the one before it; further ones are passed over. Of the same role, those of other
            bundles are rows that are left out.
        model: the bundle.
        settings: when a difference is one.
    """
    verdict = _judged(span, windows, model, settings)
    before = None if verdict is None else _judged(span.before, windows, model, settings)
    if verdict is None or before is None:
        return verdict
    return verdict.after(f"{span.before.start:%Y-%m-%dT%H}..{span.before.end:%Y-%m-%dT%H}", before.to_json())


def _judged(span: Span, windows: Sequence[Window], model: CountedModel, settings: DriftSettings) -> Verdict | None:
    here = [one for one in windows if span.start <= one.key.start < span.end and one.key.role == span.role]
    ours = [one for one in here if span.covers(one.key) and one.tally is not None]
    total = added(one.tally for one in ours if one.tally is not None)
    if total is None:
        return None
    verdict = judge(
        model.baseline, total, minimum_rows=settings.minimum_rows, false_discoveries=settings.false_discoveries
    )
    return replace(verdict, rows_left_out=sum(one.rows for one in here) - sum(one.counted for one in ours))


class DayJudge:
    """Judges the days of the stream that are over, and again those whose rows came late."""

    def __init__(
        self, table: WindowTable, counter: WindowCounter, settings: DriftSettings, options: Mapping[str, str]
    ) -> None:
        """Prepare to judge.

        Args:
            table: the windows.
            counter: finds the bundles.
            settings: when a difference is one.
            options: storage settings.
        """
        self._table = table
        self._counter = counter
        self._settings = settings
        self._store = VerdictStore(table.table.uri, options)

    def judge(self, touched: Sequence[Window]) -> list[JudgedSpan]:
        """Return what is new to be said, and keep it.

        A day is over when a window of the same bundle and role begins after it: event time moves the stream, not the
        clock.

        Args:
            touched: windows that have rows more.
        """
        groups = {(one.key.bundle_sha256, one.key.role): one.key for one in touched}
        found = []
        for key in groups.values():
            model = self._counter.model(key.model_name, key.model_version, key.bundle_sha256)
            if model is None:
                continue
            starts = [one.key.start for one in touched if (one.key.bundle_sha256, one.key.role) == _of(key)]
            for day in self._over(key, model, starts):
                span = Span(start=day, end=day + _DAY, **{name: getattr(key, name) for name in _NAMED})
                judged = self._judge(span, model)
                found += [judged] if judged is not None else []
        return found

    def _over(self, key: WindowKey, model: CountedModel, touched: Sequence[datetime]) -> list[datetime]:
        """Return the days that are over and have rows more, or are over since there are windows after them."""
        begins = model.baseline.day_begins
        days = sorted({day_of(start, begins) for start in self._table.starts(*_of(key))})
        new = {day_of(start, begins) for start in touched}
        return [day for day, after in pairwise(days) if day in new or after in new]

    def _judge(self, span: Span, model: CountedModel) -> JudgedSpan | None:
        verdict = judge_span(span, self._table.read(span.before.start, span.end), model, self._settings)
        if verdict is None:
            return None
        before = self._store.find(span)
        judged = JudgedSpan(span, verdict)
        if before == json.loads(digest.canonical_json(judged.to_json())):
            return None
        self._store.put(judged)
        log.get().info(
            log.WINDOW_JUDGED,
            model=span.model_name,
            version=span.model_version,
            role=span.role,
            start=utc_text(span.start),
            level=verdict.level,
            columns=[one.name for one in verdict.raised],
            rows=verdict.rows,
            confirmed=list(verdict.confirmed),
        )
        return judged


def _of(key: WindowKey) -> tuple[str, str]:
    return key.bundle_sha256, key.role


def day_of(start: datetime, begins: int) -> datetime:
    """Return the start of the day that a window belongs to.

    >>> day_of(datetime.fromisoformat("2013-12-02T03:00:00+00:00"), 8).isoformat()
    '2013-12-01T08:00:00+00:00'
    """
    shifted = start - timedelta(hours=begins)
    return shifted.replace(hour=0) + timedelta(hours=begins)
