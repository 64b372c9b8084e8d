"""How good scores are, and how sure that is: figures with intervals that treat a day as one observation.

Flights of one day share its weather and its jams, so resampling flights one by one would promise too much.
Whole days are drawn instead, with replacement (a cluster bootstrap); percentiles of the draws are the ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scoretrail.model.manifest import Abstention, Metric

RESAMPLES: Final = 500
"""The ends of a 95 % interval then rest on 12 draws each; more move them in the fourth digit only."""
LEVEL: Final = 0.95
WATCHED_RATIO: Final = 0.1
"""Share of flights so near the threshold that neither label is given."""
PROBABILITY_FLOOR: Final = 1e-7
"""Keeps the logarithm of a certain and wrong score finite."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Ranking:
    """Scores put in order once, so that each resample costs a few sums only."""

    group: Array
    """(n_rows,) int: which distinct score a row has, ascending."""
    n_groups: int
    score: Array
    """(n_rows,) float64: P(late)."""
    late: Array
    """(n_rows,) bool."""

    @classmethod
    def of(cls, score: Array, late: Array) -> Ranking:
        """Return the ranking of scores and labels in the same order."""
        distinct, group = np.unique(score, return_inverse=True)
        return cls(group, len(distinct), score.astype(np.float64), late)

    def figures(self, weight: Array) -> dict[str, float]:
        """Return ROC AUC, PR AUC (average precision), Brier score and log loss.

        Args:
            weight: (n_rows,) how often each row counts; at least one late row and one other must count.
        """
        late = np.bincount(self.group, weight * self.late, self.n_groups)
        other = np.bincount(self.group, weight * ~self.late, self.n_groups)
        ranked_below = np.cumsum(other) - other / 2
        hits = np.cumsum(late[::-1])
        alarms = hits + np.cumsum(other[::-1])
        # A score that no resampled row has raises no alarm, and its precision counts with weight zero.
        precision = np.divide(hits, alarms, out=np.zeros_like(hits), where=alarms > 0)
        certain = np.clip(self.score, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
        return {
            "roc_auc": float(late @ ranked_below / (late.sum() * other.sum())),
            "pr_auc": float(precision @ late[::-1] / late.sum()),
            "brier": float(np.average((self.score - self.late) ** 2, weights=weight)),
            "log_loss": float(np.average(-np.log(np.where(self.late, certain, 1 - certain)), weights=weight)),
        }


def measure(score: Array, late: Array, day: Array, *, data: str, seed: int) -> tuple[Metric, ...]:
    """Return the figures of scores on data the model did not see, each with its interval.

    Args:
        score: (n_rows,) float: P(late).
        late: (n_rows,) bool, at least one of either kind.
        day: (n_rows,) which day a row belongs to; any values that sort.
        data: what the rows are, for the reader.
        seed: of the resampling.
    """
    ranking = Ranking.of(score, late)
    value = ranking.figures(np.ones(len(late)))
    _, position = np.unique(day, return_inverse=True)
    n_days = int(position.max()) + 1
    random = np.random.default_rng(seed)
    draws = [
        ranking.figures(random.multinomial(n_days, np.full(n_days, 1 / n_days))[position].astype(np.float64))
        for _ in range(RESAMPLES)
    ]
    return tuple(_metric(name, value[name], [draw[name] for draw in draws], data) for name in value)


def _metric(name: str, value: float, draws: list[float], data: str) -> Metric:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Metric(name=name, value=value, low=float(low), high=float(high), level=LEVEL, data=data)


def choose_threshold(score: Array, late: Array) -> float:
    """Return the score with the most hits and the fewest false alarms (Youden's J), to three decimals.

    J is the difference of two rates, so it does not depend on how many flights of a month are late.
    """
    order = np.argsort(score, kind="stable")[::-1]
    ranked, hit = score[order], late[order]
    j = np.cumsum(hit) / hit.sum() - np.cumsum(~hit) / (~hit).sum()
    last_of_its_score = np.append(ranked[1:] != ranked[:-1], True)
    return round(float(ranked[np.argmax(np.where(last_of_its_score, j, -np.inf))]), 3)


def choose_band(score: Array, threshold: float, decision: str) -> Abstention:
    """Return the band around the threshold with ``WATCHED_RATIO`` of the scores, ends to three decimals."""
    at = float(np.mean(score < threshold))
    half = WATCHED_RATIO / 2
    low, high = np.quantile(score, [max(at - half, 0.0), min(at + half, 1.0)])
    return Abstention(low=round(float(low), 3), high=round(float(high), 3), decision=decision)
