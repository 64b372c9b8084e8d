"""Figures of scores whose truth is known against scikit-learn's, their intervals, and what is worse than promised."""

import numpy as np
import pytest
from sklearn import metrics as reference

from scoretrail.model.manifest import Metric
from scoretrail.monitor import performance
from scoretrail.monitor.performance import Array, Costs, Performance, Ranking


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
    figures = Ranking(score.astype(np.float64), late, 0.4, Costs(1, 5)).figures(weight)
    alarm = score.astype(np.float64) >= 0.4
    true_negative, false_alarm, miss, hit = reference.confusion_matrix(late, alarm, sample_weight=weight).ravel()
    assert hit + true_negative > 0
    assert figures.pop("calibration_error") == pytest.approx(expected_calibration_error(score, late, weight))
    assert figures == pytest.approx(
        {
            "roc_auc": reference.roc_auc_score(late, score, sample_weight=weight),
            "pr_auc": reference.average_precision_score(late, score, sample_weight=weight),
            "brier": reference.brier_score_loss(late, score, sample_weight=weight),
            "log_loss": reference.log_loss(late, score.astype(float), sample_weight=weight),
            "precision": reference.precision_score(late, alarm, sample_weight=weight),
            "recall": reference.recall_score(late, alarm, sample_weight=weight),
            "f1": reference.f1_score(late, alarm, sample_weight=weight),
            "cost": (false_alarm + 5 * miss) / weight.sum(),
        },
        abs=1e-6,
    )
    assert figures["roc_auc"] > 0.6


def expected_calibration_error(score: Array, late: Array, weight: Array) -> float:
    """Return the error from its definition, tenth by tenth."""
    total = 0.0
    for tenth in range(10):
        inside = np.floor(score.astype(np.float64) * 10) == tenth
        if weight[inside].sum():
            apart = np.average(score[inside].astype(np.float64), weights=weight[inside]) - np.average(
                late[inside], weights=weight[inside]
            )
            total += abs(apart) * weight[inside].sum() / weight.sum()
    return float(total)


def test_a_certain_error_has_a_finite_cost() -> None:
    figures = Ranking(np.array([0.0, 1.0]), np.array([True, False])).figures(np.ones(2))
    assert figures["log_loss"] == pytest.approx(-np.log(performance.PROBABILITY_FLOOR))
    assert figures["roc_auc"] == 0.0


def measured(score: Array, late: Array, day: Array, seed: int = 1) -> dict[str, Metric]:
    ranking = Ranking(score.astype(np.float64), late)
    return {metric.name: metric for metric in performance.measure(ranking, day, data="October", seed=seed).figures}


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


def test_few_days_are_drawn_row_by_row(scored: tuple[Array, Array]) -> None:
    score, late = scored
    ranking = Ranking(score.astype(np.float64), late)
    week, day = (performance.measure(ranking, np.arange(len(late)) % n, resamples=50) for n in (7, 6))
    assert (week.drawn, week.days, day.drawn, day.days) == ("days", 7, "rows", 6)


@pytest.mark.parametrize("truth", [True, False])
def test_of_one_class_alone_nothing_is_said(truth: bool) -> None:
    found = performance.measure(Ranking(np.array([0.2, 0.8]), np.array([truth, truth])), np.arange(2))
    assert (found.figures, found.positives) == ((), 2 * truth)
    assert found.calibration == ((0.2, truth, 1), (0.8, truth, 1))


def test_no_rows_are_no_error() -> None:
    nothing = np.empty(0)
    found = performance.measure(Ranking(nothing, nothing.astype(bool)), nothing)
    assert (found.rows, found.figures, found.calibration) == (0, (), ())


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (("roc_auc", 0.70, 0.69, 0.71), {}),
        (("roc_auc", 0.68, 0.67, 0.695), {"roc_auc": "warn"}),
        (("roc_auc", 0.60, 0.59, 0.61), {"roc_auc": "drift"}),
        (("roc_auc", 0.80, 0.79, 0.81), {}),
        (("brier", 0.18, 0.17, 0.19), {}),
        (("brier", 0.21, 0.205, 0.22), {}),
        (("brier", 0.225, 0.22, 0.23), {"brier": "warn"}),
        (("brier", 0.40, 0.10, 0.70), {}),
        (("brier", 0.23, 0.23, 0.23), {"brier": "drift"}),
        (("brier", 0.25, 0.24, 0.26), {"brier": "drift"}),
        (("brier", 0.10, 0.09, 0.11), {}),
        (("unknown", 0.10, 0.09, 0.11), {}),
    ],
)
def test_what_is_worse_than_promised_is_named(now: tuple[str, float, float, float], said: dict[str, str]) -> None:
    promised = {
        "roc_auc": Metric(name="roc_auc", value=0.70, low=0.68, high=0.72),
        "brier": Metric(name="brier", value=0.20, low=0.18, high=0.22),
    }
    name, value, low, high = now
    found = Performance(100, 50, 10, "days", (Metric(name=name, value=value, low=low, high=high),))
    assert performance.fell_behind(found, promised) == said


def test_of_many_figures_one_may_be_worse_by_chance() -> None:
    promised = {name: Metric(name=name, value=0.70, low=0.68, high=0.72) for name in "abcdefghi"}
    worse = Metric(name="a", value=0.728, low=0.71, high=0.746)
    others = [Metric(name=name, value=0.70, low=0.68, high=0.72) for name in "bcdefghi"]
    alone = Performance(100, 50, 10, "days", (worse,))
    among = Performance(100, 50, 10, "days", (worse, *others))
    assert performance.fell_behind(alone, promised) == {"a": "warn"}
    assert performance.fell_behind(among, promised) == {}


@pytest.mark.parametrize("exact", [0.70, 0.71])
def test_figures_without_any_spread_are_compared_as_they_are(exact: float) -> None:
    promised = {"brier": Metric(name="brier", value=0.70, low=0.70, high=0.70)}
    now = Performance(1, 1, 10, "days", (Metric(name="brier", value=exact, low=exact, high=exact),))
    assert performance.fell_behind(now, promised) == ({} if exact == 0.70 else {"brier": "drift"})


def test_a_figure_without_an_interval_says_nothing() -> None:
    promised = {"brier": Metric(name="brier", value=0.1)}
    now = Performance(1, 1, 10, "days", (Metric(name="brier", value=0.7, low=0.6, high=0.8),))
    assert performance.fell_behind(now, promised) == {}
