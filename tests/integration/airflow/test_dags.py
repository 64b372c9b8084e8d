"""Each DAG, run for real by ``airflow dags test``: Airflow's own processes, spark-submit, a standalone cluster."""

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from jobs.online import open_store
from scoretrail.feature.online import decode_values, online_key
from scoretrail.feature.source import load_view
from scoretrail.setting import OnlineSettings
from tests.factory.scheduled import DEPOTS, OTHER, PARTED, ROWS, UNBUILT, USUAL, VIEW
from tests.factory.services import StartService
from tests.factory.watched import DAY_US, START_US, readings
from tests.factory.windowed import RETENTION_DAYS, Windowed
from tests.integration.airflow.place import Place


# The scheduler's tests run these two on the same cluster each time; here they run as a person tries them.
@pytest.mark.slow
def test_build_features_builds_a_day_and_tells_of_it(place: Place, tmp_path: Path) -> None:
    built = tmp_path / "built"
    place.changes["features"] = str(built)
    place.test("build_features", day=UNBUILT)
    assert set(place.states("build_features").values()) == {"success"}
    assert (built / f"ds={UNBUILT}" / "_scoretrail_build.json").exists()
    ((key, extra),) = place.events("flight_features")
    assert key == UNBUILT
    assert (extra["partitions_built"], extra["rows_built"]) == (1, ROWS)
    assert extra["found"] == {"depot_load": ROWS}
    assert len(extra["build"]) == 64


@pytest.mark.slow
def test_score_daily_publishes_a_day_with_its_hashes_and_its_page(place: Place) -> None:
    place.test("score_daily", day=USUAL)
    assert set(place.states("score_daily").values()) == {"success"}
    assert len(set(place.keys())) == place.rows().num_rows == ROWS
    ((key, extra),) = place.events("flight_scores")
    record = json.loads(Path(place.scores, "_scoretrail", extra["run_id"], "run.json").read_bytes())
    assert key == USUAL
    assert extra["bundle_sha256"] == record["model"]["bundle_sha256"]
    assert extra["data_sha256"] == record["input"]["data_sha256"]
    assert (extra["rows"]["scored"], extra["table_version"], extra["drift"]) == (ROWS, place.version(), "ok")
    assert Path(place.scores, "_scoretrail", extra["run_id"], "evidently.html").exists()
    assert record["environment"]["spark"]
    assert record["environment"]["hosts"], "executors of the cluster scored"


def test_backfill_of_three_days_scores_what_is_missing_in_two_commits(place: Place) -> None:
    place.score_here(USUAL)
    before = place.version()
    place.test("backfill_scores", start=USUAL, end=PARTED, days_per_run=2)
    states = place.states("backfill_scores")
    assert set(states.values()) == {"success"}
    assert {"part.score[0]", "part.score[1]"} <= states.keys()
    assert place.version() == before + 2
    assert len(set(place.keys())) == place.rows().num_rows == 3 * ROWS
    events = place.events("flight_scores")
    assert sorted(key for key, _ in events) == [USUAL, OTHER, PARTED]
    assert {key: (one["rows"]["scored"], one["rows"]["skipped"]) for key, one in events} == {
        USUAL: (ROWS, ROWS),
        OTHER: (ROWS, ROWS),
        PARTED: (ROWS, 0),
    }


def test_materialize_features_loads_the_store(place: Place, start_valkey: StartService) -> None:
    uri = f"redis://{start_valkey().address}/0"
    place.variables["SCORETRAIL__ONLINE__URI"] = uri
    place.test("materialize_features", up_to="2013-12-02T05:00:00Z")
    ((key, extra),) = place.events("flight_online_features")
    assert key == "2013-12-02T05:00:00Z"
    (loaded,) = extra["materialized"]
    assert (loaded["stored"], loaded["written"]) == ("depot_load", len(DEPOTS))
    view = load_view(VIEW, "parcel_day")
    (depot,) = view.stored
    store = open_store(OnlineSettings(uri=uri))
    try:
        keys = [online_key(view.name, depot.name, depot.layout.schema8, one) for one in DEPOTS]
        values = decode_values(depot, store.read(keys, 5)).values.column("waiting").to_pylist()
    finally:
        store.close()
    assert values == [5.0] * len(DEPOTS)


def test_join_labels_joins_a_day(place: Place, tmp_path: Path) -> None:
    place.score_here(USUAL)
    rows = place.rows()
    late = pc.if_else(pc.greater(rows["score"], pc.quantile(rows["score"], 0.5)[0]), "late", "on time")
    known = pc.add(rows["sent_at"], pa.scalar(timedelta(hours=5), pa.duration("us")))
    outcomes = pa.table({"parcel_id": rows["parcel_id"], "sent_at": rows["sent_at"], "late": late, "known_at": known})
    (tmp_path / "outcomes" / f"ds={USUAL}").mkdir(parents=True)
    pq.write_table(outcomes, tmp_path / "outcomes" / f"ds={USUAL}" / "part.parquet")
    place.changes |= {
        "outcomes": str(tmp_path / "outcomes"),
        "label": "late",
        "known_at": "known_at",
        "performance": str(tmp_path / "performance"),
    }
    place.test("join_labels", day=USUAL)
    assert set(place.states("join_labels").values()) == {"success"}
    ((key, extra),) = place.events("flight_performance")
    assert key == USUAL
    assert extra["rows"]["labelled"] == ROWS
    record = tmp_path / "performance" / "_scoretrail" / extra["join_id"] / "join.json"
    assert json.loads(record.read_bytes())["rows"] == extra["rows"]


def test_monitor_drift_judges_a_day_of_the_stream(place: Place) -> None:
    stage = Windowed(place.week.folder)
    moved = pa.array(np.random.default_rng(5).normal(1.5, 1, ROWS), pa.float32())
    stage.score(readings(ROWS, 3, days=1))
    stage.score(readings(ROWS, 4, days=1, start_us=START_US + DAY_US, x=moved))
    stage.windows.copy(RETENTION_DAYS)
    place.changes["predictions"] = stage.archive.uri
    place.test("monitor_drift", day="2013-12-02")
    assert set(place.states("monitor_drift").values()) == {"success"}
    drifted = place.begin("monitor_drift", day="2013-12-03")
    assert drifted.wait() != 0
    assert "drifted from the baseline of its model" in drifted.said
