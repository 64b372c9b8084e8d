"""The verdict on labelled rows against what was promised: shuffled outcomes drift, as they were they do not."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest

from scoretrail.errors import BundleError
from scoretrail.model.manifest import Manifest, Metric, Output
from scoretrail.monitor.concept import ConceptPolicy, Labelled, Subject, assess, deciding, delays, overall, promises
from scoretrail.monitor.performance import Array, Costs, Ranking, measure
from scoretrail.trail.label_join import Assessment
from tests.factory.bare import bare_manifest

WINDOW = (date(2013, 12, 2), date(2013, 12, 29))
DAYS = 28
POLICY = ConceptPolicy()


def drawn(seed: int, rows: int = 5600) -> tuple[Array, Array, Array]:
    """Draw scores, outcomes that follow them, and days."""
    random = np.random.default_rng(seed)
    score = random.beta(2, 4, rows)
    truth = random.uniform(size=rows) < score
    return score, truth, np.datetime64("2013-12-02") + np.arange(rows) % DAYS


def labelled(seed: int = 2, rows: int = 5600) -> Labelled:
    score, truth, day = drawn(seed, rows)
    return Labelled(score, np.where(truth, "1", "0"), day)


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    """Promise what the same law gave in another month."""
    score, truth, day = drawn(1)
    return bare_manifest(metrics=measure(Ranking(score, truth, 0.5), day, data="November").figures)


def of(manifest: Manifest, rows: Labelled, policy: ConceptPolicy = POLICY, **changes: Any) -> Assessment:
    subject = Subject(manifest, "b" * 64, "champion")
    return assess(rows, subject, policy, **{"kind": "rolling", "window": WINDOW, **changes})


def test_outcomes_that_follow_the_scores_as_promised_are_ok(manifest: Manifest) -> None:
    found = of(manifest, labelled())
    assert (found.level, found.behind) == ("ok", {})
    assert (found.rows, found.days, found.drawn) == (5600, 28, "days")
    assert found.window == {"start": "2013-12-02", "end": "2013-12-29"}
    assert {one.name for one in found.promised} == {one.name for one in found.figures}
    assert found.figures[0].data == "2013-12-02 to 2013-12-29"


@pytest.mark.parametrize("seed", range(2, 12))
def test_another_month_of_the_same_law_is_hardly_ever_drift(manifest: Manifest, seed: int) -> None:
    assert of(manifest, labelled(seed)).level != "drift"


def test_shuffled_outcomes_are_drift(manifest: Manifest) -> None:
    rows = labelled()
    shuffled = np.random.default_rng(5).permutation(rows.outcome)
    found = of(manifest, Labelled(rows.score, shuffled, rows.day))
    assert found.level == "drift"
    assert found.behind["roc_auc"] == found.behind["brier"] == "drift"
    auc = found.figure("roc_auc")
    assert auc is not None
    assert auc.value == pytest.approx(0.5, abs=0.03)


def test_a_business_measure_that_leaves_its_interval_is_part_of_the_verdict(manifest: Manifest) -> None:
    (cost,) = (one for one in manifest.metrics if one.name == "cost")
    assert cost.low is not None
    assert cost.high is not None
    cheaper = cost.model_copy(update={"value": cost.low / 2, "low": cost.low / 3, "high": cost.low * 0.6})
    found = of(manifest.model_copy(update={"metrics": (cheaper,)}), labelled())
    assert (found.level, found.behind) == ("drift", {"cost": "drift"})


@pytest.mark.parametrize(
    ("told", "costs", "kept"),
    [
        ({}, Costs(), True),
        ({}, Costs(1, 5), False),
        ({"cost_miss": 5.0}, Costs(1, 5), True),
        ({"cost_false_alarm": 2.0, "cost_miss": 5.0}, Costs(1, 5), False),
    ],
)
def test_a_cost_is_promised_at_the_costs_it_was_measured_at(told: dict[str, float], costs: Costs, kept: bool) -> None:
    metrics = [Metric(name="cost", value=0.3, low=0.2, high=0.4), Metric(name="brier", value=0.2)]
    metrics += [Metric(name=name, value=value) for name, value in told.items()]
    assert set(promises(bare_manifest(metrics=tuple(metrics)), costs)) == ({"cost"} if kept else set())


def test_costs_of_decisions_are_those_of_the_policy(manifest: Manifest) -> None:
    rows = labelled()
    found = of(manifest, rows, ConceptPolicy(costs=Costs(2, 10)))
    alarm, truth = rows.score >= 0.5, rows.outcome == "1"
    cost = found.figure("cost")
    assert cost is not None
    assert cost.value == pytest.approx((2 * (alarm & ~truth).sum() + 10 * (~alarm & truth).sum()) / 5600)


@pytest.mark.parametrize(
    ("rows", "manifest_metrics", "kind"),
    [
        (labelled().where(np.arange(5600) < 499), True, "rolling"),
        (labelled().where(labelled().day < np.datetime64("2013-12-08")), True, "rolling"),
        (labelled().where(labelled().outcome == "1"), True, "rolling"),
        (labelled(), False, "rolling"),
        (labelled(), True, "segment"),
    ],
    ids=["few rows", "six days", "one class", "no promise", "a segment"],
)
def test_where_nothing_can_be_said_there_is_no_verdict(
    manifest: Manifest, rows: Labelled, manifest_metrics: bool, kind: str
) -> None:
    chosen = manifest if manifest_metrics else bare_manifest(metrics=())
    found = of(chosen, rows, kind=kind, segment=("carrier", "AA") if kind == "segment" else None)
    assert (found.level, found.behind) == ("not_enough_data", {})
    assert found.segment == ({"column": "carrier", "value": "AA"} if kind == "segment" else None)


def test_of_a_regressor_there_are_no_decisions() -> None:
    regressor = bare_manifest(output=Output(task="regression", name="p", form="matrix"), threshold=None)
    with pytest.raises(BundleError, match="only a binary classifier"):
        of(regressor, labelled())


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([], "not_enough_data"),
        ([("champion", "ok"), ("challenger", "drift")], "ok"),
        ([("champion", "not_enough_data"), ("challenger", "warn")], "warn"),
        ([("champion", "ok"), ("champion", "drift")], "drift"),
    ],
)
def test_the_champion_decides(manifest: Manifest, levels: list[tuple[str, Any]], expected: str) -> None:
    one = of(manifest, labelled(rows=560))
    told = [Assessment(**{**vars(one), "role": role, "level": level}) for role, level in levels]
    history = Assessment(**{**vars(one), "kind": "history", "level": "drift"})
    assert overall([*told, history]) == expected
    assert history not in deciding([*told, history])


def test_without_labels_there_is_no_delay() -> None:
    assert delays(np.empty(0)) == {"p50": None, "p95": None, "max": None}
