"""### Scores many days again: with another model, after a correction, or for the first time

`plan` → for each part of the days: `score` → `released` → `announce_scores`.

- **Days**: `start` to `end`, both included, in parts of `days_per_run`: one Spark application and one commit for each.
- **Whole days only**: the DAG stops before anything is scored if the features of a day are missing or half written.
- **Only what is missing**: a day that is scored by the same model from the same data is skipped. Trigger it again as
  often as you like.
- **Another model**: `model` and `role` (`challenger`) write beside the champion's rows, not over them.
- **Held**: as in `score_daily`, part by part.
- **Dry run**: tells what each part would score, and stops there.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from airflow.sdk import Param, dag, task, task_group
from airflow.sdk.exceptions import AirflowFailException

from scoretrail_airflow.announcement import announce_scores
from scoretrail_airflow.default import ARGUMENTS, SPARK_POOL, TAGS
from scoretrail_airflow.deployment import Deployment
from scoretrail_airflow.environment import ScoringEnvironment
from scoretrail_airflow.marker import is_complete
from scoretrail_airflow.occasion import new_run_id
from scoretrail_airflow.submit import SubmitOperator
from scoretrail_airflow.waiting import released


@dag(
    dag_id="backfill_scores",
    doc_md=__doc__,
    schedule=None,
    default_args=ARGUMENTS,
    tags=[*TAGS, "batch"],
    max_active_runs=1,
    params={
        "start": Param(type="string", format="date", title="First day", description="YYYY-MM-DD"),
        "end": Param(type="string", format="date", title="Last day", description="YYYY-MM-DD, included"),
        "days_per_run": Param(7, type="integer", minimum=1, maximum=92, description="Days of one commit."),
        "model": Param(None, type=["null", "string"], description="models:/NAME@ALIAS. Empty: the deployment's."),
        "role": Param(None, type=["null", "string"], description="Role of the scores. Empty: the alias."),
        "on_drift": Param("hold", enum=["hold", "publish"], description="What becomes of a part that drifts."),
        "allow_remove": Param(False, type="boolean", description="Let published rows go whose input is gone."),
        "dry_run": Param(False, type="boolean", description="Tell what would be scored; publish nothing."),
    },
)
def backfill_scores() -> None:
    """Wire the tasks."""

    @task
    def plan(params: dict[str, Any]) -> list[dict[str, Any]]:
        """Say what will be run for each part, before anything does."""
        days = days_of(params["start"], params["end"])
        missing = [day for day in days if not is_complete("features", day)]
        if missing:
            raise AirflowFailException(
                f"days that are not whole: {', '.join(missing)}\n"
                "  what to do: build them (a backfill of build_features), or choose other days"
            )
        deployment, environment = Deployment.load(), ScoringEnvironment.load()
        table = environment.place(deployment.text("scores"))
        words = ["batch", "score", "--model", params["model"] or deployment.text("model")]
        words += ["--input", deployment.text("features"), "--output", table, "--on-drift", params["on_drift"]]
        words += ["--role", params["role"]] if params["role"] else []
        words += ["--allow-remove"] if params["allow_remove"] else []
        parts = []
        for first in range(0, len(days), params["days_per_run"]):
            part, run_id = days[first : first + params["days_per_run"]], new_run_id()
            slices = [word for day in part for word in ("--slice", deployment.slice_of(day))]
            parts.append(
                {
                    "days": part,
                    "command": [*words, *slices, *(["--dry-run"] if params["dry_run"] else ["--run-id", run_id])],
                    "show": ["runs", "show", run_id, "--table", table],
                    "trail": f"{table}/_scoretrail/{run_id}",
                }
            )
        return parts

    @task_group
    def part(days: list[str], command: list[str], show: list[str], trail: str) -> None:
        """One commit's days."""
        score = SubmitOperator(
            task_id="score",
            doc_md="Scores what is not scored yet, and publishes it in one commit, or holds it.",
            arguments=command,
            trail=trail,
            name="backfill_scores",
            pool=SPARK_POOL,
        )
        announce_scores(days, released(show, score.output))

    part.expand_kwargs(plan())


def days_of(start: str, end: str) -> list[str]:
    """Return the days from the first to the last.

    Raises:
        AirflowFailException: there is none.
    """
    first, last = date.fromisoformat(start), date.fromisoformat(end)
    if last < first:
        raise AirflowFailException(f"there is no day from {start} to {end}\n  expected: `start` before `end`")
    return [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]


backfill_scores()
