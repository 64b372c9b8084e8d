"""### Joins the outcomes that became known to the predictions, and measures how good these were

`plan` → `join` → `announce` → `judge`.

- **Day**: two days ago, each morning at six, when the day's flights have landed; or the parameter `day`. Outcomes that
  come later still are joined when the day is run again: the join is idempotent, conflicts are kept and counted.
- **Judge**: red where performance left the interval of the model's baseline (*concept drift*). The join stands.
- **Dry run**: shows the command, and stops there.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import CronPartitionTimetable, Param, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from scoretrail_airflow.asset import PERFORMANCE
from scoretrail_airflow.command import ScoretrailOperator
from scoretrail_airflow.default import ARGUMENTS, TAGS
from scoretrail_airflow.deployment import Deployment
from scoretrail_airflow.occasion import KEY_FORMAT, day_of, day_param


@dag(
    dag_id="join_labels",
    doc_md=__doc__,
    schedule=CronPartitionTimetable("0 6 * * *", timezone="UTC", run_offset=-2, key_format=KEY_FORMAT),
    default_args=ARGUMENTS,
    tags=[*TAGS, "monitoring"],
    max_active_runs=1,
    params={
        "day": day_param(),
        "dry_run": Param(False, type="boolean", description="Show the command; join nothing."),
    },
)
def join_labels() -> None:
    """Wire the tasks."""

    @task
    def plan(params: dict[str, Any], partition_key: str | None = None) -> dict[str, Any]:
        """Say what will be run, before anything does."""
        day = day_of(params, partition_key)
        deployment = Deployment.load()
        words = ["labels", "join", "--predictions", deployment.text("scores")]
        words += ["--outcomes", deployment.text("outcomes"), "--label", deployment.text("label")]
        words += ["--known-at", deployment.text("known_at"), "--slice", deployment.slice_of(day)]
        for column in deployment.texts("segments"):
            words += ["--segment", column]
        words += ["--output", deployment.text("performance")]
        if params["dry_run"]:
            raise AirflowSkipException(f"a dry run; it would be: {words}")
        return {"day": day, "command": words}

    @task(outlets=[PERFORMANCE])
    def announce(planned: dict[str, Any], joined: dict[str, Any], outlet_events: Any = None) -> dict[str, Any]:
        """Tell the consumers of the joined outcomes, with the join's id, rows and verdict."""
        event = outlet_events[PERFORMANCE]
        event.extra = {name: joined.get(name) for name in ("join_id", "status", "level", "rows", "output")}
        event.add_partitions(planned["day"])
        return dict(event.extra)

    @task(retries=0)
    def judge(joined: dict[str, Any]) -> str:
        """Fail where the verdict is drift: somebody should look."""
        if joined["level"] == "drift":
            raise AirflowFailException(
                f"performance drifted from the model's baseline: join {joined['join_id']}\n"
                "  what to do: look at the join's record, and at docs/how-to/watch-for-drift.md"
            )
        return str(joined["level"])

    planned = plan()
    join = ScoretrailOperator(
        task_id="join",
        doc_md="Joins outcomes to predictions by entity key and event time.",
        arguments=planned["command"],
    )
    announced = announce(planned, join.output)
    announced >> judge(announced)


join_labels()
