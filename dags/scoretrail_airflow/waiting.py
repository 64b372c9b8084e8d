"""Tasks that wait: until a day's data is whole, and until a held run is published."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Literal

from airflow.sdk import PokeReturnValue, conf, task
from airflow.sdk.exceptions import AirflowSkipException

from scoretrail_airflow.command import run_command
from scoretrail_airflow.environment import ScoringEnvironment
from scoretrail_airflow.marker import is_complete
from scoretrail_airflow.submit import HELD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


log = logging.getLogger(__name__)


def _setting(name: str, fallback: float) -> float:
    return conf.getfloat("scoretrail", name, fallback=fallback)


POKE_INTERVAL_S: Final = _setting("poke_interval", 60)
"""How often somebody looks."""
DATA_TIMEOUT_S: Final = _setting("data_timeout", 6 * 3600)
"""How long a day's data may be late."""
RELEASE_TIMEOUT_S: Final = _setting("release_timeout", 3 * 24 * 3600)
"""How long a held run waits for a person: over a weekend."""
_WAITING: Final[Mapping[str, Any]] = {"mode": "reschedule", "poke_interval": POKE_INTERVAL_S}
"""Rescheduled, so that no worker is kept busy between two looks."""


@task.sensor(timeout=DATA_TIMEOUT_S, **_WAITING)
def data_complete(
    planned: Mapping[str, Any], data: Literal["features", "records"], dry_run: bool = False
) -> PokeReturnValue:
    """Wait until the day's data is whole: until its folder holds the file that its writer puts there last."""
    if dry_run:
        raise AirflowSkipException(f"a dry run; it would be: {planned['command']}")
    return PokeReturnValue(is_complete(data, planned["day"]))


@task.sensor(timeout=RELEASE_TIMEOUT_S, **_WAITING)
def released(show: Sequence[str], scored: Mapping[str, Any]) -> PokeReturnValue:
    """Wait until the run is published: at once, or, if it is held, until somebody releases it.

    The log of this task has the command that releases it. To refuse the run, mark this task as failed.
    """
    if "run_id" not in scored and scored.get("status") != HELD:
        raise AirflowSkipException("a dry run publishes nothing")
    record = run_command(ScoringEnvironment.load(), show)
    if record["status"] == HELD:
        drift = record["drift"] or {}
        log.warning(
            "run %s is held: %s %s; to publish it: scoretrail runs release %s --table %s",
            *(record["run_id"], drift.get("level", ""), ", ".join(drift.get("columns", ()))),
            *(record["run_id"], record["output"]["table"]),
        )
    return PokeReturnValue(record["status"] != HELD, record)
