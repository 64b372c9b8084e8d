"""The demo's figures against scikit-learn's, their intervals, and the choices made by them."""

import numpy as np
import pytest
from sklearn import metrics as reference

from examples.flights import evaluate
from examples.flights.evaluate import Array, Ranking
from scoretrail.model.manifest import Metric


@pytest.fixture
def scored() -> tuple[Array, Array]:
    """Make 2,000 scores, half of them tied with others, that tell something but not all about the labels."""
    random = np.random.default_rng(3)
    score = random.uniform(0.05, 0.95, 2000).astype(np.float32)
    score[::2] = np.round(score[::2], 1)
    return score, random.uniform(size=2000) < score * 0.6


@pytest.mark.parametrize("weighted", [False, True])
def test_figures_are_those_of_scikit_learn(scored: tuple[Array, Array], weighted: bool) -> None:
    score, late = scored
    weight = np.random.default_rng(4).integers(0, 4, len(late)).astype(float) if weighted else np.ones(len(late))
    figures = Ranking.of(score, late).figures(weight)
    assert figures == pytest.approx(
        {
            "roc_auc": reference.roc_auc_score(late, score, sample_weight=weight),
            "pr_auc": reference.average_precision_score(late, score, sample_weight=weight),
            "brier": reference.brier_score_loss(late, score, sample_weight=weight),
            "log_loss": reference.log_loss(late, score.astype(float), sample_weight=weight),
        },
        abs=1e-6,
    )
    assert figures["roc_auc"] > 0.6


def test_a_certain_error_has_a_finite_cost() -> None:
    figures = Ranking.of(np.array([0.0, 1.0]), np.array([True, False])).figures(np.ones(2))
    assert figures["log_loss"] == pytest.approx(-np.log(evaluate.PROBABILITY_FLOOR))
    assert figures["roc_auc"] == 0.0


def measured(score: Array, late: Array, day: Array, seed: int = 1) -> dict[str, Metric]:
    return {metric.name: metric for metric in evaluate.measure(score, late, day, data="October", seed=seed)}


def width(metric: Metric) -> float:
    assert metric.low is not None
    assert metric.high is not None
    assert metric.low < metric.value < metric.high
    return metric.high - metric.low


def test_an_interval_holds_its_value_and_repeats(scored: tuple[Array, Array]) -> None:
    day = np.arange(len(scored[0])) // 40
    first, again, other = (measured(*scored, day, seed) for seed in (1, 1, 2))
    assert first == again != other
    for metric in first.values():
        assert 0 < width(metric) < 0.2
        assert (metric.level, metric.data) == (0.95, "October")


def test_days_that_hang_together_widen_the_interval(scored: tuple[Array, Array]) -> None:
    score, late = scored
    repeated, together = np.repeat(score[:500], 20), np.repeat(late[:500], 20)
    each_alone = measured(repeated, together, np.arange(len(repeated)))
    by_day = measured(repeated, together, np.repeat(np.arange(500), 20))
    assert width(by_day["roc_auc"]) > 3 * width(each_alone["roc_auc"])


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
