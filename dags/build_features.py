"""### Joins stored features to a day's records, as they were known at the time

`plan` → `data_complete` → `build` → `announce`.

- **Day**: yesterday, each morning at five; or the parameter `day`. To build many: *Backfill* in the UI, or `airflow
  backfill create --dag-id build_features --from-date 2013-12-02 --to-date 2013-12-04`. `score_daily` follows.
- **Late data**: `data_complete` waits for the day's marker (`records_marker` of the variable `scoretrail`), for six
  hours (`[scoretrail] data_timeout`).
- **Nothing is joined twice**: a partition that is there, made of the same inputs, stays.
- **Dry run**: shows the command, and stops there.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import CronPartitionTimetable, Param, dag, task

from scoretrail_airflow.asset import FEATURES
from scoretrail_airflow.default import ARGUMENTS, SPARK_POOL, TAGS
from scoretrail_airflow.deployment import Deployment
from scoretrail_airflow.occasion import KEY_FORMAT, day_of, day_param
from scoretrail_airflow.submit import SubmitOperator
from scoretrail_airflow.waiting import data_complete


@dag(
    dag_id="build_features",
    doc_md=__doc__,
    schedule=CronPartitionTimetable("0 5 * * *", timezone="UTC", run_offset=-1, key_format=KEY_FORMAT),
    default_args=ARGUMENTS,
    tags=[*TAGS, "batch"],
    max_active_runs=4,
    params={
        "day": day_param(),
        "dry_run": Param(False, type="boolean", description="Show the command; build nothing."),
    },
)
def build_features() -> None:
    """Wire the tasks."""

    @task
    def plan(params: dict[str, Any], partition_key: str | None = None) -> dict[str, Any]:
        """Say what will be run, before anything does."""
        day = day_of(params, partition_key)
        deployment = Deployment.load()
        words = ["features", "build", "--view", deployment.text("view"), "--records", deployment.text("records")]
        for name, table in deployment.pairs("stored").items():
            words += ["--stored", f"{name}={table}"]
        words += ["--output", deployment.text("features"), "--slice", deployment.slice_of(day)]
        return {"day": day, "command": words, "dry_run": params["dry_run"]}

    @task(outlets=[FEATURES])
    def announce(planned: dict[str, Any], built: dict[str, Any], outlet_events: Any = None) -> dict[str, Any]:
        """Tell the consumers of the features, with the build's digest and rows."""
        event = outlet_events[FEATURES]
        event.extra = built
        event.add_partitions(planned["day"])
        return built

    planned = plan()
    build = SubmitOperator(
        task_id="build",
        doc_md="Joins what is not joined yet; the partition appears as a whole.",
        arguments=planned["command"],
        name="build_features",
        pool=SPARK_POOL,
    )
    data_complete(planned, "records", planned["dry_run"]) >> build
    announce(planned, build.output)


build_features()
