"""Which columns of a model are watched, and where a scored batch has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from scoretrail.trail.prediction import stored_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scoretrail.feature.schema import Field
    from scoretrail.feature.view import FeatureView
    from scoretrail.model.manifest import Manifest
    from scoretrail.scoring import Scored

Group = Literal["request", "stored", "derived", "lookup", "output"]
"""Where a column comes from; a lookup is what became of a stored set: fresh, stale, default."""
SCORE, CONFIDENCE, LABEL, DECISION = "score", "confidence", "label", "decision"


@dataclass(frozen=True)
class Watched:
    """One column that is watched."""

    group: Group
    name: str
    type: pa.DataType
    field: Field | None = None
    """The contract of a request feature, which says how its words are spelled."""

    @property
    def is_number(self) -> bool:
        """Whether it is counted in bins of numbers; all else is counted by its words."""
        return bool(pa.types.is_integer(self.type) or pa.types.is_floating(self.type))


def watched(view: FeatureView, manifest: Manifest) -> tuple[Watched, ...]:
    """Return the columns that are watched: request features, the model's other inputs, look-ups, and what it says.

    Keys and times are not: each row has its own.
    """
    requested = {field.name for field in view.request}
    kept = {field.name for one in view.stored for field in one.fields}
    columns = [Watched("request", one.name, one.type, one) for one in view.request if _is_countable(one.type)]
    columns += [
        Watched("stored" if one.name in kept else "derived", one.name, one.type)
        for one in view.input_fields
        if one.name not in requested
    ]
    columns += [Watched("lookup", one.name, pa.string()) for one in view.stored]
    columns.append(Watched("output", SCORE, pa.float64()))
    if manifest.output.task == "binary":
        columns.append(Watched("output", CONFIDENCE, pa.float64()))
    if manifest.output.classes:
        columns.append(Watched("output", LABEL, pa.string()))
    if manifest.output.classes or manifest.abstention:
        columns.append(Watched("output", DECISION, pa.string()))
    return tuple(columns)


def columns_of(
    columns: tuple[Watched, ...], batch: pa.RecordBatch, scored: Scored
) -> Iterator[tuple[Watched, pa.Array]]:
    """Yield each watched column of a batch: request features of all rows as they came, the rest of the scored rows.

    Args:
        columns: what is watched.
        batch: the rows that were given to :func:`scoretrail.scoring.score_batch`, before validation.
        scored: what came of them.
    """
    for one in columns:
        if one.group == "request":
            column = batch.column(one.name)
            yield one, one.field.conform(column) if one.is_number and one.field is not None else column
        elif one.group == "output":
            yield one, _output(one.name, scored)
        elif one.group == "lookup":
            yield one, scored.stored[one.name].outcome
        else:
            yield one, scored.features.column(one.name)


def archived_of(
    columns: tuple[Watched, ...], features: pa.RecordBatch, rows: pa.Table
) -> Iterator[tuple[Watched, pa.Array]]:
    """Yield each watched column that an archive of predictions keeps: inputs of the model, look-ups, what it said.

    Request features that are no input are not there.

    Args:
        columns: what is watched.
        features: the inputs of the rows, as the view derived them.
        rows: the archive's rows.
    """
    for one in columns:
        if one.group == "lookup":
            yield one, _whole(rows.column(stored_columns(one.name)[1]))
        elif one.group != "output":
            if one.name in features.schema.names:
                yield one, features.column(one.name)
        elif one.name == CONFIDENCE:
            yield one, _confidence(_whole(rows.column(SCORE)))
        else:
            yield one, _whole(rows.column(one.name))


def rows_of(columns: tuple[Watched, ...], batch: pa.RecordBatch, scored: Scored) -> pa.RecordBatch:
    """Return the watched columns of the scored rows, words in the spelling of their contract, for pictures.

    Args:
        columns: what is watched.
        batch: the rows that were given to :func:`scoretrail.scoring.score_batch`, before validation.
        scored: what came of them.
    """
    places = pa.array(scored.rows)
    arrays = []
    for one, column in columns_of(columns, batch, scored):
        taken = column.take(places) if one.group == "request" else column
        if one.field is not None:
            taken = one.field.conform(taken)
        elif pa.types.is_dictionary(taken.type):
            taken = taken.dictionary_decode()
        arrays.append(taken.cast(one.type if one.is_number else pa.string()))
    return pa.RecordBatch.from_arrays(arrays, [one.name for one in columns])


def _output(name: str, scored: Scored) -> pa.Array:
    if name == CONFIDENCE:
        return _confidence(scored.score)
    column: Any = getattr(scored, name)
    return column


def _confidence(scores: pa.Array) -> pa.Array:
    score = scores.to_numpy()
    return pa.array(np.maximum(score, 1.0 - score))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _is_countable(given: pa.DataType) -> bool:
    return any(
        is_kind(given)
        for is_kind in (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_string)
    )
