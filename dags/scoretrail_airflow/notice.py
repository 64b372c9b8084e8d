"""Tells people what they must look at: by the web hook of the connection ``scoretrail_alerts``, and in the log."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Final

from airflow.sdk import BaseHook, BaseNotifier
from airflow.sdk.exceptions import AirflowNotFoundException

if TYPE_CHECKING:
    from airflow.sdk import Connection, Context

ALERTS: Final = "scoretrail_alerts"
_TIMEOUT_S: Final = 10.0
"""A hook that does not answer must not hold up the worker."""
_LONGEST: Final = 1500
"""Characters of the error: a message, no log."""


class Notice(BaseNotifier):
    """Posts ``{"text": …}``, which Slack, Mattermost and many others take as a message.

    Args:
        conn_id: an HTTP connection; without it the text goes to the log alone.
    """

    def __init__(self, conn_id: str = ALERTS) -> None:
        super().__init__()
        self.conn_id = conn_id

    def notify(self, context: Context) -> None:
        """Tell of the failure."""
        self.tell(text_of(context))

    def tell(self, text: str) -> None:
        """Post a text."""
        self.log.warning("%s", text)
        try:
            connection = BaseHook.get_connection(self.conn_id)
        except AirflowNotFoundException:
            return
        headers = {"Content-Type": "application/json"}
        if connection.password:
            headers["Authorization"] = f"Bearer {connection.password}"
        request = urllib.request.Request(  # noqa: S310  (the address is the administrator's)
            _address(connection), json.dumps({"text": text}).encode(), headers, method="POST"
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310  (the same)
            pass


def text_of(context: Context, what: str | None = None) -> str:
    """Return what people are told of a task: which, in which run, why, and where its log is.

    Args:
        context: of the task.
        what: is told instead of its failure.
    """
    task = context["ti"]
    partition = context.get("partition_key")
    why = what or str(context.get("exception") or "no reason given")[:_LONGEST]
    lines = [
        f"{task.dag_id}.{task.task_id} " + ("is held" if what else f"failed, try {task.try_number}"),
        f"run: {task.run_id}" + (f", partition {partition}" if partition else ""),
        why,
    ]
    address = getattr(task, "log_url", None)
    return "\n".join([*lines, *([f"log: {address}"] if address else [])])


def _address(connection: Connection) -> str:
    host = connection.host or ""
    if "://" not in host:
        host = f"{connection.schema or 'https'}://{host}" + (f":{connection.port}" if connection.port else "")
    return host + str(connection.extra_dejson.get("path", ""))
