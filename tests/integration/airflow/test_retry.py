"""A task whose spark-submit is killed is tried again, and the try takes the same scoring run up where it stood."""

import json
import signal
from pathlib import Path

import pytest

from tests.factory.scheduled import FILES, PARTED, ROWS
from tests.integration.airflow.place import Place, Trial
from tests.integration.cluster.process import PROC, Process, descendants, wait_for

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not PROC.is_dir(), reason="processes are found through /proc"),
]


@pytest.mark.parametrize("master", ["local[2]", pytest.param("cluster", marks=pytest.mark.slow)])
def test_a_killed_spark_submit_is_tried_again_and_scores_nothing_twice(place: Place, master: str) -> None:
    if master != "cluster":
        place.settings["AIRFLOW_CONN_SCORETRAIL_SPARK"] = json.dumps({"conn_type": "spark", "host": master})
    # Scoring in calls of one row takes seconds instead of a moment, and each file is a task: time to strike.
    place.variables |= {"SCORETRAIL__BATCH__BATCH_ROWS": "1", "SCORETRAIL__BATCH__PACK_FILES": "1"}
    tested = place.begin("score_daily", "--mark-success-pattern", "has_verdict|report", day=PARTED)
    try:
        first = wait_for(lambda: finished_work(place), "a message of the first try")
        submit = spark_submit(tested)
        assert len(first) < FILES, "there is work left"
        submit.send(signal.SIGKILL)
        assert tested.wait() == 0, tested.said[-6000:]
    finally:
        tested.end()
    assert place.tries("score_daily", "score") == 2
    assert "ended by signal 9" in tested.said
    ((_, extra),) = place.events("flight_scores")
    assert len(set(place.keys())) == place.rows().num_rows == ROWS
    assert extra["rows"]["scored"] == ROWS
    assert place.version() == 1, "one commit after the one that made the table"
    again = finished_work(place)
    assert {key: again[key] for key in first} == first, "what the first try had scored was not scored again"
    record = json.loads(Path(place.scores, "_scoretrail", extra["run_id"], "run.json").read_bytes())
    assert record["attempts"] == 2


def finished_work(place: Place) -> dict[str, str]:
    """Return work key -> the attempt that did it."""
    messages = [path for path in Path(place.scores).glob("_scoretrail/*/*/*.json") if path.parent.name == "work"]
    return {path.stem: json.loads(path.read_bytes())["attempt"] for path in messages}


def spark_submit(tested: Trial) -> Process:
    """Return the process that Airflow waits for."""
    found = [one for one in descendants(tested.process.pid) if "org.apache.spark.deploy.SparkSubmit" in one.command]
    return min(found, key=lambda one: one.started)
