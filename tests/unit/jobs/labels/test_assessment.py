"""Performance read from a labelled table: windows, weeks and segments against scikit-learn on the raw values."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from scoretrail.monitor.performance import Array, Ranking, measure
from scoretrail.trail.label_join import Assessment, LabelJoin
from tests.factory.labelled import HOUR, Truth, at, label, prediction

DAYS = 35
ROWS = 40
"""A day."""
PLACES = ("HERE", "THERE", "NOWHERE")


def raw(seed: int = 3) -> list[dict[str, Any]]:
    """Draw five weeks of scores, places and outcomes; THERE scores say nothing."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(DAYS * ROWS):
        score, place = float(random.beta(2, 3)), PLACES[int(random.choice(3, p=[0.5, 0.4, 0.1]))]
        chance = 0.4 if place == "THERE" else score
        when = at(i // ROWS, i % ROWS / 2)
        found.append({"key": f"p{i}", "when": when, "score": score, "place": place, "late": random.uniform() < chance})
    return found


RAW = raw()


def joined(folder: Path, rows: list[dict[str, Any]], manifest: dict[str, Any], **settings: Any) -> LabelJoin:
    truth = Truth(folder)
    truth.register(**manifest)
    truth.predict(prediction(row["key"], row["score"], row["when"]) for row in rows)
    truth.arrive(
        label(row["key"], str(int(row["late"])), row["when"] + 2 * HOUR, sent_at=row["when"], place=row["place"])
        for row in rows
    )
    return truth.join(segments=("place",), settings={f"labels.{name}": value for name, value in settings.items()})


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> LabelJoin:
    return joined(tmp_path_factory.mktemp("record"), RAW, {"threshold": 0.4}, cost_false_alarm=2, cost_miss=5)


def one(record: LabelJoin, kind: str, **where: Any) -> Assessment:
    (found,) = (
        it for it in record.performance if it.kind == kind and all(getattr(it, k) == v for k, v in where.items())
    )
    return found


def by_scikit_learn(rows: list[dict[str, Any]]) -> dict[str, float]:
    score, late = (np.array([row[name] for row in rows]) for name in ("score", "late"))
    alarm = score >= 0.4
    return {
        "roc_auc": reference.roc_auc_score(late, score),
        "pr_auc": reference.average_precision_score(late, score),
        "brier": reference.brier_score_loss(late, score),
        "log_loss": reference.log_loss(late, score),
        "precision": reference.precision_score(late, alarm),
        "recall": reference.recall_score(late, alarm),
        "f1": reference.f1_score(late, alarm),
        "cost": float((2 * (alarm & ~late) + 5 * (~alarm & late)).mean()),
    }


def figures(assessment: Assessment) -> dict[str, float]:
    return {one.name: one.value for one in assessment.figures if one.name != "calibration_error"}


def between(start: datetime, days: int) -> list[dict[str, Any]]:
    return [row for row in RAW if start.date() <= row["when"].date() < start.date() + timedelta(days=days)]


def test_the_window_is_the_newest_days(record: LabelJoin) -> None:
    found = one(record, "rolling")
    assert found.window == {"start": "2013-12-09", "end": "2014-01-05"}
    rows = between(at(7), 28)
    assert (found.rows, found.positives, found.days) == (len(rows), sum(row["late"] for row in rows), 28)
    assert figures(found) == pytest.approx(by_scikit_learn(rows), abs=1e-9)
    assert sum(n for _, _, n in found.calibration) == len(rows)


def test_each_week_has_its_own_rows(record: LabelJoin) -> None:
    weeks = [it for it in record.performance if it.kind == "history"]
    assert [it.window["start"] for it in weeks] == [at(7 * week).date().isoformat() for week in range(5)]
    for number, week in enumerate(weeks):
        assert figures(week) == pytest.approx(by_scikit_learn(between(at(7 * number), 7)), abs=1e-9)


def test_each_segment_has_its_own_rows(record: LabelJoin) -> None:
    segments = [it for it in record.performance if it.kind == "segment"]
    assert [it.segment for it in segments] == [{"column": "place", "value": place} for place in PLACES]
    for place, found in zip(PLACES, segments, strict=True):
        rows = [row for row in between(at(7), 28) if row["place"] == place]
        assert figures(found) == pytest.approx(by_scikit_learn(rows), abs=1e-9)
        assert (found.level, found.promised) == ("not_enough_data", ())
    auc = {it.segment["value"]: figures(it)["roc_auc"] for it in segments if it.segment}
    assert (auc["THERE"] < 0.57, auc["HERE"] > 0.65) == (True, True)


def test_a_label_came_two_hours_after_each(record: LabelJoin) -> None:
    assert record.delay_s == {"p50": 7200.0, "p95": 7200.0, "max": 7200.0}


def promise() -> dict[str, Any]:
    """Return what a model promises that was measured on rows of the same law."""
    rows = raw(4)
    score, late, day = (np.array([row[name] for row in rows]) for name in ("score", "late", "when"))
    days: Array = np.array([it.date() for it in day.tolist()])
    return {"metrics": measure(Ranking(score, late, 0.5), days).figures}


def test_outcomes_as_they_came_are_ok_and_shuffled_are_drift(tmp_path: Path) -> None:
    as_they_came = joined(tmp_path / "ok", RAW, promise())
    assert (as_they_came.level, one(as_they_came, "rolling").behind) == ("ok", {})
    late = np.random.default_rng(1).permutation([row["late"] for row in RAW])
    shuffled = joined(
        tmp_path / "shuffled", [{**row, "late": bool(it)} for row, it in zip(RAW, late, strict=True)], promise()
    )
    assert shuffled.level == "drift"
    assert one(shuffled, "rolling").behind["roc_auc"] == "drift"


def test_what_does_not_count_moves_no_window(tmp_path: Path) -> None:
    truth = Truth(tmp_path)
    truth.register()
    truth.predict([prediction("a", 0.9), prediction("b", when=at(40)), prediction("c", when=at(60))])
    truth.arrive([label("a"), label("b", known=at(39), sent_at=at(40))])
    truth.arrive([label("c", outcome, known=at(61), sent_at=at(60)) for outcome in "01"])
    record = truth.join()
    assert (record.rows["early"], record.rows["conflicting"]) == (1, 1)
    assert {it.window["end"] for it in record.performance if it.kind == "rolling"} == {"2013-12-02"}


def test_of_many_segments_those_with_most_rows_are_told(tmp_path: Path) -> None:
    truth = Truth(tmp_path)
    truth.register()
    keys = [(f"{place}-{i}", f"P{place:02d}") for place in range(30) for i in range(1 + (place == 29))]
    truth.predict([prediction(key) for key, _ in keys])
    truth.arrive([label(key, place=place) for key, place in keys])
    found = [it.segment for it in truth.join(segments=("place",)).performance if it.kind == "segment"]
    assert [it["value"] for it in found if it] == ["P29", *(f"P{place:02d}" for place in range(19))]
