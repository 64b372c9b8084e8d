"""The columns of a labelled table: a prediction, the outcome that it met, and every label that was received for it."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from scoretrail.feature.schema import TIMESTAMP
from scoretrail.trail.prediction import ENTITY_COMMENT, EVENT_TIME_COMMENT, Column, distinct

if TYPE_CHECKING:
    from collections.abc import Sequence

EVENT_DATE: Final = "event_date"
"""The partition column."""
SEGMENT_COMMENT: Final = "Segment, as the outcome has it"
"""Of the columns by whose values performance is broken down."""
IDENTITY: Final = ("bundle_sha256", "role")
"""What tells predictions of one entity at one instant apart."""

_STRING: Final = pa.string()


class Status(enum.StrEnum):
    """What may be done with a labelled row."""

    LABELLED = "labelled"
    CONFLICTING = "conflicting"
    EARLY = "early"


PREDICTED: Final = (
    Column("score", pa.float64(), "Score of the second class, after caps"),
    Column("label", _STRING, "The model's class", nullable=True),
    Column("decision", _STRING, "The label, or the abstention rule's value inside its band", nullable=True),
    Column("model_name", _STRING, "Name of the model in the registry"),
    Column("model_version", _STRING, "Version of the bundle that made the score"),
    Column("role", _STRING, "Role the model was run in: champion, challenger or another alias"),
    Column("bundle_sha256", _STRING, "sha256 of the bundle's manifest, which hashes everything in the bundle"),
    Column("scored_at", TIMESTAMP, "When it was scored, or the run that scored it began, UTC"),
    Column("run_id", _STRING, "The scoring run that wrote the prediction; null for one of a stream", nullable=True),
    Column("work_key", _STRING, "The piece of work that wrote it; null for one of a stream", nullable=True),
    Column("ce_id", _STRING, "Id of the prediction in its topic; null for one of a batch run", nullable=True),
)
"""What a labelled row has of its prediction, besides entity key and event time."""

RECEIVED: Final = (
    Column(
        "status",
        _STRING,
        "labelled: counts in figures; conflicting: labels disagree; early: known at or before the event time",
    ),
    Column("outcome", _STRING, "The class it was; null where labels conflict", nullable=True),
    Column("known_at", TIMESTAMP, "Since when the outcome is known, UTC; null where nobody says", nullable=True),
    Column("label_delay_s", pa.float64(), "Seconds from the event time to known_at", nullable=True),
    Column("labels_received", pa.int64(), "Different labels (outcome and time) that were received"),
    Column("labels_replaced", pa.int64(), "Of these, how many of another outcome a later one replaced"),
    Column(
        "labels",
        _STRING,
        "Every label received where there were several: JSON, [[outcome, known at], …] in order of time",
        nullable=True,
    ),
)
"""What a labelled row has of its labels."""


def labelled_columns(key: str, key_type: pa.DataType, event_time: str, segments: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns of a labelled table, in order.

    Args:
        key: name of the entity key.
        key_type: its type.
        event_time: name of the event time.
        segments: columns of the outcomes that are kept.

    Raises:
        OutputTableError: one of these has a name that the table needs.
    """
    return distinct(
        Column(key, key_type, ENTITY_COMMENT),
        Column(event_time, TIMESTAMP, EVENT_TIME_COMMENT),
        Column(EVENT_DATE, pa.date32(), "Date of the event time, UTC; partition column"),
        *PREDICTED,
        *RECEIVED,
        *(Column(name, _STRING, SEGMENT_COMMENT, nullable=True) for name in segments),
    )
