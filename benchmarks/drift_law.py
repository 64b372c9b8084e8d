"""Laws that columns are drawn from: as raw values, or as counts with the exact distribution that those have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scoretrail.monitor.histogram import CategoryBins, Counts, NumberBins


@dataclass(frozen=True)
class NumberLaw:
    """Numbers: a distribution, perhaps with zeros mixed in, moved, partly missing, or with single values put in."""

    distribution: Any
    """A frozen distribution of scipy."""
    zeros: float = 0.0
    """Share of values that are 0 instead."""
    missing: float = 0.0
    move: float = 0.0
    """Is added to every value of the distribution."""
    single: tuple[float, ...] = ()
    """Values of the last rows, whatever was drawn for them."""

    @property
    def type(self) -> pa.DataType:
        """64-bit floats or integers, so that the distribution function is that of the values themselves."""
        return pa.int64() if hasattr(self.distribution.dist, "pmf") else pa.float64()

    @property
    def deviation(self) -> float:
        """Standard deviation of the distribution."""
        return float(self.distribution.std())

    def raw(self, rng: np.random.Generator, rows: int) -> pa.Array:
        """Return values drawn one by one."""
        values = self.distribution.rvs(size=rows, random_state=rng) + (self.move or 0)
        if self.zeros:
            values[rng.random(rows) < self.zeros] = 0
        if self.single:
            values[-len(self.single) :] = self.single
        mask = rng.random(rows) < self.missing if self.missing else None
        return pa.array(values, self.type, mask=mask)

    def counts(self, rng: np.random.Generator, rows: int, bins: NumberBins) -> Counts:
        """Return the counts that ``rows`` values have, drawn from their own distribution: one multinomial draw.

        The smallest and the largest value, of which only a constant column makes use, are the reference's.

        Raises:
            ValueError: the reference has no values.
        """
        if bins.minimum is None or bins.maximum is None:
            raise ValueError("the reference has no values")
        # What lies below, between the edges, and above; "below" is what the first bin has outside of the range.
        below, above = self._up_to(np.nextafter(bins.minimum, -np.inf)), 1.0 - self._up_to(bins.maximum)
        steps = np.array([below, *(self._up_to(edge) for edge in bins.edges), 1.0 - above])
        shares = np.array([below, *np.diff(steps), above]).clip(0.0)
        drawn = _multinomial(rng, rows - len(self.single), self.missing, shares)
        found = [int(n) for n in drawn[2:-1]]
        found[0] += int(drawn[1])
        found[-1] += int(drawn[-1])
        drawn_counts = Counts(
            rows=rows - len(self.single),
            bins=tuple(found),
            missing=int(drawn[0]),
            below=int(drawn[1]),
            above=int(drawn[-1]),
            low=bins.minimum,
            high=bins.maximum,
        )
        return drawn_counts + bins.count(pa.array(self.single, self.type)) if self.single else drawn_counts

    def _up_to(self, value: float) -> float:
        inner = float(self.distribution.cdf(value - self.move))
        return self.zeros * (value >= 0) + (1.0 - self.zeros) * inner


@dataclass(frozen=True)
class WordLaw:
    """Words, each with its share; some may be missing."""

    shares: tuple[float, ...]
    missing: float = 0.0

    @property
    def type(self) -> pa.DataType:
        """Strings; drawn as a dictionary, which is counted alike."""
        return pa.string()

    @cached_property
    def words(self) -> pa.Array:
        """The words, the most frequent first."""
        return pa.array([f"w{i:03d}" for i in range(len(self.shares))])

    def raw(self, rng: np.random.Generator, rows: int) -> pa.Array:
        """Return words drawn one by one."""
        steps = np.cumsum(self.shares)
        places = np.minimum(np.searchsorted(steps, rng.random(rows), side="right"), len(steps) - 1)
        mask = rng.random(rows) < self.missing if self.missing else None
        return pa.DictionaryArray.from_arrays(pa.array(places, pa.int32(), mask=mask), self.words)

    def counts(self, rng: np.random.Generator, rows: int, bins: CategoryBins) -> Counts:
        """Return the counts that ``rows`` words have, drawn from their own distribution: one multinomial draw."""
        drawn = _multinomial(rng, rows, self.missing, np.array(self.shares))
        places = {name: i for i, name in enumerate(bins.names)} | dict.fromkeys(bins.others, len(bins.names))
        unknown = bins.size - 1 if bins.is_complete else bins.size - 2
        found = [0] * bins.size
        for word, n in zip(self.words.to_pylist(), drawn[1:], strict=True):
            found[places.get(word, unknown)] += int(n)
        return Counts(rows, tuple(found), int(drawn[0]))

    def swapped(self) -> WordLaw:
        """Return the law with the shares of the two most frequent words exchanged."""
        first, second, *rest = self.shares
        return replace(self, shares=(second, first, *rest))


Law = NumberLaw | WordLaw


def zipf(words: int) -> WordLaw:
    """Return words whose shares are as 1, 1/2, 1/3 and so on."""
    weights = 1.0 / np.arange(1, words + 1)
    return WordLaw(tuple((weights / weights.sum()).tolist()))


def _multinomial(rng: np.random.Generator, rows: int, missing: float, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many of the rows are missing, and how many lie in each place."""
    all_shares = np.array([missing, *(shares * (1.0 - missing) / shares.sum())])
    found: NDArray[np.int64] = rng.multinomial(rows, all_shares)
    return found
