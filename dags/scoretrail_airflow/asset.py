"""The data sets that the DAGs make, by name: where they lie is the deployment's matter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import Asset

if TYPE_CHECKING:
    from collections.abc import Mapping

FEATURES: Final = Asset(name="flight_features", uri="scoretrail://flights/features", group="scoretrail")
"""Records with stored features, a partition for each day."""
ONLINE: Final = Asset(name="flight_online_features", uri="scoretrail://flights/online", group="scoretrail")
"""The online store, as of an hour."""
SCORES: Final = Asset(name="flight_scores", uri="scoretrail://flights/scores", group="scoretrail")
"""Published scores, a partition for each day."""
PERFORMANCE: Final = Asset(name="flight_performance", uri="scoretrail://flights/performance", group="scoretrail")
"""Predictions with the outcomes that came, a partition for each day."""


def scores_extra(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an event of ``SCORES`` says of the run that published them.

    Args:
        record: ``run.json``.
    """
    model, drift = record["model"], record["drift"]
    return {
        "run_id": record["run_id"],
        "status": record["status"],
        "model": f"{model['name']}/{model['version']}",
        "role": model["role"],
        "bundle_sha256": model["bundle_sha256"],
        "score_digest": model["score_digest"],
        "data_sha256": record["input"]["data_sha256"],
        "slices": record["input"]["slices"],
        "messages_sha256": record["output"]["messages_sha256"],
        "table": record["output"]["table"],
        "table_version": record["output"]["table_version"],
        "rows": record["rows"],
        "drift": drift["level"] if drift else None,
        "drifted": drift["columns"] if drift else [],
    }
