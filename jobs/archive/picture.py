"""Evidently's page of a span of the stream: a sample of its archived rows beside the sample that the bundle keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from jobs.archive.columns import EVENT_DATE
from scoretrail.errors import BundleError, TrailError
from scoretrail.feature.schema import TIMESTAMP
from scoretrail.monitor import report
from scoretrail.monitor.baseline import SAMPLE
from scoretrail.monitor.watch import archived_of, watched

if TYPE_CHECKING:
    from jobs.archive.counting import CountedModel
    from jobs.archive.judgement import Span
    from scoretrail.model.bundle import BundleFiles
    from scoretrail.monitor.report import Page
    from scoretrail.table import OutputTable

_ROWS: Final = 5_000


def picture(archive: OutputTable, span: Span, model: CountedModel, files: BundleFiles) -> Page:
    """Make the page of a span.

    Args:
        archive: the archive.
        span: which of its rows.
        model: the bundle that scored them.
        files: the bundle's.

    Raises:
        BundleError: the bundle keeps no sample.
        TrailError: the archive has no such row, or no longer.
        PackedError: the inputs of a row are damaged.
        DependencyError: Evidently is not installed.
    """
    if SAMPLE not in files:
        raise BundleError(
            "the bundle keeps no sample of its training data",
            where=f"{span.model_name} {span.model_version}",
            fix="register the model with --training-data",
        )
    rows = _sample(archive, span, model)
    arrays = {}
    for one, column in archived_of(watched(model.view, model.manifest), model.features(rows), rows):
        plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        arrays[one] = plain.cast(one.type if one.is_number else pa.string())
    return report.render(
        pq.read_table(pa.BufferReader(files[SAMPLE])),
        pa.table({one.name: column for one, column in arrays.items()}),
        [one.name for one in arrays if one.is_number],
        [one.name for one in arrays if not one.is_number],
        {"span": span.name, "model": f"{span.model_name} {span.model_version}", "bundle": span.bundle_sha256},
    )


def _sample(archive: OutputTable, span: Span, model: CountedModel) -> pa.Table:
    """Return up to 5,000 rows of a span, evenly spread in each batch.

    Raises:
        TrailError: there is none.
    """
    time = ds.field(model.view.event_time)
    chosen = (time >= pa.scalar(span.start, TIMESTAMP)) & (time < pa.scalar(span.end, TIMESTAMP))
    chosen &= (ds.field(EVENT_DATE) >= span.start.date()) & (ds.field(EVENT_DATE) <= span.end.date())
    chosen &= (ds.field("bundle_sha256") == span.bundle_sha256) & (ds.field("role") == span.role)
    rows = archive.to_pyarrow_dataset()
    number = rows.count_rows(filter=chosen)
    if not number:
        raise TrailError("the archive has no row of this span any more", where=archive.uri, got=span.name)
    parts = []
    for batch in rows.to_batches(filter=chosen):
        wanted = max(batch.num_rows * _ROWS // max(number, _ROWS), 1)
        if batch.num_rows:
            parts.append(batch.take(pa.array(np.unique(np.linspace(0, batch.num_rows - 1, wanted).astype(np.int64)))))
    return pa.Table.from_batches(parts)
