"""### Scores a day with the champion, and publishes it unless it drifts

`plan` → `data_complete` → `score` → `released` → `announce_scores`, and `report` beside it.

- **Day**: that of the run's partition, or the parameter `day`. Runs by itself once `build_features` made the day.
- **Nothing is scored twice**: a retry takes the same scoring run up again, and a day that is there already is skipped.
- **Held**: a day that drifts is scored and not published. `score` is green, `released` waits, and what comes after does
  not begin. Look at *Drift report* of the task `report`, then `scoretrail runs release RUN --table TABLE`: `released`
  sees it and the DAG goes on. To refuse the day, mark `released` as failed.
- **Exit codes**: 75 is tried again; 2, 65, 70 and 78 fail at once, and the message says what to do.
- **Dry run**: tells what would be scored, and stops there.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, PartitionedAssetTimetable, dag, task

from scoretrail_airflow.announcement import announce_scores
from scoretrail_airflow.asset import FEATURES
from scoretrail_airflow.command import ScoretrailOperator
from scoretrail_airflow.default import ARGUMENTS, SPARK_POOL, TAGS
from scoretrail_airflow.deployment import Deployment
from scoretrail_airflow.environment import ScoringEnvironment
from scoretrail_airflow.occasion import day_of, day_param, new_run_id
from scoretrail_airflow.submit import HELD, SubmitOperator
from scoretrail_airflow.waiting import data_complete, released


@dag(
    dag_id="score_daily",
    doc_md=__doc__,
    schedule=PartitionedAssetTimetable(assets=FEATURES),
    default_args=ARGUMENTS,
    tags=[*TAGS, "batch"],
    max_active_runs=8,
    params={
        "day": day_param(),
        "on_drift": Param("hold", enum=["hold", "publish"], description="What becomes of a day that drifts."),
        "dry_run": Param(False, type="boolean", description="Tell what would be scored; publish nothing."),
    },
)
def score_daily() -> None:
    """Wire the tasks."""

    @task
    def plan(params: dict[str, Any], partition_key: str | None = None) -> dict[str, Any]:
        """Say what will be run, before anything does."""
        day = day_of(params, partition_key)
        deployment, environment = Deployment.load(), ScoringEnvironment.load()
        table, run_id = environment.place(deployment.text("scores")), new_run_id()
        words = ["batch", "score", "--model", deployment.text("model"), "--input", deployment.text("features")]
        words += ["--output", table, "--slice", deployment.slice_of(day), "--on-drift", params["on_drift"]]
        return {
            "day": day,
            "days": [day],
            "command": [*words, *(["--dry-run"] if params["dry_run"] else ["--run-id", run_id])],
            "report": ["drift", "report", "--run", run_id, "--table", table],
            "show": ["runs", "show", run_id, "--table", table],
            "trail": f"{table}/_scoretrail/{run_id}",
        }

    @task.short_circuit
    def has_verdict(scored: dict[str, Any]) -> bool:
        """Tell whether there is a verdict to report: not of a dry run, and not where nothing was scored."""
        return scored.get("status") == HELD or scored.get("drift") is not None

    planned = plan()
    score = SubmitOperator(
        task_id="score",
        doc_md="Scores what is not scored yet, and publishes it in one commit, or holds it.",
        arguments=planned["command"],
        trail=planned["trail"],
        name="score_daily",
        pool=SPARK_POOL,
    )
    report = ScoretrailOperator(
        task_id="report",
        doc_md="Makes Evidently's page of a sample. The verdict is older: it was part of the run.",
        arguments=planned["report"],
        trail=planned["trail"],
    )
    data_complete(planned, "features") >> score
    has_verdict(score.output) >> report
    announce_scores(planned["days"], released(planned["show"], score.output))


score_daily()
