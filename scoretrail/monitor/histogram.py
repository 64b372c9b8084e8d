"""Columns as integer counts in fixed bins: exact, so that the counts of any parts, added in any order, are the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from scoretrail.errors import BundleError
from scoretrail.monitor.counting import count_values

_T = TypeVar("_T")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from scoretrail.digest import Json


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted of one column."""

    rows: int
    bins: tuple[int, ...]
    """Values in each bin, in the bins' order."""
    missing: int = 0
    """Nulls and NaN."""
    infinite: int = 0
    below: int = 0
    above: int = 0
    """Finite values outside the reference's range; they are in the first and the last bin as well."""
    low: int | float | None = None
    high: int | float | None = None
    """The smallest and the largest finite number, exact; None for words, and where there is none."""

    @property
    def present(self) -> int:
        """How many values the bins hold."""
        return sum(self.bins)

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of both columns as one.

        Raises:
            BundleError: they were counted in other bins.
        """
        if len(self.bins) != len(other.bins):
            raise BundleError(
                "counts of other bins cannot be added", expected=f"{len(self.bins)}", got=f"{len(other.bins)}"
            )
        return Counts(
            rows=self.rows + other.rows,
            bins=tuple(a + b for a, b in zip(self.bins, other.bins, strict=True)),
            missing=self.missing + other.missing,
            infinite=self.infinite + other.infinite,
            below=self.below + other.below,
            above=self.above + other.above,
            low=either(min, self.low, other.low),
            high=either(max, self.high, other.high),
        )

    def to_json(self) -> Json:
        """Return the counts as a list, in the order of the fields."""
        return [
            self.rows,
            list(self.bins),
            self.missing,
            self.infinite,
            self.below,
            self.above,
            self.low,
            self.high,
        ]

    @classmethod
    def from_json(cls, value: Any) -> Counts:  # noqa: ANN401
        """Return the counts that :meth:`to_json` gave."""
        rows, bins, *rest = value
        return cls(rows, tuple(bins), *rest)


class Bins(BaseModel):
    """The bins of one column, as a baseline fixes them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class NumberBins(Bins):
    """Bins of numbers: up to and with the first edge, then up to and with the next, …, above the last.

    >>> bins = NumberBins(edges=(0.0, 10.0), minimum=-1.0, maximum=20.0)
    >>> bins.count(pa.array([0, 5, 10, 11, 99, None], pa.int32()))
    Counts(rows=6, bins=(1, 2, 2), missing=1, infinite=0, below=0, above=1, low=0, high=99)
    """

    kind: Literal["number"] = "number"
    edges: tuple[int | float, ...] = ()
    """Ascending, each once; integers for a column of integers, else exact in its type. None for a constant column."""
    centres: tuple[float, ...] = ()
    """The mean of each bin's values in the sample that the edges come from, outliers drawn in; none of no values."""
    minimum: int | float | None = None
    maximum: int | float | None = None
    """The reference's range; None where it had no finite value."""

    @property
    def size(self) -> int:
        """Number of bins."""
        return len(self.edges) + 1

    def count(self, column: pa.Array) -> Counts:
        """Return the counts of a column of integers or floats."""
        rows, missing = len(column), column.null_count
        if missing:
            column = column.drop_null()
        values: NDArray[Any] = column.to_numpy(zero_copy_only=True)
        found = count_values(values, self.edges)
        low, high = found.low, found.high
        finite = len(values) - found.nan - found.infinite
        return Counts(
            rows,
            tuple(more - fewer for more, fewer in pairwise([finite, *found.above, 0])),
            missing + found.nan,
            found.infinite,
            below=_beyond(np.less, values, self.minimum) if _is_less(low, self.minimum) else 0,
            above=_beyond(np.greater, values, self.maximum) if _is_less(self.maximum, high) else 0,
            low=low,
            high=high,
        )


class CategoryBins(Bins):
    """Bins of words: one for each name, one for the reference's other words, one for what the reference never had.

    >>> CategoryBins(names=("a", "b"), others=("c",)).count(pa.array(["a", "c", "x", None])).bins
    (1, 0, 1, 1)
    """

    kind: Literal["category"] = "category"
    names: tuple[str, ...] = ()
    """The reference's most frequent words, the most frequent first."""
    others: tuple[str, ...] = ()
    """The reference's other words, sorted."""
    expected_unseen: float = 0.0
    """Share of rows with a word that the reference did not have, where nothing has changed: its words that came once,
    by its words (Good, The Population Frequencies of Species, 1953)."""
    is_complete: bool = True
    """False where the reference had more than can be listed: an unknown word then counts as another, not as unseen."""

    @property
    def size(self) -> int:
        """Number of bins."""
        return len(self.names) + 2

    @cached_property
    def _places(self) -> dict[str, int]:
        places = dict.fromkeys(self.others, len(self.names))
        return places | {name: i for i, name in enumerate(self.names)}

    def count(self, column: pa.Array, spell: Callable[[pa.Array], pa.Array] | None = None) -> Counts:
        """Return the counts of a column.

        Args:
            column: strings, plain or as a dictionary, or booleans.
            spell: returns distinct words, one for one, in the spelling of the names.
        """
        bins = [0] * self.size
        unknown = self.size - 1 if self.is_complete else self.size - 2
        for word, times in words(column, spell):
            bins[self._places.get(word, unknown)] += times
        return Counts(len(column), tuple(bins), missing=len(column) - sum(bins))


def words(column: pa.Array, spell: Callable[[pa.Array], pa.Array] | None = None) -> Iterator[tuple[str, int]]:
    """Yield each word of a column and how often it is there; a word comes again where two spellings become one."""
    if pa.types.is_dictionary(column.type):
        places = column.indices.drop_null().to_numpy(zero_copy_only=True)
        values, times = column.dictionary, np.bincount(places, minlength=len(column.dictionary)).tolist()
    else:
        if pa.types.is_string_view(column.type):
            column = column.cast(pa.string())  # of a view, Arrow's counts have an empty word for null (26.0)
        found = pc.value_counts(column)
        values, times = found.field("values"), found.field("counts").to_pylist()
    if spell is not None:
        values = spell(values)
    for word, n in zip(values.cast(pa.string()).to_pylist(), times, strict=True):
        if word is not None and n:
            yield word, n


def _is_less(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and a < b


def _beyond(compare: np.ufunc, values: NDArray[Any], edge: float | None) -> int:
    """Return how many finite values lie beyond an edge; NumPy compares them with a bare number in their own type."""
    return int(np.count_nonzero(compare(values, edge) & np.isfinite(values)))


def either(choose: Callable[[_T, _T], _T], a: _T | None, b: _T | None) -> _T | None:
    """Return the one of two values that is chosen, or the one that is there."""
    return b if a is None else a if b is None else choose(a, b)
