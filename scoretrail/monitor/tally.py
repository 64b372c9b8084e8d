"""The counts of everything that is watched: gathered batch by batch, added up over the parts of a run."""

from __future__ import annotations

import base64
import json
import operator
import zlib
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from scoretrail import digest
from scoretrail.errors import BundleError, TrailError
from scoretrail.monitor.histogram import CategoryBins, Counts, NumberBins, either
from scoretrail.monitor.watch import Watched, columns_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scoretrail.digest import Digest, Json
    from scoretrail.scoring import Scored


_CHUNK: Final = 1000
_DAY_US: Final = 25 * 3600 * 1_000_000


@dataclass(frozen=True)
class Tally:
    """What was counted of some rows, in one baseline's bins."""

    baseline: str
    """Digest of the baseline whose bins these are."""
    columns: tuple[Counts, ...]
    """In the order of the baseline's columns."""
    first_us: int | None = None
    last_us: int | None = None
    """Event times of the first and the last scored row, in microseconds since 1970, UTC."""

    @property
    def is_day(self) -> bool:
        """Whether the event times lie within one day, of up to 25 hours where clocks are put back."""
        return self.first_us is not None and self.last_us is not None and self.last_us - self.first_us <= _DAY_US

    def __add__(self, other: Tally) -> Tally:
        """Return the counts of both parts.

        Raises:
            BundleError: they were counted in the bins of different baselines.
        """
        if self.baseline != other.baseline:
            raise BundleError(
                "counts in the bins of different baselines cannot be added", expected=self.baseline, got=other.baseline
            )
        return Tally(
            self.baseline,
            tuple(a + b for a, b in zip(self.columns, other.columns, strict=True)),
            either(min, self.first_us, other.first_us),
            either(max, self.last_us, other.last_us),
        )

    @property
    def digest(self) -> Digest:
        """The digest of the counts: the same for the same rows, however they were split and in whatever order."""
        return digest.of_json(self.to_json())

    def to_json(self) -> Json:
        """Return the tally as JSON values."""
        return {
            "baseline": self.baseline,
            "columns": [counts.to_json() for counts in self.columns],
            "first_us": self.first_us,
            "last_us": self.last_us,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Tally:
        """Return the tally that :meth:`to_json` gave."""
        columns = tuple(Counts.from_json(one) for one in value["columns"])
        return cls(value["baseline"], columns, value["first_us"], value["last_us"])

    def to_text(self) -> str:
        """Return the tally as a short text: of 30 columns of a small file a few hundred characters, not thousands."""
        return base64.b64encode(zlib.compress(digest.canonical_json(self.to_json()))).decode()

    @classmethod
    def from_text(cls, text: str) -> Tally:
        """Return the tally that :meth:`to_text` gave.

        Raises:
            TrailError: it is none.
        """
        try:
            return cls.from_json(json.loads(zlib.decompress(base64.b64decode(text))))
        except (ValueError, TypeError, KeyError, zlib.error) as error:
            raise TrailError("counts cannot be read", got=f"{type(error).__name__}: {error}"[:300]) from error


def added(tallies: Iterable[Tally]) -> Tally | None:
    """Return the counts of all parts, as adding one to the next gives them; None of none.

    A run may have a hundred thousand parts: whole columns are added at once, for each part is a thousand small sums.

    Raises:
        BundleError: they were counted in the bins of different baselines.
    """
    total: Tally | None = None
    parts = iter(tallies)
    while chunk := list(islice(parts, _CHUNK)):
        one = _added(chunk)
        total = one if total is None else total + one
    return total


def _added(tallies: Sequence[Tally]) -> Tally:
    first = tallies[0]
    sizes = [len(one.bins) for one in first.columns]
    if any(one.baseline != first.baseline or [len(each.bins) for each in one.columns] != sizes for one in tallies):
        return reduce(operator.add, tallies)  # which names the two that differ
    columns = []
    for several in zip(*(one.columns for one in tallies), strict=True):
        counted = [(one.rows, one.missing, one.infinite, one.below, one.above, *one.bins) for one in several]
        rows, missing, infinite, below, above, *bins = np.array(counted, np.int64).sum(axis=0).tolist()
        low = min((one.low for one in several if one.low is not None), default=None)
        high = max((one.high for one in several if one.high is not None), default=None)
        columns.append(Counts(rows, tuple(bins), missing, infinite, below, above, low, high))
    return Tally(
        first.baseline,
        tuple(columns),
        min((one.first_us for one in tallies if one.first_us is not None), default=None),
        max((one.last_us for one in tallies if one.last_us is not None), default=None),
    )


class Gatherer:
    """Counts scored batches in a baseline's bins."""

    def __init__(self, baseline: str, columns: Iterable[tuple[Watched, NumberBins | CategoryBins]]) -> None:
        """Begin with nothing.

        Args:
            baseline: digest of the baseline.
            columns: what is watched, each with its bins.
        """
        self._baseline = baseline
        pairs = tuple(columns)
        self.watched = tuple(one for one, _ in pairs)
        self._bins = {(one.group, one.name): bins for one, bins in pairs}
        self._nothing = {place: Counts(0, (0,) * bins.size) for place, bins in self._bins.items()}
        self._parts: list[Tally] = []
        """Of batches, added up at the end: a sum of a few integers costs as much as counting a thousand values."""

    def add(self, batch: pa.RecordBatch, scored: Scored) -> None:
        """Count a batch.

        Args:
            batch: the rows that were given to :func:`scoretrail.scoring.score_batch`, before validation.
            scored: what came of them.
        """
        self.count(columns_of(self.watched, batch, scored), scored.event_time)

    def count(self, columns: Iterable[tuple[Watched, pa.Array]], event_time: pa.Array) -> None:
        """Count columns; of what is watched and not among them nothing is known afterwards.

        Args:
            columns: some of :attr:`watched`, each with its values.
            event_time: of the scored rows, in microseconds, UTC.
        """
        found = self._nothing | {
            (one.group, one.name): count(one, self._bins[one.group, one.name], column) for one, column in columns
        }
        times = event_time.cast(pa.int64()).to_numpy()
        first, last = (int(times.min()), int(times.max())) if len(times) else (None, None)
        self._parts.append(Tally(self._baseline, tuple(found.values()), first, last))
        if len(self._parts) == _CHUNK:
            self._parts = [self.tally()]

    def tally(self) -> Tally:
        """Return what was counted so far."""
        return added(self._parts) or Tally(self._baseline, tuple(self._nothing.values()))


def count(one: Watched, bins: NumberBins | CategoryBins, column: pa.Array) -> Counts:
    """Return the counts of a watched column."""
    if isinstance(bins, NumberBins):
        return bins.count(column)
    return bins.count(column, one.field.conform if one.field is not None else None)
