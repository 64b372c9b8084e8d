"""### Loads the latest stored features into the online store, every hour

`plan` → `materialize` → `announce`.

- **Up to**: what was available at the run's partition, ten past each hour; or the parameter `up_to`.
- **Never back**: a value that is newer than the one to be loaded stays, so runs may come late, twice or in any order.
- **Where to**: `online.uri` of Scoretrail's own settings, or `SCORETRAIL__ONLINE__URI` in the variables of the
  connection `scoretrail`.
- **Dry run**: shows the command, and stops there.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronPartitionTimetable, Param, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from scoretrail_airflow.asset import ONLINE
from scoretrail_airflow.command import ScoretrailOperator
from scoretrail_airflow.default import ARGUMENTS, TAGS
from scoretrail_airflow.deployment import Deployment
from scoretrail_airflow.occasion import checked_time


@dag(
    dag_id="materialize_features",
    doc_md=__doc__,
    schedule=CronPartitionTimetable("10 * * * *", timezone="UTC", key_format="%Y-%m-%dT%H:%MZ"),
    default_args={**ARGUMENTS, "execution_timeout": timedelta(minutes=45)},
    tags=[*TAGS, "stream"],
    max_active_runs=1,
    params={
        "up_to": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Up to",
            description="Only values available then, such as 2013-12-02T05:00:00Z. Empty: the run's partition.",
        ),
        "dry_run": Param(False, type="boolean", description="Show the command; load nothing."),
    },
)
def materialize_features() -> None:
    """Wire the tasks."""

    @task
    def plan(params: dict[str, Any], partition_key: str | None = None) -> dict[str, Any]:
        """Say what will be run, before anything does."""
        up_to = params["up_to"] or partition_key
        if not up_to:
            raise AirflowFailException("up to when?\n  what to do: trigger the DAG with `up_to`, or a partition key")
        deployment = Deployment.load()
        words = ["features", "materialize", "--view", deployment.text("view"), "--up-to", checked_time(up_to)]
        for name, table in deployment.pairs("stored").items():
            words += ["--stored", f"{name}={table}"]
        if params["dry_run"]:
            raise AirflowSkipException(f"a dry run; it would be: {words}")
        return {"up_to": up_to, "command": words}

    @task(outlets=[ONLINE])
    def announce(planned: dict[str, Any], loaded: dict[str, Any], outlet_events: Any = None) -> dict[str, Any]:
        """Tell the consumers of the online store, with the digest of the values of each set."""
        event = outlet_events[ONLINE]
        event.extra = loaded
        event.add_partitions(planned["up_to"])
        return loaded

    planned = plan()
    load = ScoretrailOperator(
        task_id="materialize",
        doc_md="Loads the newest value of each entity; a newer one that is there stays.",
        arguments=planned["command"],
    )
    announce(planned, load.output)


materialize_features()
