"""Links from a task in the UI to the records of its scoring run; the plugin ``scoretrail_trail`` serves them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from airflow.sdk import BaseOperatorLink, conf

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey

TRAIL: Final = "scoretrail_trail"
"""XCom key: the folder of the run's records. The plugin reads it there, and serves no other folder."""


def show_trail(context: Context, folder: str | None) -> None:
    """Say where the records of a task's scoring run are, so that its links lead there."""
    if folder:
        context["ti"].xcom_push(TRAIL, folder)


class _TrailLink(BaseOperatorLink):
    document = ""

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address at the API server, or nothing for a task without a scoring run."""
        if not getattr(operator, "trail", None):
            return ""
        key: Any = ti_key
        where = (key.dag_id, key.run_id, key.task_id, str(key.map_index if key.map_index is not None else -1))
        base = urlsplit(conf.get("api", "base_url", fallback="/")).path.rstrip("/")
        return f"{base}/scoretrail/{'/'.join(quote(one, safe='') for one in where)}/{self.document}"


class RunRecordLink(_TrailLink):
    """To ``run.json``."""

    name = "Run record"
    document = "run.json"


class DriftReportLink(_TrailLink):
    """To Evidently's page of a sample."""

    name = "Drift report"
    document = "evidently.html"


LINKS: Final = (RunRecordLink(), DriftReportLink())
