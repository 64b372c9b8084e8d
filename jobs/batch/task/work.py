"""Scores one piece of work: read, score, write, and state what was done; runs in Spark's Python workers."""

from __future__ import annotations

import functools
import os
import posixpath
import secrets
import socket
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from jobs.batch.input.listing import with_partitions
from jobs.batch.output.columns import partition_type
from jobs.batch.output.file import Target
from jobs.batch.output.writer import PartitionedWriter, remove_orphans
from jobs.batch.task.reader import open_work, read_batches
from scoretrail.clock import from_utc_text
from scoretrail.errors import (
    Disposition,
    InputChangedError,
    SchemaMismatchError,
    ScoretrailError,
    UsageError,
    nearest,
)
from scoretrail.feature.lean import keep_pandas_out
from scoretrail.model.bundle import open_once
from scoretrail.model.manifest import MODEL
from scoretrail.monitor.baseline import gatherer_of
from scoretrail.scoring import count_by_reason, score_batch
from scoretrail.storage import Storage, filesystem, join
from scoretrail.trail.prediction import (
    TrailValues,
    constant_arrays,
    prediction_arrays,
    prediction_columns,
    reject_arrays,
    reject_columns,
)
from scoretrail.trail.run import TRAIL_FOLDER, RunStore, WorkMessage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from pyarrow import fs

    from jobs.batch.input.predicate import Predicate
    from jobs.batch.plan.plan import Work
    from scoretrail.model.bundle import Bundle, BundleFiles
    from scoretrail.model.engine import EngineChoice
    from scoretrail.monitor.tally import Gatherer
    from scoretrail.scoring import Rejected, Scored


@dataclass(frozen=True, kw_only=True)
class WorkContext:
    """What every piece of work of a run shares; it travels to the workers once."""

    run_id: str
    scored_at: str
    role: str
    bits: Literal["exact", "platform"]
    engine: EngineChoice = "auto"
    root: str
    table: str
    rejects: str
    where: str | None
    partition_by: tuple[tuple[str, pa.DataType], ...]
    """Name and type of each partition column."""
    options: dict[str, str]
    batch_rows: int
    row_group_rows: int
    split_bytes: int


def score_work(work: Work, context: WorkContext, files: BundleFiles) -> WorkMessage:
    """Return what was done for one piece of work; if another attempt was faster, what that one did.

    Raises:
        ScoretrailError: the input, the bundle or the storage is not as it must be; nothing of this attempt is left.
    """
    started = time.monotonic()
    bundle = open_once(files, context.bits, context.engine)
    attempt = secrets.token_hex(4)
    outputs = _Outputs(bundle, work, context, attempt)
    try:
        gatherer = gatherer_of(files, bundle)
        counts = _score_rows(bundle, work, context, outputs, gatherer)
        predictions, rejects = outputs.close()
    except ScoretrailError as error:
        outputs.abandon()
        raise error.at(error.where or join(context.root, work.path)) from error
    except BaseException:
        outputs.abandon()
        raise
    message = WorkMessage(
        work_key=work.key,
        scope=work.scope,
        source_path=work.path,
        data_sha256=work.data_sha256,
        row_groups=None if work.range is None else (work.range.first, work.range.stop),
        rows_in=work.rows,
        rows_filtered=work.rows - counts["scored"] - counts["rejected"],
        rows_scored=counts["scored"],
        rows_rejected=counts["rejected"],
        reasons={key.removeprefix("reason:"): n for key, n in counts.items() if key.startswith("reason:")},
        predictions=predictions,
        rejects=rejects,
        repeats_bits=bundle.repeats_bits,
        engine=bundle.engine.name,
        host=host_name(),
        attempt=attempt,
        seconds=round(time.monotonic() - started, 4),
        tally=gatherer.tally().to_text() if gatherer else None,
    )
    standing = _places(context).store.claim(context.run_id, message)
    if standing.attempt != attempt:
        outputs.remove(message)
    return standing


def host_name() -> str:
    """Return what this machine is called: where an operator told Spark a name, that one."""
    return os.environ.get("SPARK_LOCAL_HOSTNAME") or socket.gethostname()


def check_columns(schema: pa.Schema, bundle: Bundle, work: Work, context: WorkContext) -> None:
    """Refuse a file whose columns do not serve the view, ``--where`` and ``--partition-by``.

    Raises:
        SchemaMismatchError: a column of the view is missing, or would be narrowed.
        PredicateError: ``--where`` does not fit.
        UsageError: a partition column is not there.
    """
    full = with_partitions(schema, work.partition)
    bundle.view.match(full, work.path)
    condition = _condition(context)
    if condition is not None:
        condition.expression(full)
    from_path = {key for key, _ in work.partition}
    for name, wanted in context.partition_by:
        if name in from_path:
            continue
        if name not in full.names:
            raise UsageError(
                f"--partition-by names a column that is not there: {name}",
                where=work.path,
                fix=f"did you mean {nearest(name, full.names)}?",
            )
        given = full.field(name).type
        if partition_type(name, given) != wanted:
            raise SchemaMismatchError(
                f"partition column {name!r} has different types in the input", expected=str(wanted), got=str(given)
            )


def scored_batches(
    bundle: Bundle, work: Work, context: WorkContext
) -> Iterator[tuple[pa.RecordBatch, NDArray[np.int64], Scored, Rejected]]:
    """Yield a piece of work batch by batch: the rows after ``where``, their physical numbers, scores and rejects.

    Raises:
        ScoretrailError: the input is not as it was planned, or does not serve the view.
    """
    source, base = _places(context).source
    condition = _condition(context)
    names = [name for name, _ in context.partition_by]
    columns = list(dict.fromkeys([*bundle.view.record_columns, *(condition.columns if condition else ()), *names]))
    with open_work(source, posixpath.join(base, work.path), work, context.split_bytes) as parquet:
        check_columns(parquet.schema_arrow, bundle, work, context)
        for batch, source_row in read_batches(parquet, work, columns, context.batch_rows):
            kept, rows = (batch, source_row) if condition is None else _filtered(batch, source_row, condition)
            if kept.num_rows:
                yield kept, rows, *score_batch(bundle, kept)


def _score_rows(
    bundle: Bundle, work: Work, context: WorkContext, outputs: _Outputs, gatherer: Gatherer | None
) -> Counter[str]:
    counts: Counter[str] = Counter()
    for kept, rows, scored, rejected in scored_batches(bundle, work, context):
        if gatherer is not None:
            gatherer.add(kept, scored)
        outputs.write(kept, scored.rows, prediction_arrays(bundle.manifest, scored, rows), rejects=False)
        counts["scored"] += len(scored.rows)
        if len(rejected.rows):
            outputs.write(kept, rejected.rows, reject_arrays(bundle.manifest, rejected, rows), rejects=True)
            counts["rejected"] += len(rejected.rows)
            counts.update({f"reason:{code}": n for code, n in count_by_reason(rejected).items()})
    return counts


class _Outputs:
    """The prediction and the reject files of one attempt at one piece of work."""

    def __init__(self, bundle: Bundle, work: Work, context: WorkContext, attempt: str) -> None:
        manifest = bundle.manifest
        self._trail = TrailValues(
            model_name=manifest.name,
            model_version=manifest.version,
            role=context.role,
            model_sha256=manifest.files[MODEL],
            bundle_sha256=bundle.digest,
            data_sha256=work.data_sha256,
            source_path=work.path,
            work_key=work.key,
            run_id=context.run_id,
            scored_at=from_utc_text(context.scored_at),
        )
        self._work = work
        self._partition = context.partition_by
        names = [name for name, _ in context.partition_by]
        self._columns = prediction_columns(manifest, self._partition), reject_columns(manifest, self._partition)
        stats_columns = (manifest.view["event_time"], None)  # a refused row may have none
        self._places = _places(context).tables
        self._writers = [
            PartitionedWriter(
                Target(place, base, work.scope, work.key, attempt, context.row_group_rows), columns, names, stats
            )
            for (place, base), columns, stats in zip(self._places, self._columns, stats_columns, strict=True)
        ]
        self._cached: dict[str, pa.Array] = {}

    def write(
        self, batch: pa.RecordBatch, rows: NDArray[np.int64], arrays: Mapping[str, pa.Array], *, rejects: bool
    ) -> None:
        """Add rows to the predictions or the rejects: what differs from row to row, and the trail."""
        every = {**self._constants(len(rows)), **arrays, **self._partition_arrays(batch, rows)}
        self._writers[rejects].write(every)

    def close(self) -> tuple[tuple, tuple]:  # type: ignore[type-arg]
        return self._writers[0].close(self._no_rows), self._writers[1].close()

    def _no_rows(self) -> dict[str, pa.Array]:
        return {
            **{column.name: pa.nulls(0, column.type) for column in self._columns[0]},
            **constant_arrays(self._trail, 0),
            **{name: _constant(value, 0) for name, value in self._work.partition},
        }

    def abandon(self) -> None:
        for writer in self._writers:
            writer.abandon()

    def remove(self, message: WorkMessage) -> None:
        """Remove the files of an attempt that lost."""
        for (place, base), files in zip(self._places, (message.predictions, message.rejects), strict=True):
            remove_orphans(place, [posixpath.join(base, file.path) for file in files])

    def _constants(self, rows: int) -> dict[str, pa.Array]:
        # Full batches are all of one size: their constant columns are made once.
        if not self._cached or len(self._cached["run_id"]) != rows:
            self._cached = constant_arrays(self._trail, rows)
        return self._cached

    def _partition_arrays(self, batch: pa.RecordBatch, rows: NDArray[np.int64]) -> dict[str, pa.Array]:
        values = dict(self._work.partition)
        arrays: dict[str, pa.Array] = {}
        for name, type_ in self._partition:
            if name in values:
                arrays[name] = _constant(values[name], len(rows))
                continue
            column = batch.column(name)
            column = column if len(rows) == batch.num_rows else column.take(pa.array(rows))
            arrays[name] = (column.dictionary_decode() if pa.types.is_dictionary(column.type) else column).cast(type_)
        return arrays


@dataclass(frozen=True)
class _Places:
    """Where a run reads and writes: opened once per process, for on an object store each is a client of its own."""

    source: tuple[fs.FileSystem, str]
    tables: tuple[tuple[fs.FileSystem, str], tuple[fs.FileSystem, str]]
    """The scored and the rejects table."""
    store: RunStore


def _places(context: WorkContext) -> _Places:
    return _opened(context.root, context.table, context.rejects, tuple(sorted(context.options.items())))


@functools.lru_cache(maxsize=2)
def _opened(root: str, table: str, rejects: str, options: tuple[tuple[str, str], ...]) -> _Places:
    given = dict(options)
    return _Places(
        source=filesystem(root, given),
        tables=(filesystem(table, given), filesystem(rejects, given)),
        store=RunStore(Storage(join(table, TRAIL_FOLDER), given)),
    )


def _condition(context: WorkContext) -> Predicate | None:
    if not context.where:
        return None
    from jobs.batch.input import predicate  # noqa: PLC0415  (its parser takes longer to load than all the rest of a worker)

    return predicate.parse(context.where)


def _filtered(
    batch: pa.RecordBatch, source_row: NDArray[np.int64], condition: Predicate
) -> tuple[pa.RecordBatch, NDArray[np.int64]]:
    expression = condition.expression(batch.schema)
    numbered = pa.Table.from_batches([batch.append_column("__row", pa.array(np.arange(batch.num_rows)))])
    kept = numbered.select([*condition.columns, "__row"]).filter(expression).column("__row").combine_chunks()
    return batch.take(kept), source_row[np.asarray(kept)]


def _constant(value: str, rows: int) -> pa.Array:
    indices = pa.Array.from_buffers(pa.int8(), rows, [None, pa.py_buffer(bytes(rows))])
    return pa.DictionaryArray.from_arrays(indices, pa.array([value], pa.string()))


def score_works(
    works: Iterator[Work], shared: tuple[WorkContext, BundleFiles]
) -> Iterator[WorkMessage | ScoretrailError]:
    """Yield what was done for each piece of work; an error that no retry of the task will mend is yielded, and ends it.

    Spark's workers find it by name: this module imports what they need, and not what only a driver does.

    Raises:
        ScoretrailError: one that a retry may mend, so that Spark tries the task again.
    """
    keep_pandas_out()
    context, files = shared
    for work in works:
        try:
            yield score_work(work, context, files)
        except ScoretrailError as error:
            # A file that changed is no longer what was planned: that takes a new plan, not another try.
            if error.disposition is Disposition.RETRY and not isinstance(error, InputChangedError):
                raise
            yield error
            return
