"""A scoring run's ``run.json`` and drift page, for those who may see the DAG.

A browser opens no file of another machine, and an object store asks for keys that a browser has not. The folder is the
one that the task itself wrote down; no address of a reader's making leads anywhere else.
"""

from __future__ import annotations

import re
from typing import Final

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.models.xcom import XComModel
from airflow.sdk import ObjectStoragePath
from fastapi import Depends, FastAPI, HTTPException, Response

TRAIL: Final = "scoretrail_trail"
"""XCom key, as ``scoretrail_airflow.link`` of the DAGs writes it."""
KINDS: Final = {"run.json": "application/json", "evidently.html": "text/html; charset=utf-8"}
INSTEAD: Final = {"run.json": "held.json"}
"""A run that is held has no record yet; what waits is written there."""
HEADERS: Final = {
    # The page is made of data: it draws its charts, and nothing in it reaches Airflow with the reader's rights.
    "Content-Security-Policy": "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data:; font-src data:",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
_RECORDS: Final = re.compile(r".+/_scoretrail/[A-Za-z0-9][A-Za-z0-9._:+@=-]*")
"""Where the records of a run lie, below its table."""

api = FastAPI(title="Scoretrail", openapi_url=None)


@api.get(
    "/{dag_id}/{run_id}/{task_id}/{map_index}/{name}",
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.XCOM))],
)
def document(dag_id: str, run_id: str, task_id: str, map_index: int, name: str, session: SessionDep) -> Response:
    """Return one document of a task's scoring run.

    Raises:
        HTTPException: there is none (404).
    """
    if name not in KINDS:
        raise HTTPException(404, f"there are {' and '.join(KINDS)}")
    query = XComModel.get_many(
        run_id=run_id, key=TRAIL, task_ids=task_id, dag_ids=dag_id, map_indexes=map_index, limit=1
    )
    found = session.scalars(query).first()
    folder = XComModel.deserialize_value(found) if found is not None else None
    if not isinstance(folder, str) or not _RECORDS.fullmatch(folder):
        raise HTTPException(404, "this task has no scoring run")
    place = ObjectStoragePath(folder if "://" in folder else f"file://{folder}")
    for candidate in (name, INSTEAD.get(name, name)):
        if (place / candidate).exists():
            return Response((place / candidate).read_bytes(), media_type=KINDS[name], headers=HEADERS)
    raise HTTPException(404, f"there is no {name} of this run yet")
