"""How often the verdict raises an alarm: without drift, and on each named shift."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]

from benchmarks.drift_case import Case
from benchmarks.drift_population import Population
from benchmarks.drift_share import Share
from scoretrail.monitor.drift import ColumnVerdict, Level, Verdict, judge

RAISED: Final = (Level.WARN, Level.DRIFT)
EXACT_FROM: Final = 100_000
"""From so many rows on, counts are drawn from their own distribution instead of values."""
QUIET: Final = 1
SHIFTED: Final = 2
_CHECKS_SHOWN: Final = 3


@dataclass(frozen=True)
class Quiet:
    """What the verdict said of draws without drift."""

    rows: int
    exact: bool
    drift: Share
    raised: Share
    """Warn or drift."""
    checks: Mapping[str, int]
    """Measure and level -> draws in which it was raised."""
    values: NDArray[np.float64]
    """Effects: a row for each draw, a column for each check that can have a value."""
    draw_seconds: float
    """Of one draw with its verdict, on average."""

    @property
    def way(self) -> str:
        """How it was drawn."""
        return "counts" if self.exact else "values"

    def what(self) -> str:
        """Return which checks were raised most."""
        found = sorted(self.checks.items(), key=lambda item: (-item[1], item[0]))[:_CHECKS_SHOWN]
        return ", ".join(f"{name} {n}" for name, n in found) or "none"

    def to_json(self) -> dict[str, Any]:
        """Return what is kept of it."""
        return {
            "rows": self.rows,
            "way": self.way,
            "drift": self.drift.to_json(),
            "warn_or_drift": self.raised.to_json(),
            "checks": dict(self.checks),
            "seconds_per_draw": round(self.draw_seconds, 4),
        }


@dataclass(frozen=True)
class Power:
    """What was said of the shifted column."""

    case: Case
    rows: int
    drift: Share
    raised: Share
    checks: Mapping[str, int]
    """Measure that says most -> draws, of those that were raised."""

    def what(self) -> str:
        """Return the measure that most often said most."""
        return max(self.checks, key=lambda one: self.checks[one], default="")

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "case": self.case.name,
            "column": self.case.column,
            "rows": self.rows,
            "drift": self.drift.to_json(),
            "warn_or_drift": self.raised.to_json(),
            "checks": dict(self.checks),
        }


def quiet(
    populations: Sequence[Population],
    rows: int,
    draws: int,
    seed: int,
    *,
    exact: bool | None = None,
    decide: Callable[..., Verdict] = judge,
) -> Quiet:
    """Return what is said of rows without drift.

    Args:
        populations: columns and baselines; the draws take turns at them.
        rows: of each draw.
        draws: how many.
        seed: of the draws.
        exact: draw counts; None leaves it to the number of rows.
        decide: the verdict of a baseline and counts.
    """
    exact = rows >= EXACT_FROM if exact is None else exact
    rng = np.random.default_rng([seed, QUIET, rows, int(exact)])
    began = time.perf_counter()
    verdicts = []
    for _, population in zip(range(draws), cycle(populations), strict=False):
        tally = population.tally(population.drawn(rng, rows, exact=exact))
        verdicts.append(decide(population.baseline, tally))
    seconds = (time.perf_counter() - began) / draws
    checks: Counter[str] = Counter()
    for verdict in verdicts:
        found = [one for column in verdict.columns for one in column.checks if one.level in RAISED]
        checks.update({f"{one.measure} {one.level}" for one in found})
    values = np.array([[one.value for column in verdict.columns for one in column.checks] for verdict in verdicts])
    drift, raised = shares(verdict.level for verdict in verdicts)
    return Quiet(rows, exact, drift, raised, checks, values, seconds)


def power(populations: Sequence[Population], cases: Iterable[Case], rows: int, draws: int, seed: int) -> list[Power]:
    """Return what is said of the shifted column in each case; every draw's other columns serve all cases.

    Args:
        populations: columns and baselines; the draws take turns at them.
        cases: the shifts.
        rows: of each draw.
        draws: how many of each case.
        seed: of the draws.
    """
    exact = rows >= EXACT_FROM
    rng = np.random.default_rng([seed, SHIFTED, rows])
    # Each case has its own numbers, so that the others are the same without it.
    of_cases = [(case, np.random.default_rng([seed, SHIFTED, rows, crc32(case.name.encode())])) for case in cases]
    found: list[list[ColumnVerdict]] = [[] for _ in of_cases]
    for _, population in zip(range(draws), cycle(populations), strict=False):
        columns = population.drawn(rng, rows, exact=exact)
        for (case, own), verdicts in zip(of_cases, found, strict=True):
            moved = population.drawn_column(case.column, case.law, own, rows, exact=exact)
            verdict = judge(population.baseline, population.tally(columns | {case.column: moved}))
            verdicts.append(next(one for one in verdict.columns if one.name == case.column))
    return [_power(case, rows, verdicts) for (case, _), verdicts in zip(of_cases, found, strict=True)]


def agreement(one: Quiet, other: Quiet) -> tuple[int, float]:
    """Return how many effects both ways could differ in, and the p-value that they are distributed alike in all.

    Kolmogorov and Smirnov's test of two samples, for every effect of every column; the smallest p-value times their
    number (Bonferroni), at most 1.
    """
    p_values = [
        float(stats.ks_2samp(a, b, method="asymp").pvalue)
        for a, b in zip(one.values.T, other.values.T, strict=True)
        if a.any() or b.any()
    ]
    return len(p_values), min(1.0, min(p_values) * len(p_values))


def shares(levels: Iterable[Level]) -> tuple[Share, Share]:
    """Return the shares of drift, and of warn or drift."""
    found = Counter(levels)
    return Share(found[Level.DRIFT], found.total()), Share(found[Level.DRIFT] + found[Level.WARN], found.total())


def _power(case: Case, rows: int, verdicts: list[ColumnVerdict]) -> Power:
    drift, raised = shares(one.level for one in verdicts)
    checks = Counter(one.worst.measure for one in verdicts if one.level in RAISED and one.worst is not None)
    return Power(case, rows, drift, raised, checks)
