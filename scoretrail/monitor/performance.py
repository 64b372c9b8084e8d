"""How good scores were once the truth is known: figures with intervals that treat a day as one observation.

Rows of one day share what that day had, so resampling rows one by one would promise too much. Whole days are drawn
instead, with replacement (a cluster bootstrap); percentiles of the draws are the ends of an interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from scoretrail.model.manifest import Metric
from scoretrail.monitor.significance import adjusted

if TYPE_CHECKING:
    from collections.abc import Mapping

RESAMPLES: Final = 500
"""The ends of a 95 % interval then rest on 12 draws each; more move them in the fourth digit only."""
LEVEL: Final = 0.95
SEED: Final = 20131201
"""Of the draws; any would do, a fixed one repeats."""
MINIMUM_DAYS: Final = 7
"""With fewer days than this, rows are drawn: an interval of two or three days would say nothing."""
CALIBRATION_BINS: Final = 10
"""Tenths of the probability (Guo et al., On Calibration of Modern Neural Networks, 2017, use 15)."""
CHANCE_OF_WARNING: Final = 0.05
CHANCE_OF_DRIFT: Final = 0.01
"""Of the figures that are called worse than promised, so many may be chance."""
PROBABILITY_FLOOR: Final = 1e-7
"""Keeps the logarithm of a certain and wrong score finite."""

ROC_AUC, PR_AUC, BRIER, LOG_LOSS, CALIBRATION = "roc_auc", "pr_auc", "brier", "log_loss", "calibration_error"
PRECISION, RECALL, F1, COST = "precision", "recall", "f1", "cost"
HIGHER_IS_BETTER: Final = frozenset({ROC_AUC, PR_AUC, PRECISION, RECALL, F1})

Array = NDArray[Any]


@dataclass(frozen=True)
class Costs:
    """What a wrong decision costs, in any unit; a right one costs nothing."""

    false_alarm: float = 1.0
    """Decided for the second class, and it was the first."""
    miss: float = 1.0
    """Decided for the first class, and it was the second."""


@dataclass(frozen=True)
class Performance:
    """How good the scores of some rows were."""

    rows: int
    positives: int
    """Rows of the second class."""
    days: int
    drawn: str
    """What was drawn for the intervals: days or rows."""
    figures: tuple[Metric, ...]
    """Empty where only one of the two classes is there."""
    calibration: tuple[tuple[float, float, int], ...] = ()
    """Mean score, share of the second class and rows, of each tenth of the probability that has rows."""

    def figure(self, name: str) -> Metric | None:
        """Return a figure by its name; None where it is not known."""
        return next((one for one in self.figures if one.name == name), None)


@dataclass(frozen=True)
class Ranking:
    """Scores put in order once, so that each resample costs a few sums only."""

    score: Array
    """(n_rows,) float64: P(second class)."""
    truth: Array
    """(n_rows,) bool: whether it was the second class."""
    threshold: float = 0.5
    """From this score on the second class is decided."""
    costs: Costs = field(default_factory=Costs)

    @cached_property
    def _groups(self) -> tuple[Array, int]:
        """Which distinct score each row has, ascending, and how many there are."""
        distinct, group = np.unique(self.score, return_inverse=True)
        return group, len(distinct)

    @cached_property
    def _tenth(self) -> Array:
        return np.clip((self.score * CALIBRATION_BINS).astype(np.int64), 0, CALIBRATION_BINS - 1)

    def figures(self, weight: Array) -> dict[str, float]:
        """Return every figure.

        Args:
            weight: (n_rows,) how often each row counts; at least one row of either class must count.

        Returns:
            The areas under the ROC curve and under precision over recall (average precision), the Brier score, the log
            loss, the expected calibration error; and, of the decisions at the threshold, precision (0 where nothing was
            decided for), recall, F1, and the cost per row.
        """
        group, n_groups = self._groups
        positive = np.bincount(group, weight * self.truth, n_groups)
        negative = np.bincount(group, weight * ~self.truth, n_groups)
        ranked_below = np.cumsum(negative) - negative / 2
        hits = np.cumsum(positive[::-1])
        alarms = hits + np.cumsum(negative[::-1])
        # A score that no resampled row has raises no alarm, and its precision counts with weight zero.
        precision = np.divide(hits, alarms, out=np.zeros_like(hits), where=alarms > 0)
        certain = np.clip(self.score, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
        return {
            ROC_AUC: float(positive @ ranked_below / (positive.sum() * negative.sum())),
            PR_AUC: float(precision @ positive[::-1] / positive.sum()),
            BRIER: float(np.average((self.score - self.truth) ** 2, weights=weight)),
            LOG_LOSS: float(np.average(-np.log(np.where(self.truth, certain, 1 - certain)), weights=weight)),
            CALIBRATION: self._calibration_error(weight),
            **self._decisions(weight),
        }

    def _calibration_error(self, weight: Array) -> float:
        """Return the mean distance of score and share over the tenths, each by its rows (Naeini et al., 2015)."""
        apart = np.bincount(self._tenth, weight * (self.score - self.truth), CALIBRATION_BINS)
        return float(np.abs(apart).sum() / weight.sum())

    def _decisions(self, weight: Array) -> dict[str, float]:
        alarm = self.score >= self.threshold
        hit = float(weight @ (alarm & self.truth))
        false_alarm = float(weight @ (alarm & ~self.truth))
        miss = float(weight @ (~alarm & self.truth))
        return {
            PRECISION: hit / (hit + false_alarm) if hit + false_alarm else 0.0,
            RECALL: hit / (hit + miss),
            F1: 2 * hit / (2 * hit + false_alarm + miss),
            COST: (false_alarm * self.costs.false_alarm + miss * self.costs.miss) / float(weight.sum()),
        }

    def calibration(self) -> tuple[tuple[float, float, int], ...]:
        """Return mean score, share of the second class and rows, of each tenth that has rows."""
        rows = np.bincount(self._tenth, minlength=CALIBRATION_BINS)
        scores = np.bincount(self._tenth, self.score, CALIBRATION_BINS)
        truths = np.bincount(self._tenth, self.truth, CALIBRATION_BINS)
        return tuple((float(scores[i] / n), float(truths[i] / n), int(n)) for i, n in enumerate(rows.tolist()) if n)


def measure(
    ranking: Ranking, day: Array, *, data: str = "", resamples: int = RESAMPLES, seed: int = SEED
) -> Performance:
    """Return how good scores were, each figure with its interval.

    Args:
        ranking: the scores and what was true.
        day: (n_rows,) which day a row belongs to; any values that sort.
        data: what the rows are, for the reader.
        resamples: how often days are drawn.
        seed: of the draws.
    """
    rows, positives = len(ranking.truth), int(np.count_nonzero(ranking.truth))
    distinct, position = np.unique(day, return_inverse=True)
    days = len(distinct)
    drawn = "days" if days >= MINIMUM_DAYS else "rows"
    if not 0 < positives < rows:
        return Performance(rows, positives, days, drawn, (), ranking.calibration())
    value = ranking.figures(np.ones(rows))
    if drawn == "rows":
        days, position = rows, np.arange(rows)
    random = np.random.default_rng(seed)
    draws = []
    for _ in range(resamples):
        weight = random.multinomial(days, np.full(days, 1 / days))[position].astype(np.float64)
        if 0 < weight @ ranking.truth < weight.sum():  # a draw without one of the classes says nothing
            draws.append(ranking.figures(weight))
    figures = tuple(_metric(name, one, [draw[name] for draw in draws], data) for name, one in value.items())
    return Performance(rows, positives, len(distinct), drawn, figures, ranking.calibration())


def _metric(name: str, value: float, draws: list[float], data: str) -> Metric:
    if not draws:
        return Metric(name=name, value=value, data=data)
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Metric(name=name, value=value, low=float(low), high=float(high), level=LEVEL, data=data)


def fell_behind(now: Performance, promised: Mapping[str, Metric]) -> dict[str, str]:
    """Return the figures that are worse than promised, by name: *warn* or *drift*.

    Args:
        now: how good scores were.
        promised: figures of the model's manifest, by name, measured before it was released.

    Both intervals tell how far a figure strays by itself; the p-value of the difference follows from them, as if it
    were normal, and is adjusted for the number of figures (Benjamini and Hochberg). A figure is worth a warning where
    chance makes such a difference in one case of twenty at most. It has drifted (concept drift) where chance does so in
    one case of a hundred, and its whole interval lies on the bad side of the promised one.
    """
    pairs = [(one, promised[one.name]) for one in now.figures if one.name in promised]
    known = [(one, then) for one, then in pairs if _error(one) is not None and _error(then) is not None]
    p_values = adjusted([_chance(one, then) for one, then in known])
    found = {}
    for (one, then), p_value in zip(known, p_values, strict=True):
        if p_value <= CHANCE_OF_DRIFT and _is_apart(one, then):
            found[one.name] = "drift"
        elif p_value <= CHANCE_OF_WARNING:
            found[one.name] = "warn"
    return found


def _error(one: Metric) -> float | None:
    """Return the standard error that an interval stands for, or None without one."""
    if one.low is None or one.high is None:
        return None
    return (one.high - one.low) / 2 / NormalDist().inv_cdf((1 + one.level) / 2)


def _chance(now: Metric, then: Metric) -> float:
    """Return how often chance makes a figure so much worse than it was."""
    worse = then.value - now.value if now.name in HIGHER_IS_BETTER else now.value - then.value
    scale = math.hypot(_error(now) or 0.0, _error(then) or 0.0)
    if not scale:
        return float(worse <= 0)
    return 1 - NormalDist().cdf(worse / scale)


def _is_apart(now: Metric, then: Metric) -> bool:
    """Tell whether the whole interval lies on the bad side of the promised one."""
    higher, lower = (then, now) if now.name in HIGHER_IS_BETTER else (now, then)
    return lower.high is not None and higher.low is not None and lower.high < higher.low
