"""Plugin: serves the records of scoring runs from Airflow's own address, for the links of the DAGs' tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping


async def serve(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Answer a request (ASGI); what that takes is imported with the first, for every task's process loads this file."""
    from scoretrail_trail_api import api  # noqa: PLC0415

    await api(scope, receive, send)


class ScoretrailTrail(AirflowPlugin):
    """The records of scoring runs, below ``/scoretrail``."""

    name = "scoretrail_trail"
    fastapi_apps = [{"app": serve, "url_prefix": "/scoretrail", "name": "Scoretrail"}]
