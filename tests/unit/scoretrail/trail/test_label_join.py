"""Records of joins: what is written reads back, in the shape that others rely on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scoretrail.errors import TrailError
from scoretrail.model.manifest import Metric
from scoretrail.trail.label_join import Assessment, JoinStore, LabelJoin


def record(join_id: str = "20140101T000000-aa", **changes: Any) -> LabelJoin:
    auc = Metric(name="roc_auc", value=0.7, low=0.68, high=0.72, data="December")
    assessment = Assessment(
        model={"name": "m", "version": "1.0.0", "bundle_sha256": "b" * 64},
        role="champion",
        kind="segment",
        window={"start": "2013-12-01", "end": "2013-12-28"},
        segment={"column": "carrier", "value": "AA"},
        rows=10,
        positives=3,
        days=7,
        drawn="days",
        level="not_enough_data",
        behind={"roc_auc": "drift"},
        calibration=((0.05, 0.04, 100),),
        figures=(auc,),
        promised=(auc,),
    )
    values = {
        "join_id": join_id,
        "status": "published",
        "command": "scoretrail labels join",
        "started_at": "2014-01-01T00:00:00.000000Z",
        "finished_at": "2014-01-01T00:00:01.000000Z",
        "predictions": ({"table": "t", "version": 3},),
        "outcomes": {"root": "o", "slices": [], "files": 3, "data_sha256": "d" * 64},
        "output": {"table": "l", "version": 2},
        "rows": {"predictions": 1},
        "delay_s": {"p50": 1.0, "p95": None, "max": 2.0},
        "level": "ok",
        "performance": (assessment,),
    }
    return LabelJoin(**{**values, **changes})


def test_a_record_reads_back_as_it_was_written() -> None:
    assert LabelJoin.from_bytes(record().to_bytes()) == record()


def test_the_shape_is_the_one_that_alerts_and_pages_read() -> None:
    metric = {"name": "roc_auc", "value": 0.7, "low": 0.68, "high": 0.72, "level": 0.95, "data": "December"}
    assert json.loads(record().to_bytes()) == {
        "join_id": "20140101T000000-aa",
        "kind": "labels",
        "status": "published",
        "command": "scoretrail labels join",
        "started_at": "2014-01-01T00:00:00.000000Z",
        "finished_at": "2014-01-01T00:00:01.000000Z",
        "predictions": [{"table": "t", "version": 3}],
        "outcomes": {"root": "o", "slices": [], "files": 3, "data_sha256": "d" * 64},
        "output": {"table": "l", "version": 2},
        "rows": {"predictions": 1},
        "delay_s": {"p50": 1.0, "p95": None, "max": 2.0},
        "level": "ok",
        "performance": [
            {
                "model": {"name": "m", "version": "1.0.0", "bundle_sha256": "b" * 64},
                "role": "champion",
                "kind": "segment",
                "window": {"start": "2013-12-01", "end": "2013-12-28"},
                "segment": {"column": "carrier", "value": "AA"},
                "rows": 10,
                "positives": 3,
                "days": 7,
                "drawn": "days",
                "level": "not_enough_data",
                "behind": {"roc_auc": "drift"},
                "calibration": [[0.05, 0.04, 100]],
                "figures": [metric],
                "promised": [metric],
            }
        ],
    }


def test_figures_are_found_by_name() -> None:
    (assessment,) = record().performance
    assert [getattr(assessment.figure(name), "value", None) for name in ("roc_auc", "brier")] == [0.7, None]


def test_records_are_kept_oldest_first_and_the_first_of_an_id_stands(tmp_path: Path) -> None:
    store = JoinStore(str(tmp_path))
    assert (store.join_ids(), store.latest()) == ([], None)
    (tmp_path / "_scoretrail" / "erased").mkdir(parents=True)
    (tmp_path / "_scoretrail" / "erased" / "x.json").write_text("{}", encoding="utf-8")
    for join_id in ("20140102T000000-aa", "20140101T000000-bb"):
        store.write(record(join_id))
    store.write(record("20140101T000000-bb", level="drift"))
    assert store.join_ids() == ["20140101T000000-bb", "20140102T000000-aa"]
    assert store.find("latest") == store.latest() == record("20140102T000000-aa")
    assert store.find("20140101T000000-bb").level == "ok"


def test_a_join_that_is_not_there_is_told_with_its_nearest(tmp_path: Path) -> None:
    store = JoinStore(str(tmp_path))
    with pytest.raises(TrailError, match="no labels were joined here"):
        store.find("latest")
    store.write(record())
    with pytest.raises(TrailError) as missing:
        store.find("20140101T000000-ab")
    assert missing.value.fix == "did you mean 20140101T000000-aa?"


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    store = JoinStore(str(tmp_path))
    store.write(record())
    path = tmp_path / "_scoretrail" / "20140101T000000-aa" / "join.json"
    path.write_text('{"join_id": 1}', encoding="utf-8")
    with pytest.raises(TrailError, match="cannot be read") as damaged:
        store.latest()
    assert damaged.value.where == str(path)
