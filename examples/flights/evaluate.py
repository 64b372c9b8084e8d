"""Choices that are made by figures: from which score on a flight counts as late, and where no label is given."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scoretrail.model.manifest import Abstention

WATCHED_RATIO: Final = 0.1
"""Share of flights so near the threshold that neither label is given."""

Array = NDArray[Any]


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
