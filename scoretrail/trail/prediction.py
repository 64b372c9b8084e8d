"""The columns of a scored table: one schema, from which the table, its comments and the data contract are made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from scoretrail.clock import utc_text
from scoretrail.errors import OutputTableError
from scoretrail.feature.schema import TIMESTAMP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from scoretrail.model.manifest import Manifest
    from scoretrail.scoring import Rejected, Scored

SCHEMA_VERSION: Final = 1
"""Raised when a column of the output changes; part of every work key."""

ENTITY_COMMENT: Final = "Entity key of the record"
"""Of the column by which an entity is found in any table of ours."""
EVENT_TIME_COMMENT: Final = "Event time of the record, UTC"
"""Of the column that says which instant a row was scored for."""

CLASS_PREFIX: Final = "score_"
"""Of the columns that hold one class's score."""

_STRING: Final = pa.string()


@dataclass(frozen=True)
class Column:
    """One column of an output table."""

    name: str
    type: pa.DataType
    comment: str
    nullable: bool = False

    def to_field(self) -> pa.Field:
        """Return the Arrow field; its ``comment`` becomes the table column's."""
        # Delta's own NOT NULL would raise the table's writer protocol; the data contract states it instead.
        return pa.field(self.name, self.type, nullable=True, metadata={"comment": self.comment})


@dataclass(frozen=True)
class TrailValues:
    """What is the same for every row that one work unit writes."""

    model_name: str
    model_version: str
    role: str
    model_sha256: str
    bundle_sha256: str
    data_sha256: str
    source_path: str
    work_key: str
    run_id: str
    scored_at: datetime


_TRAIL: Final = (
    Column("model_name", _STRING, "Name of the model in the registry"),
    Column("model_version", _STRING, "Version of the bundle that made the score"),
    Column("role", _STRING, "Role the model was run in: champion, challenger or another alias"),
    Column("model_sha256", _STRING, "sha256 of model.onnx"),
    Column("bundle_sha256", _STRING, "sha256 of the bundle's manifest, which hashes everything in the bundle"),
    Column("data_sha256", _STRING, "sha256 of the input file the row came from"),
    Column("source_path", _STRING, "Path of that file below the input root, partition folders included"),
    Column("source_row", pa.int64(), "Physical row in that file, counted from 0"),
    Column("work_key", _STRING, "sha256 over where the data lies, its bytes, and how it was scored"),
    Column("run_id", _STRING, "The scoring run that wrote the row"),
    Column("scored_at", TIMESTAMP, "Start of that run, UTC"),
)


def class_columns(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns that hold each class's score; labels that read alike get their position.

    >>> class_columns(["Very Late", "on time"])
    ('score_very_late', 'score_on_time')
    >>> class_columns(["-1", "0", "1"])
    ('score_1', 'score_0', 'score_1_2')
    """
    names: list[str] = []
    for position, label in enumerate(labels):
        name = CLASS_PREFIX + (re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_") or "class")
        while name in names:
            name = f"{name}_{position}"
        names.append(name)
    return tuple(names)


def stored_columns(name: str) -> tuple[str, str]:
    """Return the columns that hold the age and the outcome of a stored set.

    >>> stored_columns("origin_weather")
    ('origin_weather_age_s', 'origin_weather_outcome')
    """
    return f"{name}_age_s", f"{name}_outcome"


def prediction_columns(manifest: Manifest, partition: Sequence[tuple[str, pa.DataType]] = ()) -> tuple[Column, ...]:
    """Return the columns of a scored table, in order.

    Args:
        manifest: the bundle's manifest.
        partition: name and type of the partition columns.

    Raises:
        OutputTableError: the view or the partitions use a name that the table needs.
    """
    classes = manifest.output.classes if manifest.output.task == "multiclass" else ()
    return distinct(
        *_identity(manifest, partition),
        Column("score", pa.float64(), _score_comment(manifest)),
        *(
            Column(name, pa.float64(), f"Score of class {label}")
            for name, label in zip(class_columns(classes), classes, strict=True)
        ),
        Column("label", _STRING, "The model's class; null for a regressor", nullable=True),
        Column("decision", _STRING, "The label, or the abstention rule's value inside its band", nullable=True),
        Column("guard", _STRING, "Guard that changed the score (capped); null where none did", nullable=True),
        *_TRAIL,
        *_stored_columns(manifest),
    )


def reject_columns(manifest: Manifest, partition: Sequence[tuple[str, pa.DataType]] = ()) -> tuple[Column, ...]:
    """Return the columns of a rejects table, in order; values of features are never among them.

    Raises:
        OutputTableError: the view or the partitions use a name that the table needs.
    """
    key, time, *further = _identity(manifest, partition)
    return distinct(
        Column(key.name, key.type, key.comment, nullable=True),
        Column(time.name, time.type, time.comment, nullable=True),
        *further,
        Column("reason", _STRING, "First rule that refused the row"),
        Column("field", _STRING, "The column that broke it"),
        Column("expected", _STRING, "What the rule allows"),
        Column("reasons", _STRING, "Every rule that refused the row, as code:field, separated by commas"),
        *_TRAIL,
    )


def to_schema(columns: Sequence[Column]) -> pa.Schema:
    """Return the Arrow schema of columns, comments included."""
    return pa.schema([column.to_field() for column in columns])


def prediction_arrays(manifest: Manifest, scored: Scored, source_row: NDArray[np.int64]) -> dict[str, pa.Array]:
    """Return what differs from row to row, by column name.

    Args:
        manifest: the bundle's manifest.
        scored: the scored rows of one batch.
        source_row: the batch's physical rows, one for each row that was given to the scorer.
    """
    classes = manifest.output.classes if scored.class_scores else ()
    stored = {
        name: array
        for one, use in scored.stored.items()
        for name, array in zip(stored_columns(one), (use.age_s, use.outcome), strict=True)
    }
    return {
        manifest.view["entity_key"]["name"]: scored.entity_key,
        manifest.view["event_time"]: scored.event_time,
        "score": scored.score,
        **dict(zip(class_columns(classes), scored.class_scores, strict=True)),
        "label": scored.label,
        "decision": scored.decision,
        "guard": scored.guard,
        "source_row": pa.array(source_row[scored.rows]),
        **stored,
    }


def reject_arrays(manifest: Manifest, rejected: Rejected, source_row: NDArray[np.int64]) -> dict[str, pa.Array]:
    """Return what differs from row to row of the rejects, by column name; arguments as :func:`prediction_arrays`."""
    return {
        manifest.view["entity_key"]["name"]: rejected.entity_key,
        manifest.view["event_time"]: rejected.event_time,
        "reason": rejected.reason,
        "field": rejected.field,
        "expected": rejected.expected,
        "reasons": rejected.reasons,
        "source_row": pa.array(source_row[rejected.rows]),
    }


def constant_arrays(trail: TrailValues, rows: int) -> dict[str, pa.Array]:
    """Return the trail's columns for a number of rows, as dictionaries of one value: a byte a row until written."""
    zeros = pa.Array.from_buffers(pa.int8(), rows, [None, pa.py_buffer(bytes(rows))])
    values: Mapping[str, Any] = vars(trail)
    return {
        name: pa.DictionaryArray.from_arrays(zeros, pa.array([value], TIMESTAMP if name == "scored_at" else _STRING))
        for name, value in values.items()
    }


def distinct(*columns: Column) -> tuple[Column, ...]:
    """Return columns after a look at their names, which Delta holds equal whatever their case.

    Raises:
        OutputTableError: two have the same name.
    """
    names = [column.name.lower() for column in columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise OutputTableError(
            f"the output table would have two columns called {repeated[0]!r}",
            expected="no entity key, event time or partition column that is called as one of the table's own",
            fix="rename it in the view or in the input's folders, or choose other columns with --partition-by",
        )
    return columns


def _stored_columns(manifest: Manifest) -> Iterator[Column]:
    """Yield two columns for each stored set of the view; most views have none."""
    for stored in manifest.view.get("stored", ()):
        age, outcome = stored_columns(stored["name"])
        about = f"stored set {stored['name']}"
        yield Column(
            age,
            pa.int64(),
            f"Age of the value of {about} at the event time, in whole seconds; null where there was none",
            nullable=True,
        )
        # Null only where there is no score: a DataFrame's refused row.
        yield Column(outcome, _STRING, f"What became of {about}: fresh, stale (used) or default")


def _identity(manifest: Manifest, partition: Sequence[tuple[str, pa.DataType]]) -> tuple[Column, ...]:
    view = manifest.view
    names = {view["entity_key"]["name"], view["event_time"]}
    return (
        Column(view["entity_key"]["name"], pa.type_for_alias(view["entity_key"]["type"]), ENTITY_COMMENT),
        Column(view["event_time"], TIMESTAMP, EVENT_TIME_COMMENT),
        *(Column(name, type_, "Partition column") for name, type_ in partition if name not in names),
    )


def _score_comment(manifest: Manifest) -> str:
    if manifest.output.task == "binary":
        return f"Score of class {manifest.output.classes[1]}, after caps"
    return "Highest class score, after caps" if manifest.output.task == "multiclass" else "Predicted value, after caps"


def to_trail_text(trail: TrailValues) -> dict[str, str]:
    """Return the trail's values as text, for messages and metadata."""
    return {name: utc_text(value) if name == "scored_at" else str(value) for name, value in vars(trail).items()}
