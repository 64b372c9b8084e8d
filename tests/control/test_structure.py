"""The shape of each DAG: what follows what, on which clock or data it runs, and what its form asks for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import CronPartitionTimetable, PartitionedAssetTimetable
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import BundleDagBag

EDGES = {
    "score_daily": {
        "plan": {"data_complete", "score", "report", "released", "announce_scores"},
        "data_complete": {"score"},
        "score": {"has_verdict", "released"},
        "has_verdict": {"report"},
        "released": {"announce_scores"},
        "report": set(),
        "announce_scores": set(),
    },
    "build_features": {
        "plan": {"data_complete", "build", "announce"},
        "data_complete": {"build"},
        "build": {"announce"},
        "announce": set(),
    },
    "materialize_features": {"plan": {"materialize", "announce"}, "materialize": {"announce"}, "announce": set()},
    "join_labels": {
        "plan": {"join", "announce"},
        "join": {"announce"},
        "announce": {"judge"},
        "judge": set(),
    },
    "monitor_drift": {"plan": {"report"}, "report": set()},
    "backfill_scores": {
        "plan": {"part.score", "part.released", "part.announce_scores"},
        "part.score": {"part.released"},
        "part.released": {"part.announce_scores"},
        "part.announce_scores": set(),
    },
}
CLOCKS = {
    "build_features": ("0 5 * * *", -1, "%Y-%m-%d"),
    "join_labels": ("0 6 * * *", -2, "%Y-%m-%d"),
    "materialize_features": ("10 * * * *", None, "%Y-%m-%dT%H:%MZ"),
    "monitor_drift": ("0 4 * * *", -1, "%Y-%m-%d"),
}
OUTLETS = {
    "build_features": {"announce": ["flight_features"]},
    "materialize_features": {"announce": ["flight_online_features"]},
    "score_daily": {"announce_scores": ["flight_scores"]},
    "join_labels": {"announce": ["flight_performance"]},
    "backfill_scores": {"part.announce_scores": ["flight_scores"]},
    "monitor_drift": {},
}


@pytest.mark.parametrize("dag", EDGES)
def test_what_follows_what(bag: BundleDagBag, dag: str) -> None:
    assert {task.task_id: task.downstream_task_ids for task in bag.dags[dag].tasks} == EDGES[dag]


@pytest.mark.parametrize("dag", CLOCKS)
def test_producers_run_by_the_clock_a_partition_at_a_time(bag: BundleDagBag, dag: str) -> None:
    timetable = bag.dags[dag].timetable
    assert isinstance(timetable, CronPartitionTimetable)
    assert (timetable.expression, timetable.run_offset, timetable.key_format) == CLOCKS[dag]


def test_scoring_follows_the_features_partition_by_partition(bag: BundleDagBag) -> None:
    timetable = bag.dags["score_daily"].timetable
    assert isinstance(timetable, PartitionedAssetTimetable)
    assert getattr(timetable.asset_condition, "name", None) == "flight_features"


@pytest.mark.parametrize("dag", OUTLETS)
def test_what_each_dag_tells_of(bag: BundleDagBag, dag: str) -> None:
    told = {task.task_id: [asset.name for asset in task.outlets] for task in bag.dags[dag].tasks if task.outlets}
    assert told == OUTLETS[dag]


@pytest.mark.parametrize(
    ("dag", "name", "value"),
    [
        ("score_daily", "day", "2nd of December"),
        ("score_daily", "on_drift", "ignore"),
        ("score_daily", "dry_run", "maybe"),
        ("backfill_scores", "start", None),
        ("backfill_scores", "days_per_run", 0),
        ("monitor_drift", "days", 365),
    ],
)
def test_a_form_that_makes_no_sense_is_refused(bag: BundleDagBag, dag: str, name: str, value: Any) -> None:
    form = bag.dags[dag].params
    with pytest.raises(ParamValidationError):
        form.get_param(name).resolve(value)


def test_a_backfill_asks_for_its_days(bag: BundleDagBag) -> None:
    form = bag.dags["backfill_scores"].params
    for name in ("start", "end"):
        with pytest.raises(ParamValidationError):
            form.get_param(name).resolve()


DEPLOYMENT = {
    "model": "models:/m@champion",
    "view": "view.py:view",
    "records": "records",
    "stored": {"weather": "tables/weather"},
    "features": "features",
    "scores": "scores",
    "predictions": "archive",
    "outcomes": "outcomes",
    "label": "late",
    "known_at": "landed_at",
    "segments": ["carrier", "origin"],
    "performance": "performance",
}
COMMANDS = {
    "build_features": "features build --view view.py:view --records records --stored weather=tables/weather "
    "--output features --slice ds=2013-12-02",
    "materialize_features": "features materialize --view view.py:view --up-to 2013-12-02T05:00Z "
    "--stored weather=tables/weather",
    "join_labels": "labels join --predictions scores --outcomes outcomes --label late --known-at landed_at "
    "--slice ds=2013-12-02 --segment carrier --segment origin --output performance",
    "monitor_drift": "drift report --window 2013-12-02..2013-12-03 --table archive --gate --no-page",
}


def function_of(bag: BundleDagBag, dag: str, task: str) -> Any:
    """Return what a TaskFlow task calls."""
    found: Any = bag.dags[dag].get_task(task)
    return found.python_callable


@pytest.mark.parametrize("dag", COMMANDS)
def test_the_command_that_is_planned(bag: BundleDagBag, monkeypatch: pytest.MonkeyPatch, dag: str) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_SCORETRAIL", json.dumps(DEPLOYMENT))
    form = {name: bag.dags[dag].params[name] for name in bag.dags[dag].params}
    key = "2013-12-02T05:00Z" if dag == "materialize_features" else "2013-12-02"
    planned = function_of(bag, dag, "plan")(form, key)
    assert " ".join(planned["command"]) == COMMANDS[dag]


def test_a_window_of_several_days_ends_with_its_day(bag: BundleDagBag, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_SCORETRAIL", json.dumps(DEPLOYMENT))
    form = {"day": "2013-12-08", "days": 7, "dry_run": False}
    planned = function_of(bag, "monitor_drift", "plan")(form, None)
    assert planned["command"][3] == "2013-12-02..2013-12-09"


@pytest.mark.parametrize("level", ["ok", "warn", "not_enough_data", "drift"])
def test_performance_that_drifted_fails_its_own_task(bag: BundleDagBag, level: str) -> None:
    judge = function_of(bag, "join_labels", "judge")
    if level != "drift":
        assert judge({"level": level, "join_id": "j"}) == level
        return
    with pytest.raises(AirflowFailException, match="join j"):
        judge({"level": level, "join_id": "j"})
