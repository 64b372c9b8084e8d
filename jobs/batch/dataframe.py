"""Scores any Spark DataFrame by the same code, through ``mapInArrow``; with no file behind it, with no reproduction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

from jobs.batch.spark.shipment import ship
from scoretrail.model.bundle import open_once
from scoretrail.model.manifest import MODEL
from scoretrail.scoring import score_batch
from scoretrail.trail.prediction import Column, prediction_arrays, prediction_columns, to_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pyspark.sql import DataFrame

    from scoretrail.model.bundle import Bundle
    from scoretrail.model.registry import ResolvedBundle

_WITHOUT_FILE: Final = frozenset(
    {"data_sha256", "source_path", "source_row", "work_key", "run_id", "scored_at", "role"}
)
"""Columns that only a run over files can fill."""
_REASONS: Final = Column("reject_reasons", pa.string(), "Every rule that refused the row, as code:field", nullable=True)
_REPRODUCIBLE: Final = Column("reproducible", pa.bool_(), "False: nothing pins the rows that were scored")


def score_dataframe(df: DataFrame, bundle: ResolvedBundle) -> DataFrame:
    """Return one row for each row of ``df``: entity key, event time, score, label, decision, hashes.

    A refused row has a null score and says why in ``reject_reasons``. The scores have the same bits as those of a batch
    run over the same rows; what a DataFrame lacks is a trail to its data, so ``reproducible`` is false.

    Args:
        df: rows that fit the bundle's view; further columns are ignored.
        bundle: as :meth:`scoretrail.model.registry.Registry.resolve` returned it.

    Raises:
        SchemaMismatchError: the columns do not fit the view.
    """
    from scoretrail.feature.source import load_view  # noqa: PLC0415
    from scoretrail.model.manifest import FEATURES  # noqa: PLC0415

    view = load_view(bundle.files[FEATURES], bundle.manifest.view_name)
    view.match(to_arrow_schema(df.schema, timezone="UTC"), "DataFrame")
    columns = [c for c in prediction_columns(bundle.manifest) if c.name not in _WITHOUT_FILE]
    schema = to_schema([*columns, _REASONS, _REPRODUCIBLE])
    context = getattr(df.sparkSession, "sparkContext", None)  # Spark Connect has none: its user adds an artifact
    if context is not None:
        ship(context)
    wanted = df.select(*view.record_columns)
    return wanted.mapInArrow(_mapper(bundle, schema), from_arrow_schema(schema))


def _mapper(
    bundle: ResolvedBundle, schema: pa.Schema
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    files = bundle.files

    def score(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        loaded = open_once(files)
        for batch in batches:
            yield _scored_rows(loaded, batch, schema)

    return score


def _scored_rows(bundle: Bundle, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    manifest = bundle.manifest
    scored, rejected = score_batch(bundle, batch)
    numbers = np.arange(batch.num_rows, dtype=np.int64)
    rows = {
        name: column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column
        for name, column in prediction_arrays(manifest, scored, numbers).items()
    }
    order = np.argsort(np.concatenate([scored.rows, rejected.rows]), kind="stable")
    constants = {
        "model_name": manifest.name,
        "model_version": manifest.version,
        "model_sha256": manifest.files[MODEL],
        "bundle_sha256": bundle.digest,
        _REPRODUCIBLE.name: False,
    }
    refused = {
        manifest.view["entity_key"]["name"]: rejected.entity_key,
        manifest.view["event_time"]: rejected.event_time,
        _REASONS.name: rejected.reasons,
    }
    arrays = []
    for field in schema:
        if field.name in constants:
            arrays.append(pa.repeat(pa.scalar(constants[field.name], field.type), batch.num_rows))
            continue
        upper = rows.get(field.name, pa.nulls(len(scored.rows), field.type))
        lower = refused.get(field.name, pa.nulls(len(rejected.rows), field.type))
        arrays.append(pa.concat_arrays([upper.cast(field.type), lower.cast(field.type)]).take(pa.array(order)))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
