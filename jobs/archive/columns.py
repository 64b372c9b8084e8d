"""The columns of an archive: those of a scored table where they mean the same, and where the prediction came from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from scoretrail.trail.prediction import Column, distinct, prediction_columns

if TYPE_CHECKING:
    from scoretrail.model.manifest import Manifest

EVENT_DATE: Final = "event_date"
"""The partition column."""
ROW_SHA256: Final = "row_sha256"
_OF_BATCH: Final = frozenset({"data_sha256", "source_path", "source_row", "work_key", "run_id"})
"""Columns of a scored table that say which file a row came from."""
_SCORED_AT: Final = "scored_at"
_STRING: Final = pa.string()

_STREAMED: Final = (
    Column("ce_id", _STRING, "Id of the prediction; follows from source, role and outcome"),
    Column("outcome", pa.int64(), "0 for the event's first; a redrive counts up"),
    Column("source_cluster", _STRING, "Id of the cluster where the event lay"),
    Column("source_topic", _STRING, "Topic of the event"),
    Column("source_partition", pa.int32(), "Partition of the event"),
    Column("source_offset", pa.int64(), "Offset of the event"),
    Column("event_sha256", _STRING, "sha256 of the event's raw value"),
    Column("features_sha256", _STRING, "sha256 of the packed inputs"),
    Column("inputs", pa.binary(), "What the model was given, packed"),
    Column("inputs_schema", _STRING, "sha256 over names and types of the inputs"),
    Column("score_digest", _STRING, "Digest of what decides score, label and decision"),
    Column("scoring_version", pa.int64(), "Raised when code of Scoretrail's may change a bit of a score"),
    Column("engine", _STRING, "What scored: ONNX Runtime, or the tree kernel"),
    Column("onnxruntime", _STRING, "Version of ONNX Runtime where it was scored"),
    Column("repeats_bits", pa.bool_(), "Whether the golden rows gave their recorded bits where it was scored"),
    Column("store_unavailable", pa.bool_(), "Whether stored features are defaults because the store did not answer"),
    Column("prediction_partition", pa.int32(), "Partition of the prediction in its topic"),
    Column("prediction_offset", pa.int64(), "Offset of the prediction there"),
    Column(ROW_SHA256, _STRING, "sha256 over the row's other columns, when it was archived"),
)


def archive_columns(manifest: Manifest) -> tuple[Column, ...]:
    """Return the columns of an archive, in order.

    Args:
        manifest: of any version of the model with the same view and classes.

    Raises:
        OutputTableError: the view uses a name that the archive needs.
    """
    same = [
        replace(column, comment="When the prediction was made, UTC") if column.name == _SCORED_AT else column
        for column in prediction_columns(manifest, [(EVENT_DATE, pa.date32())])
        if column.name not in _OF_BATCH
    ]
    return distinct(*same, *_STREAMED)
