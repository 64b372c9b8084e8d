"""The choices of the demo's models: the threshold, and the band in which neither label is given."""

import numpy as np
import pytest

from examples.flights import evaluate
from examples.flights.evaluate import Array


@pytest.fixture
def scored() -> tuple[Array, Array]:
    """Make 2,000 scores, half of them tied with others, that tell something but not all about the labels."""
    random = np.random.default_rng(3)
    score = random.uniform(0.05, 0.95, 2000).astype(np.float32)
    score[::2] = np.round(score[::2], 1)
    return score, random.uniform(size=2000) < score * 0.6


def test_the_threshold_is_the_best_of_all(scored: tuple[Array, Array]) -> None:
    score, late = scored

    def youden(threshold: float) -> float:
        alarm = score >= threshold
        return float(alarm[late].mean() - alarm[~late].mean())

    chosen = evaluate.choose_threshold(score, late)
    best = max(youden(float(candidate)) for candidate in np.unique(score))
    assert youden(chosen) == pytest.approx(best, abs=0.005)
    assert youden(0.05) < best - 0.1


@pytest.mark.parametrize("threshold", [0.06, 0.5, 0.94])
def test_the_band_lies_around_the_threshold(threshold: float) -> None:
    score = np.random.default_rng(5).uniform(0.05, 0.95, 5000)
    band = evaluate.choose_band(score, threshold, "watch")
    assert band.low <= threshold < band.high
    inside = np.mean((score >= band.low) & (score < band.high))
    assert 0.05 <= inside <= 0.102
    assert band.decision == "watch"
