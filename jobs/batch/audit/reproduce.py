"""Scores a run's rows again from its trail and compares every bit with what was published."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from jobs.batch.input.listing import partition_values
from jobs.batch.input.probe import probe_file
from jobs.batch.output.published import PublishedFiles
from jobs.batch.plan.plan import Work
from jobs.batch.task.work import WorkContext, scored_batches
from scoretrail.config import MIB
from scoretrail.errors import InputError, OutputTableError, TrailError
from scoretrail.model.bundle import open_once
from scoretrail.monitor.baseline import gatherer_of
from scoretrail.storage import Storage, filesystem, join, normalise_uri
from scoretrail.table import OutputTable
from scoretrail.trail.erasure import erasures, key_digest
from scoretrail.trail.prediction import prediction_arrays, prediction_columns, reject_arrays, reject_columns
from scoretrail.trail.run import TRAIL_FOLDER, RunStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.progress import Progress
    from scoretrail.config import Settings
    from scoretrail.model.bundle import Bundle, BundleFiles
    from scoretrail.model.registry import Registry
    from scoretrail.trail.run import ScoringRun, WorkMessage

_SHOWN: Final = 20
"""Differences that are told one by one; the rest are counted."""


@dataclass(frozen=True)
class Difference:
    """One value that came out differently."""

    source_path: str
    source_row: int
    column: str
    published: str
    again: str


@dataclass
class Reproduction:
    """What came out."""

    run_id: str
    rows: int = 0
    equal: int = 0
    different: int = 0
    erased: int = 0
    """Rows of entities that were erased since, by the records of it."""
    files: int = 0
    expired: list[str] = field(default_factory=list)
    """Input files or outputs that retention removed: nothing can be said of them."""
    differences: list[Difference] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {**vars(self), "differences": [vars(one) for one in self.differences]}


def reproduce(
    table: OutputTable,
    run_id: str,
    registry: Registry,
    settings: Settings,
    progress: Progress,
    *,
    sample: int | None = None,
    input_root: str | None = None,
) -> Reproduction:
    """Score a run's rows again and compare: scores by their bits, everything else by value.

    What counts is in the bundle: files in ``features/`` may have changed since.

    Args:
        table: the scored table.
        run_id: a published run.
        registry: where the bundle is found if it is no longer where the run found it.
        settings: storage access, ``model.bits`` and ``model.engine``.
        progress: is told of rows.
        sample: pieces of work to look at, spread evenly; None looks at all.
        input_root: where the input lies today, if it moved.

    Raises:
        TrailError: there is no such run, or it published nothing.
        BundleError: the bundle is not the one that scored.
    """
    options = settings.storage.plain()
    store = RunStore(Storage(join(table.uri, TRAIL_FOLDER), options))
    run = published_run(store, run_id)
    resolved = registry.resolve(run.model["location"], options)
    if resolved.digest != run.model["bundle_sha256"]:
        raise TrailError(
            "the bundle is not the one that scored the run",
            where=run.model["location"],
            expected=run.model["bundle_sha256"],
            got=resolved.digest,
        )
    bundle = open_once(resolved.files, settings.model.bits, settings.model.engine)
    messages = spread(store.messages(run_id, run.work), sample)
    context = context_of(run, store, options)
    if input_root is not None:
        context = replace(context, root=normalise_uri(input_root))
    rejects = OutputTable(run.output["rejects"], options)
    tables = _Published.of(table, options), _Published.of(rejects, options)
    result = Reproduction(run_id, files=len(messages))
    progress.start(sum(message.rows_in for message in messages), len(messages), "reproducing")
    try:
        done = 0
        for count, message in enumerate(messages, 1):
            _compare(message, _Model(bundle, resolved.files), context, tables, result)
            done += message.rows_in
            progress.update(done, count)
    finally:
        progress.stop()
    return result


@dataclass(frozen=True)
class _Model:
    """A loaded bundle, and the files that it is."""

    bundle: Bundle
    files: BundleFiles


@dataclass(frozen=True)
class _Published:
    """What a table holds, and who was erased from it."""

    files: PublishedFiles
    erased: frozenset[str]
    """Digests of keys."""

    @classmethod
    def of(cls, table: OutputTable, options: Mapping[str, str]) -> _Published:
        erased = frozenset(record.key_sha256 for record in erasures(table.uri, options))
        return cls(PublishedFiles(table, options), erased)


def published_run(store: RunStore, run_id: str) -> ScoringRun:
    """Return the record of a run that published.

    Raises:
        TrailError: there is no such run, or it published nothing.
    """
    store.intent(run_id)
    run = store.find(run_id)
    if run is None or run.status not in ("published", "unchanged"):
        raise TrailError(f"run {run_id} published nothing", where=store.uri, got=store.status(run_id))
    return run


def work_of(message: WorkMessage, context: WorkContext) -> Work:
    """Return the piece of work that a message tells of, its input looked at again.

    Raises:
        InputError: the input file is no longer there, or is another one.
    """
    place, base = filesystem(context.root, context.options)
    probe = probe_file(place, posixpath.join(base, message.source_path), context.split_bytes)
    if probe.sha256 != message.data_sha256:
        raise InputError(
            "the input file is not the one that was scored",
            where=join(context.root, message.source_path),
            expected=message.data_sha256,
            got=probe.sha256,
        )
    part = next((r for r in probe.ranges if (r.first, r.stop) == message.row_groups), None)
    return Work(
        key=message.work_key,
        scope=message.scope,
        path=message.source_path,
        partition=partition_values(message.source_path),
        data_sha256=probe.sha256,
        size_bytes=probe.size_bytes,
        tail_bytes=probe.tail_bytes,
        range=part,
        rows=message.rows_in,
    )


def _compare(
    message: WorkMessage,
    model: _Model,
    context: WorkContext,
    tables: tuple[_Published, _Published],
    result: Reproduction,
) -> None:
    try:
        work = work_of(message, context)
    except InputError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            result.expired.append(f"{message.source_path}: the input file is no longer there")
            return
        result.rows += message.rows_in
        result.different += message.rows_in
        result.differences.append(
            Difference(message.source_path, -1, "data_sha256", error.expected or "", error.got or "")
        )
        return
    *again, tally = _score_again(work, model, context)
    if message.tally is not None and message.tally != tally:
        result.different += 1
        result.differences.append(Difference(message.source_path, -1, "tally", message.tally, tally or "none"))
    files, columns = (message.predictions, message.rejects), _row_columns(model.bundle, context)
    for table, written, names, fresh in zip(tables, files, columns, again, strict=True):
        try:
            stored = table.files.read(written, message.work_key, names)
        except OutputTableError as error:
            result.rows += fresh.num_rows
            result.different += fresh.num_rows
            result.differences.append(Difference(message.source_path, -1, "file", error.got or "", error.where or ""))
            continue
        if stored is None:
            result.expired.append(f"{message.source_path}: the published file is no longer there")
            continue
        kept = _without_erased(fresh, stored, model.bundle.view.entity_key, table.erased, result)
        _compare_rows(stored, kept, message.source_path, result)


def _score_again(work: Work, model: _Model, context: WorkContext) -> tuple[pa.Table, pa.Table, str | None]:
    """Return the predictions and the rejects that come out, ordered by source row, and what is counted of them."""
    predictions, rejects = [], []
    bundle, gatherer = model.bundle, gatherer_of(model.files, model.bundle)
    names = _row_columns(bundle, context)
    for batch, rows, scored, rejected in scored_batches(bundle, work, context):
        if gatherer is not None:
            gatherer.add(batch, scored)
        predictions.append(_batch(prediction_arrays(bundle.manifest, scored, rows), names[0]))
        rejects.append(_batch(reject_arrays(bundle.manifest, rejected, rows), names[1]))
    return _ordered(predictions), _ordered(rejects), gatherer.tally().to_text() if gatherer else None


def _row_columns(bundle: Bundle, context: WorkContext) -> tuple[list[str], list[str]]:
    """Return the columns that differ from row to row, of predictions and of rejects."""
    constant = {"model_name", "model_version", "role", "model_sha256", "bundle_sha256", "data_sha256"}
    constant |= {"source_path", "work_key", "run_id", "scored_at"} | {name for name, _ in context.partition_by}
    manifest = bundle.manifest
    return (
        [column.name for column in prediction_columns(manifest) if column.name not in constant],
        [column.name for column in reject_columns(manifest) if column.name not in constant],
    )


def _batch(arrays: Mapping[str, pa.Array], names: Sequence[str]) -> pa.Table:
    plain = [a.dictionary_decode() if isinstance(a, pa.DictionaryArray) else a for a in (arrays[n] for n in names)]
    return pa.Table.from_arrays(plain, list(names))


def _ordered(parts: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(parts).sort_by("source_row") if parts else pa.table({})


def _compare_rows(stored: pa.Table, fresh: pa.Table, path: str, result: Reproduction) -> None:
    """Count rows that are equal in every bit; tell the first differences."""
    rows = max(stored.num_rows, fresh.num_rows)
    result.rows += rows
    if stored.num_rows != fresh.num_rows:
        result.different += rows
        result.differences.append(Difference(path, -1, "rows", str(stored.num_rows), str(fresh.num_rows)))
        return
    if not rows:
        return
    unequal = pa.array([False] * rows)
    for name in fresh.column_names:
        left, right = _comparable(stored.column(name)), _comparable(fresh.column(name))
        same = pc.or_(pc.fill_null(pc.equal(left, right), False), pc.and_(left.is_null(), right.is_null()))  # noqa: FBT003
        differs = pc.invert(same)
        for i in pc.indices_nonzero(differs).to_pylist()[: max(_SHOWN - len(result.differences), 0)]:
            row = stored.column("source_row")[i].as_py()
            values = (str(stored.column(name)[i].as_py()), str(fresh.column(name)[i].as_py()))
            result.differences.append(Difference(path, row, name, *values))
        unequal = pc.or_(unequal, differs)
    different = pc.sum(unequal).as_py()
    result.different += different
    result.equal += rows - different


def _without_erased(
    fresh: pa.Table, stored: pa.Table, key: str, erased: frozenset[str], result: Reproduction
) -> pa.Table:
    """Return the rows that were made again, without those that are missing because their entity was erased."""
    if not erased or stored.num_rows >= fresh.num_rows:
        return fresh
    there = set(stored.column("source_row").to_pylist())
    rows = zip(fresh.column("source_row").to_pylist(), fresh.column(key).to_pylist(), strict=True)
    kept = [row in there or key_digest(value) not in erased for row, value in rows]
    result.erased += kept.count(False)
    return fresh.filter(pa.array(kept))


def _comparable(column: pa.ChunkedArray) -> pa.Array:
    """Return a column whose equality means equal bits: floats as the integers of their bits."""
    array = column.combine_chunks()
    if pa.types.is_float64(array.type):
        return pa.Array.from_buffers(pa.int64(), len(array), array.buffers(), offset=array.offset)
    return array.cast(pa.string()) if pa.types.is_large_string(array.type) else array


def context_of(run: ScoringRun, store: RunStore, options: dict[str, str]) -> WorkContext:
    """Return how a run scored, by its record."""
    batch = run.settings["batch"]
    intent = store.intent(run.run_id)
    return WorkContext(
        run_id=run.run_id,
        scored_at=intent.scored_at,
        role=run.model["role"],
        bits=run.settings["model"]["bits"],
        root=run.input["root"],
        table=run.output["table"],
        rejects=run.output["rejects"],
        where=run.input["where"],
        partition_by=(),
        options=options,
        batch_rows=batch["batch_rows"],
        row_group_rows=batch["row_group_rows"],
        split_bytes=batch["split_mib"] * MIB,
    )


def spread(messages: Sequence[WorkMessage], sample: int | None) -> Sequence[WorkMessage]:
    """Return so many messages, evenly spread; None for all."""
    if sample is None or sample >= len(messages):
        return messages
    return [messages[i * len(messages) // sample] for i in range(sample)]
