"""Whether a difference could be chance: p-values from counts, and what is left of them when there are many."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXPECTED: Final = 5
_TINY: Final = 1e-300
_ENOUGH: Final = 1e-15
_STEPS: Final = 10_000


def chi_square(reference: Sequence[int], current: Sequence[int]) -> float:
    """Return the p-value of Pearson's chi-square test that both came from one distribution.

    Bins in which fewer than five values are expected count as one, so that the test holds (Cochran, 1954). One bin, or
    no values in one of the two, says nothing: 1.

    >>> chi_square([10, 10], [10, 10])
    1.0
    """
    table = np.asarray([reference, current], np.float64)
    totals = table.sum(axis=1)
    if not totals.all():
        return 1.0
    few = table.sum(axis=0) * (totals.min() / totals.sum()) < _EXPECTED
    table = np.column_stack([table[:, ~few], table[:, few].sum(axis=1)])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:  # noqa: PLR2004
        return 1.0
    expected = np.outer(totals, table.sum(axis=0)) / table.sum()
    return chi_square_tail(float(((table - expected) ** 2 / expected).sum()), table.shape[1] - 1)


def chi_square_tail(value: float, freedom: int) -> float:
    """Return the probability that chi-square with so many degrees of freedom is at least ``value``.

    The regularised upper incomplete gamma function, by its series below and its continued fraction (Lentz) above the
    mean (Abramowitz and Stegun, 6.5.29 and 6.5.31).

    >>> round(chi_square_tail(3.841458820694124, 1), 12)
    0.05
    """
    a, x = freedom / 2, value / 2
    if x <= 0:
        return 1.0
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        for step in range(1, _STEPS):
            term *= x / (a + step)
            total += term
            if term < total * _ENOUGH:
                break
        return max(1 - total * scale, 0.0)
    b = x + 1 - a
    c, d = 1 / _TINY, 1 / b
    fraction = d
    for step in range(1, _STEPS):
        factor = -step * (step - a)
        b += 2
        d = 1 / (factor * d + b or _TINY)
        c = b + factor / c or _TINY
        fraction *= d * c
        if abs(d * c - 1) < _ENOUGH:
            break
    return min(fraction * scale, 1.0)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Return the p-values as Benjamini and Hochberg (1995) adjust them: the false discovery rate at which each is one.

    >>> adjusted([0.01, 0.04, 0.03])
    [0.03, 0.04, 0.04]
    """
    n = len(p_values)
    found = [1.0] * n
    least = 1.0
    for rank, place in enumerate(sorted(range(n), key=lambda i: p_values[i], reverse=True)):
        least = min(least, p_values[place] * n / (n - rank))
        found[place] = least
    return found
