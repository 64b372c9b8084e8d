"""Makes a baseline of the data a model was trained on: edges from a sample, counts of all of it, day by day."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scoretrail.monitor.baseline import BASELINE, SAMPLE, Baseline, Column
from scoretrail.monitor.histogram import CategoryBins, Counts, NumberBins, words
from scoretrail.monitor.measure import measure
from scoretrail.monitor.threshold import thresholds
from scoretrail.monitor.watch import SCORE, Watched, columns_of, rows_of, watched
from scoretrail.scoring import score_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from scoretrail.model.bundle import Bundle

SAMPLE_ROWS: Final = 10_000
"""At least so many rows, where there are as many, choose the edges."""
_BATCH_ROWS: Final = 65_536
PICTURED_ROWS: Final = 5_000
BINS: Final = 10
"""Deciles, for which the usual thresholds of the population stability index were made."""
_LEAST_BINS: Final = 5
"""For what is left beside values that have bins of their own."""
FEW_VALUES: Final = 20
"""A column of numbers with at most so many values gets a bin for each."""
NAMED: Final = 100
"""Words with a bin of their own."""
LISTED: Final = 10_000
"""Words that are known to have been in the reference."""


_TRIMMED: Final = 0.01
_HOUR_US: Final = 3600 * 1_000_000
_NO_DAY: Final = -(2**63)
_DAY_ROWS: Final = 200
"""A day with fewer rows says nothing of what is usual."""
_DAYS: Final = 30
"""With fewer days nothing is usual."""


def learn(bundle: Bundle, sample: pa.Table, batches: Iterable[pa.RecordBatch]) -> dict[str, bytes]:
    """Return the files of a model's baseline: the baseline itself, and rows for pictures.

    Args:
        bundle: scores the reference.
        sample: records spread evenly over the reference.
        batches: all records, with the view's record columns in their declared types.

    Raises:
        ScoretrailError: the bundle cannot score the records.
    """
    return {BASELINE: build(bundle, sample, batches).to_bytes(), SAMPLE: pictured(bundle, sample)}


def pictured(bundle: Bundle, sample: pa.Table) -> bytes:
    """Return up to 5,000 scored rows as Parquet, as many from each tenth of the scores."""
    columns = watched(bundle.view, bundle.manifest)
    parts = [rows_of(columns, batch, score_batch(bundle, batch)[0]) for batch in sample.combine_chunks().to_batches()]
    table = pa.Table.from_batches(parts)
    order = pc.sort_indices(table, [(SCORE, "ascending")]).to_numpy()
    # Of each tenth the rows that lie evenly in it.
    chosen = [tenth[_evenly(len(tenth), PICTURED_ROWS // BINS)] for tenth in np.array_split(order, BINS)]
    sink = pa.BufferOutputStream()
    pq.write_table(table.take(pa.array(np.sort(np.concatenate(chosen)))), sink, compression="zstd")
    return bytes(sink.getvalue())


def _evenly(rows: int, wanted: int) -> np.ndarray[Any, Any]:
    return np.unique(np.linspace(0, rows - 1, min(rows, wanted)).astype(np.int64))


def build(bundle: Bundle, sample: pa.Table, batches: Iterable[pa.RecordBatch]) -> Baseline:
    """Return the baseline of a model: bins from a sample, and what all of the reference has in them.

    Args:
        bundle: scores the reference.
        sample: records spread evenly over the reference; the edges of numbers' bins are their quantiles.
        batches: all records, with the view's record columns in their declared types.

    Raises:
        ScoretrailError: the bundle cannot score the records.
    """
    columns = watched(bundle.view, bundle.manifest)
    drafts = [Draft(one) for one in columns]
    event_time = bundle.view.event_time
    begins = _quietest_hour(sample.column(event_time))
    for batch in sample.combine_chunks().to_batches():
        scored, _ = score_batch(bundle, batch)
        for draft, (_, column) in zip(drafts, columns_of(columns, batch, scored), strict=True):
            draft.learn(column)
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        scored, _ = score_batch(bundle, batch)
        requested, kept = _Days(batch.column(event_time), begins), _Days(scored.event_time, begins)
        for draft, (one, column) in zip(drafts, columns_of(columns, batch, scored), strict=True):
            draft.add((requested if one.group == "request" else kept).parts(column))
    made = [draft.column() for draft in drafts]
    return Baseline(
        rows=rows,
        sample_rows=sample.num_rows,
        day_begins=begins,
        days=min((days for _, days in made), default=0),
        columns=tuple(column for column, _ in made),
    )


def of_table(records: pa.Table) -> Callable[[Bundle], dict[str, bytes]]:
    """Return what makes a bundle's baseline of records in memory; see :attr:`Registration.attach`."""
    step = max(records.num_rows // SAMPLE_ROWS, 1)

    def attach(bundle: Bundle) -> dict[str, bytes]:
        fields = bundle.view.record_fields
        columns = [field.conform(records.column(field.name).combine_chunks()) for field in fields]
        given = pa.table(columns, [field.name for field in fields])
        sample = given.take(pa.array(np.arange(0, given.num_rows, step)))
        return learn(bundle, sample, given.to_batches(_BATCH_ROWS))

    return attach


class _Days:
    """Parts the rows of a batch by the day of their event times."""

    def __init__(self, event_time: pa.Array, begins: int) -> None:
        times = event_time.cast(pa.int64())
        days = (pc.fill_null(times, 0).to_numpy() - begins * _HOUR_US) // (24 * _HOUR_US)
        days[times.is_null().to_numpy(zero_copy_only=False)] = _NO_DAY
        order = np.argsort(days, kind="stable")
        found, starts = np.unique(days[order], return_index=True)
        self._days = found.tolist()
        self._edges = [*starts.tolist(), len(days)]
        self._order = None if (order[:-1] < order[1:]).all() else pa.array(order)

    def parts(self, column: pa.Array) -> Iterator[tuple[int, pa.Array]]:
        """Yield the number of each day since 1970, and its part of a column."""
        ordered = column if self._order is None else column.take(self._order)
        for day, start, stop in zip(self._days, self._edges, self._edges[1:], strict=False):
            yield day, ordered.slice(start, stop - start)


def _quietest_hour(event_time: pa.ChunkedArray) -> int:
    """Return the hour of the day, in UTC, in which the least happens: there people's days begin, wherever they live."""
    hours = pc.hour(event_time).combine_chunks().drop_null().to_numpy(zero_copy_only=False)
    return int(np.bincount(hours, minlength=24).argmin())


class Draft:
    """One column while its baseline is made."""

    def __init__(self, one: Watched) -> None:
        self._one = one
        self._numbers = NumberBins()
        self._deviation: float | None = None
        self._words = _Words()
        self._days: dict[int, Counts] = {}
        """What each day had; of words only the rows and what is missing."""

    def learn(self, column: pa.Array) -> None:
        """Choose the edges of numbers' bins from a sample."""
        if not self._one.is_number:
            return
        values = column.drop_null().to_numpy(zero_copy_only=False)
        values = np.sort(values[np.isfinite(values)])
        edges = _edges(values)
        self._numbers = NumberBins(edges=edges, centres=_centres(values, edges))
        self._deviation = _deviation(values)

    def add(self, parts: Iterable[tuple[int, pa.Array]]) -> None:
        """Count parts of the reference, each of one day."""
        spell = self._one.field.conform if self._one.field is not None else None
        for day, column in parts:
            if self._one.is_number:
                counts = self._numbers.count(column)
            else:
                found = list(words(column, spell))
                counts = Counts(len(column), (0,), missing=len(column) - sum(times for _, times in found))
                self._words.add(day, found)
            before = self._days.get(day)
            self._days[day] = counts if before is None else before + counts

    def column(self) -> tuple[Column, int]:
        """Return the column as the whole reference has it, and how many days say what is usual."""
        bins, days = (self._numbers, self._days) if self._one.is_number else self._words.binned(self._days)
        counts = Counts(0, (0,) * bins.size)
        for one in days.values():
            counts += one
        if isinstance(bins, NumberBins):
            bins = bins.model_copy(update={"minimum": counts.low, "maximum": counts.high})
        large = [one for day, one in days.items() if day != _NO_DAY and one.rows >= _DAY_ROWS]
        column = Column(
            group=self._one.group,
            name=self._one.name,
            bins=bins,
            counts=counts,
            deviation=self._deviation,
            thresholds=thresholds(is_number=self._one.is_number),
        )
        if len(large) < _DAYS:
            return column, 0
        return column.model_copy(update={"usual": _usual(column, large)}), len(large)


class _Words:
    """How often each word is there, by day, while it is not known which of them get bins of their own."""

    def __init__(self) -> None:
        self._total: Counter[str] = Counter()
        self._days: dict[int, Counter[str]] = {}
        self._beyond: Counter[int] = Counter()
        """Words past what can be listed, by day."""

    def add(self, day: int, found: Iterable[tuple[str, int]]) -> None:
        """Count words of one day."""
        counter = self._days.setdefault(day, Counter())
        for word, times in found:
            if word in self._total or len(self._total) < LISTED:
                self._total[word] += times
                counter[word] += times
            else:
                self._beyond[day] += times

    def binned(self, rows: Mapping[int, Counts]) -> tuple[CategoryBins, dict[int, Counts]]:
        """Return the bins, and what each day has in them.

        Args:
            rows: the rows of each day, and how many of them are missing.
        """
        ordered = [word for word, _ in sorted(self._total.items(), key=lambda item: (-item[1], item[0]))]
        named, others = ordered[:NAMED], ordered[NAMED:]
        once = sum(times == 1 for times in self._total.values())
        bins = CategoryBins(
            names=tuple(named),
            others=tuple(sorted(others)),
            expected_unseen=0.0 if self._beyond else once / max(self._total.total(), 1),
            is_complete=not self._beyond,
        )
        binned = {}
        for day, counted in rows.items():
            found = self._days[day]
            times = [found[word] for word in named]
            binned[day] = Counts(
                counted.rows, (*times, found.total() - sum(times) + self._beyond[day], 0), counted.missing
            )
        return bins, binned


def _usual(column: Column, days: Iterable[Counts]) -> dict[str, float]:
    """Return the most that any of the days had, by measure."""
    most: dict[str, float] = {}
    for counts in days:
        for one in measure(column.reference, counts):
            most[one.measure] = max(most.get(one.measure, 0.0), one.value)
    return most


def _edges(values: np.ndarray[Any, Any]) -> tuple[int | float, ...]:
    """Return the edges between bins that hold about equally many of the sorted values, or one value each.

    Of many values, each that more rows have than a bin would hold gets a bin of its own, and the others are parted
    among themselves: else a column that is nearly always 0 would have two bins, and nobody saw the rest move.
    """
    distinct, times = np.unique(values, return_counts=True)
    if len(distinct) <= FEW_VALUES:
        return tuple(distinct[:-1].tolist())
    frequent = np.flatnonzero(times > len(values) / BINS)
    rest = np.repeat(np.delete(distinct, frequent), np.delete(times, frequent))
    bins = max(BINS - len(frequent), _LEAST_BINS)
    # Values themselves, not points between them: exact in the column's type, whatever its rounding.
    edges = [rest[(np.arange(1, bins) * len(rest)) // bins], distinct[frequent], distinct[frequent[frequent > 0] - 1]]
    return tuple(np.unique(np.minimum(np.concatenate(edges), distinct[-2])).tolist())  # above the largest is nothing


def _centres(values: np.ndarray[Any, Any], edges: tuple[int | float, ...]) -> tuple[float, ...]:
    """Return the mean of each bin's sorted values, the farthest of all drawn in.

    A mean, for with it the distance of two samples is nearly that of their values.
    """
    if not len(values):
        return ()
    parts = np.split(values, np.searchsorted(values, np.array(edges, values.dtype), side="right"))
    near = _near(values)
    with np.errstate(over="ignore", invalid="ignore"):
        means = tuple(
            float(part[0]) if part[0] == part[-1] else float(np.clip(part, *near).mean(dtype=np.float64))
            for part in parts
        )
    return means if all(map(math.isfinite, means)) else ()


def _deviation(values: np.ndarray[Any, Any]) -> float | None:
    """Return the standard deviation of sorted values, the farthest drawn in; None where there is none.

    Where nearly all values are one, the few others are what deviates.
    """
    if not len(values):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        drawn_in, whole = (float(given.std(dtype=np.float64)) for given in (np.clip(values, *_near(values)), values))
    deviation = drawn_in or whole
    return deviation if math.isfinite(deviation) else None


def _near(values: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """Return the range of 99 in 100 of sorted values: one far value must decide neither a mean nor a deviation."""
    low, high = np.quantile(values, [_TRIMMED / 2, 1 - _TRIMMED / 2], method="nearest")
    return low, high
