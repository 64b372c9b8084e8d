"""The task that tells the consumers of the scores what was published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import task

from scoretrail_airflow.asset import SCORES, scores_extra

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@task(outlets=[SCORES])
def announce_scores(days: Sequence[str], record: Mapping[str, Any], outlet_events: Any = None) -> dict[str, Any]:
    """Tell the consumers of the scores, a partition for each day, with the run's hashes, rows and verdict."""
    event = outlet_events[SCORES]
    event.extra = scores_extra(record)
    event.add_partitions(list(days))
    return dict(event.extra)
