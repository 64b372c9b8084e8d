"""Which day a DAG run is about, and under which id Scoretrail runs for it."""

from __future__ import annotations

import secrets
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_FORMAT: Final = "%Y-%m-%d"
"""Of a partition's key: the day, as partitions of the data are called."""


def day_param() -> Param:
    """Return the parameter that names a day; null means that of the run's partition."""
    return Param(
        None,
        type=["null", "string"],
        format="date",
        title="Day",
        description="YYYY-MM-DD. Empty: the day of the run's partition.",
    )


def day_of(params: Mapping[str, Any], partition_key: str | None) -> str:
    """Return the day that a run is about.

    Args:
        params: of the run; ``day`` wins.
        partition_key: of the run, where it has one.

    Raises:
        AirflowFailException: there is neither, or it is no day.
    """
    text = params.get("day") or partition_key
    if not text:
        raise AirflowFailException(
            "which day?\n  what to do: trigger the DAG with a partition key or the parameter `day`, such as 2013-12-02"
        )
    return checked_day(str(text))


def checked_day(text: str) -> str:
    """Return a day as it was given.

    Raises:
        AirflowFailException: it is none.
    """
    try:
        day = date.fromisoformat(text).isoformat()
    except ValueError:
        day = ""
    if day != text:
        raise AirflowFailException(f"{text!r} is no day\n  expected: YYYY-MM-DD")
    return day


def checked_time(text: str) -> str:
    """Return a time as it was given.

    Raises:
        AirflowFailException: it is none, or says no zone.
    """
    try:
        zone = datetime.fromisoformat(text).tzinfo
    except ValueError:
        zone = None
    if zone is None:
        raise AirflowFailException(f"{text!r} is no time with a zone\n  expected: such as 2013-12-02T05:00Z")
    return text


def new_run_id() -> str:
    """Return an id for a scoring run, which begins with the time as Scoretrail's own do.

    It is made by one task and given to the next, so that a retry of that one takes the run up again, while a DAG run
    that is cleared as a whole begins a run of its own: the data may have been mended.
    """
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
