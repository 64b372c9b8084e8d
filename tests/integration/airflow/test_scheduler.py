"""The DAGs under a real scheduler: partitions that follow each other, a day that is held, and what goes wrong."""

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.services.airflow_server import AirflowServer
from jobs.services.port import free_port
from tests.factory.scheduled import HALF, HEAVY, ROWS, UNBUILT, USUAL, Scheduled
from tests.integration.airflow.live import Live, Run, web_hook
from tests.integration.airflow.place import ROOT
from tests.integration.cluster.process import wait_for
from tests.integration.cluster.standalone import StandaloneCluster


@pytest.fixture(scope="module")
def live(
    control: Path,
    migrated: Path,
    spark: StandaloneCluster,
    week: Scheduled,
    variables: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Live]:
    """Airflow, whole, with the cluster and the week."""
    home = tmp_path_factory.mktemp("live")
    shutil.copy(migrated / "airflow.db", home)
    settings = {
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "20",  # whoever fails is seen before it is tried again
        # Airflow takes the end of one look for the end of the next if the next is queued before it has noticed.
        "AIRFLOW__SCORETRAIL__POKE_INTERVAL": "6",
        "AIRFLOW__SCORETRAIL__DATA_TIMEOUT": "3",
    }
    server = AirflowServer(
        parts=("api-server", "scheduler", "dag-processor"),  # no task defers, so nothing is triggered
        folder=home,
        control=control,
        dags=ROOT / "dags",
        plugins=ROOT / "plugins",
        port=free_port(),
        settings=settings,
    )
    made = Live(
        server=server, week=week, scores=str(tmp_path_factory.mktemp("live-scores") / "scores"), variables=variables
    )
    with web_hook(made.told) as hook:
        server.start()
        try:
            made.configure(spark.url, hook)
            yield made
        finally:
            server.stop()


@pytest.fixture(scope="module")
def held(live: Live) -> Run:
    """A day whose features were built, which set off its scoring, which was held."""
    live.trigger("build_features", HEAVY).wait()
    scoring = live.run_of("score_daily", "asset_triggered")
    scoring.wait_until("report", "success")
    scoring.wait_until("released", "up_for_reschedule")
    return scoring


@pytest.fixture(scope="module")
def went_on(live: Live, held: Run) -> Run:
    """The same, released by a person at the command line."""
    words = held.value("plan", "show")
    assert words[:2] == ["runs", "show"]
    live.command("runs", "release", *words[2:])
    held.wait()
    return held


def test_the_day_of_a_partition_goes_from_dag_to_dag(held: Run) -> None:
    assert held.facts["partition_key"] == HEAVY
    assert held.value("plan", "day") == HEAVY


def test_a_day_that_drifts_is_held_and_its_downstream_waits(live: Live, held: Run) -> None:
    states = held.tasks()
    assert states["score"] == "success"
    assert states["announce_scores"] is None
    assert held.facts["state"] == "running"
    assert live.version() <= 0, "a table at most, and no rows"
    assert "scoretrail runs release" in held.log("released")
    assert "weight" in held.log("released")
    assert any("score_daily.score is held" in text and "runs release" in text for text in live.told)


def test_the_links_lead_to_the_record_and_the_page(live: Live, held: Run) -> None:
    links = held.links("report")
    status, _, record = live.get(links["Run record"])
    assert (status, json.loads(record)["run"]["status"]) == (200, "held")
    status, headers, page = live.get(links["Drift report"])
    assert status == 200
    assert "<html" in page[:500].lower()
    assert headers["content-security-policy"].startswith("sandbox allow-scripts")


def test_nobody_reads_a_record_who_may_not_see_the_dag_and_nothing_else_is_served(live: Live, held: Run) -> None:
    record = held.links("score")["Run record"]
    assert live.get(record, as_user=False)[0] in {401, 403}
    assert live.get(record.replace("run.json", "intent.json"))[0] == 404
    assert live.get(record.replace("/score/", "/plan/"))[0] == 404


def test_a_released_day_goes_on_and_is_told_with_its_hashes(live: Live, went_on: Run) -> None:
    assert set(went_on.tasks().values()) == {"success"}
    assert len(set(live.keys())) == live.rows().num_rows == ROWS
    ((key, extra),) = live.events("flight_scores")
    record = json.loads(live.get(went_on.links("score")["Run record"])[2])
    assert key == HEAVY
    assert (extra["status"], extra["drift"]) == ("published", "drift")
    assert "weight" in extra["drifted"]
    assert extra["messages_sha256"] == record["output"]["messages_sha256"]


#: DAG, its parameters, the task that fails and what it says.
MISTAKES = {
    "half written": ("score_daily", {"day": HALF}, "data_complete", f"the data of {HALF} is not whole"),
    "no features": ("score_daily", {"day": "2013-12-31"}, "data_complete", "no data of 2013-12-31 yet"),
    "no records": ("build_features", {"day": "2013-12-31"}, "data_complete", "no data of 2013-12-31 yet"),
    "no day": ("score_daily", {}, "plan", "which day?"),
    "a range that is not whole": ("backfill_scores", {"start": HEAVY, "end": HALF}, "plan", f"not whole: {HALF}"),
    "an empty range": ("backfill_scores", {"start": HALF, "end": USUAL}, "plan", "`start` before `end`"),
}


@pytest.fixture(scope="module")
def mistaken(live: Live, went_on: Run) -> dict[str, Run]:
    """All of these at once."""
    return {name: live.trigger(dag, **params) for name, (dag, params, _, _) in MISTAKES.items()}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_day_that_is_not_there_or_not_whole_is_told_and_nothing_is_scored(
    live: Live, mistaken: dict[str, Run], name: str
) -> None:
    dag, _, task, message = MISTAKES[name]
    states = mistaken[name].wait()
    assert states[task] == "failed"
    assert message in mistaken[name].log(task)
    assert {states[one] for one in ("score", "build") if one in states} <= {"upstream_failed"}
    wait_for(lambda: any(f"{dag}.{task} failed" in text for text in live.told), "message at the web hook")
    assert live.events("flight_scores")[1:] == []


def test_without_its_connection_a_task_fails_at_once(live: Live, went_on: Run) -> None:
    before = live.version()
    live.disconnect("scoretrail")
    try:
        run = live.trigger("score_daily", day=USUAL)
        assert run.wait()["plan"] == "failed"
    finally:
        live.connect("scoretrail", extra=json.dumps(live.connection()))
    assert run.tries("plan") == 1
    assert "the connection 'scoretrail' is not defined" in run.log("plan")
    assert live.version() == before


def test_a_missing_scoring_environment_is_told_at_once(live: Live, went_on: Run, tmp_path: Path) -> None:
    live.connect("scoretrail", extra=json.dumps({**live.connection(), "environment": str(tmp_path / "gone")}))
    try:
        run = live.trigger("score_daily", day=USUAL)
        assert run.wait()["plan"] == "failed"
    finally:
        live.connect("scoretrail", extra=json.dumps(live.connection()))
    assert run.tries("plan") == 1
    assert "the scoring environment is missing" in run.log("plan")
    assert str(tmp_path / "gone") in run.log("plan")


def test_without_a_spark_connection_nothing_goes_to_yarn(live: Live, went_on: Run, spark: StandaloneCluster) -> None:
    live.disconnect("scoretrail_spark")
    try:
        run = live.trigger("score_daily", day=USUAL)
        assert run.wait()["score"] == "failed"
    finally:
        live.connect("scoretrail_spark", conn_type="spark", host=spark.url)
    assert run.tries("score") == 1
    assert "the connection 'scoretrail_spark' is not defined" in run.log("score")
    assert "yarn" not in run.log("score")


def test_a_master_that_is_down_is_tried_again_later(live: Live, went_on: Run, spark: StandaloneCluster) -> None:
    before = live.version()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take the port
        live.connect("scoretrail_spark", conn_type="spark", host=f"spark://127.0.0.1:{taken.getsockname()[1]}")
        try:
            run = live.trigger("score_daily", day=USUAL)
            run.wait_until("score", "up_for_retry")
        finally:
            live.connect("scoretrail_spark", conn_type="spark", host=spark.url)
    run.stop()
    assert "does not answer" in run.log("score")
    assert "exit code 75, try again later" in run.log("score")
    assert live.version() == before


def test_a_dry_run_of_a_build_begins_nothing(live: Live, went_on: Run) -> None:
    states = live.trigger("build_features", day=UNBUILT, dry_run=True).wait()
    assert states == {"plan": "success", "data_complete": "skipped", "build": "skipped", "announce": "skipped"}


@pytest.mark.slow
def test_a_dry_run_tells_and_publishes_nothing(live: Live, went_on: Run, spark: StandaloneCluster) -> None:
    before = live.version()
    live.connect("scoretrail_spark", conn_type="spark", host="local[1]")
    try:
        run = live.trigger("score_daily", day=USUAL, dry_run=True)
        states = run.wait()
    finally:
        live.connect("scoretrail_spark", conn_type="spark", host=spark.url)
    assert states["score"] == "success"
    assert {states[name] for name in ("released", "report", "announce_scores")} == {"skipped"}
    assert run.value("score")["rows_to_score"] == ROWS
    assert live.version() == before
