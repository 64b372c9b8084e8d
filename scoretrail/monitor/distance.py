"""How far two histograms over the same bins lie apart: effect sizes, which do not grow with the number of rows.

Each takes the reference first, then what is compared, as counts per bin; both have at least one value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LEAST: Final = 1e-4
"""Share that every bin has at least for the population stability index, which an empty one would make infinite."""


def population_stability(reference: Sequence[int], current: Sequence[int]) -> float:
    """Return the population stability index, the symmetric Kullback-Leibler divergence in nats.

    Sum of (q - p) ln(q / p) over the bins (Siddiqi, Credit Risk Scorecards, 2006), no share below 0.0001.

    >>> population_stability([50, 50], [50, 50])
    0.0
    """
    p, q = (np.maximum(_shares(counts), _LEAST) for counts in (reference, current))
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(reference: Sequence[int], current: Sequence[int]) -> float:
    """Return the Jensen-Shannon distance, base 2: 0 for equal shares, 1 where no bin has both (Lin, 1991).

    >>> jensen_shannon([1, 0], [0, 1])
    1.0
    """
    p, q = _shares(reference), _shares(current)
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return float(np.sqrt(min(max(divergence, 0.0), 1.0)))


def total_variation(reference: Sequence[int], current: Sequence[int]) -> float:
    """Return the total variation distance: the share of rows that would have to change bins.

    >>> total_variation([50, 50], [75, 25])
    0.25
    """
    return float(np.abs(_shares(reference) - _shares(current)).sum() / 2)


def kolmogorov_smirnov(reference: Sequence[int], current: Sequence[int]) -> float:
    """Return the largest distance of the two distribution functions at the bins' edges.

    A lower bound of the Kolmogorov-Smirnov statistic of the values themselves: between two edges it may be larger.

    >>> kolmogorov_smirnov([50, 50, 0], [50, 0, 50])
    0.5
    """
    return float(np.abs(_steps(reference, current)).max(initial=0.0))


def wasserstein(reference: Sequence[int], current: Sequence[int], centres: Sequence[float]) -> float:
    """Return the first Wasserstein distance of the bins: how far a value moves on average, in the values' unit.

    Every value counts as its bin's centre, the mean that the reference has in it: what moves within a bin is not seen,
    and a single far value moves as far as the last bin only.

    Args:
        reference: counts per bin.
        current: counts per bin.
        centres: of the bins, ascending.

    >>> wasserstein([10, 0], [0, 10], [2.5, 7.5])
    5.0
    """
    return float((np.abs(_steps(reference, current)[:-1]) * np.diff(centres)).sum())


def _steps(reference: Sequence[int], current: Sequence[int]) -> NDArray[np.float64]:
    """Return the difference of the distribution functions after each bin."""
    steps: NDArray[np.float64] = np.cumsum(_shares(current)) - np.cumsum(_shares(reference))
    steps[-1:] = 0.0  # both are 1 there; their sums may differ in the last bit
    return steps


def _shares(counts: Sequence[int]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.asarray(counts, np.float64)
    found /= found.sum()
    return found


def _relative_entropy(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    there = p > 0
    return float((p[there] * np.log2(p[there] / q[there])).sum())
