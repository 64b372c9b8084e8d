"""### Holds what the stream predicted in a day against the baseline of its model

`plan` → `report`.

- **Window**: yesterday by event time, each morning at four; or the parameter `day`, and `days` for a longer one. Each
  batch run has a verdict of its own; this is for the archive of the stream.
- **Red**: the verdict is drift, and the message names the columns. Nothing is held back: these predictions are out.
- **Dry run**: shows the command, and stops there.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from airflow.sdk import CronPartitionTimetable, Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from scoretrail_airflow.command import ScoretrailOperator
from scoretrail_airflow.default import ARGUMENTS, TAGS
from scoretrail_airflow.deployment import Deployment
from scoretrail_airflow.occasion import KEY_FORMAT, day_of, day_param


@dag(
    dag_id="monitor_drift",
    doc_md=__doc__,
    schedule=CronPartitionTimetable("0 4 * * *", timezone="UTC", run_offset=-1, key_format=KEY_FORMAT),
    default_args=ARGUMENTS,
    tags=[*TAGS, "monitoring"],
    max_active_runs=1,
    params={
        "day": day_param(),
        "days": Param(1, type="integer", minimum=1, maximum=92, description="Length of the window; `day` is its last."),
        "dry_run": Param(False, type="boolean", description="Show the command; judge nothing."),
    },
)
def monitor_drift() -> None:
    """Wire the tasks."""

    @task
    def plan(params: dict[str, Any], partition_key: str | None = None) -> dict[str, Any]:
        """Say what will be run, before anything does."""
        last = date.fromisoformat(day_of(params, partition_key))
        first, end = last - timedelta(days=params["days"] - 1), last + timedelta(days=1)
        words = ["drift", "report", "--window", f"{first}..{end}", "--table", Deployment.load().text("predictions")]
        words += ["--gate", "--no-page"]
        if params["dry_run"]:
            raise AirflowSkipException(f"a dry run; it would be: {words}")
        return {"command": words}

    ScoretrailOperator(
        task_id="report",
        doc_md="The verdict on the window; exit code 3 where it is drift.",
        arguments=plan()["command"],
    )


monitor_drift()
