"""Builds record roots with stored features: what needs joining is joined, what is there of the same inputs stays."""

from __future__ import annotations

import contextlib
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from jobs.features.file import SourceFile, look_at, refuse_changed, refuse_misfit
from jobs.features.partition import Manifest, current, publish, written_files
from jobs.features.table import OfflineTable, digest_of, open_tables
from scoretrail import digest
from scoretrail.errors import DataError, ObjectExistsError, UsageError
from scoretrail.storage import Storage, filesystem, join, normalise_uri

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.batch.spark.engine import SparkEngine
    from jobs.features.join import Census, Partition
    from jobs.progress import Progress
    from scoretrail.digest import Digest, Json
    from scoretrail.feature import FeatureView

BUILD_VERSION: Final = 1
"""Raised when the join may give other rows or columns for the same inputs."""
TRAIL_FOLDER: Final = "_scoretrail"


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """The arguments of ``scoretrail features build``."""

    view: FeatureView
    features_sha256: Digest
    """Of the view's source."""
    records: str
    stored: tuple[str, ...]
    """``NAME=TABLE`` for each stored set of the view."""
    output: str
    slices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BuildOutcome:
    """What a build did; ``features build --json`` prints it."""

    output: str
    build: str
    """Digest of all inputs; names the trail's file."""
    partitions_built: int
    partitions_reused: int
    rows_built: int
    rows_reused: int
    found: Mapping[str, int]
    """Stored set -> records that have a value, of built and reused partitions."""
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class _Part:
    """One partition to be made."""

    slice: str
    records: tuple[SourceFile, ...]
    last: datetime | None
    """The latest event time of its records, where the footers say it: later values do not matter."""
    inputs: Mapping[str, Any]

    @property
    def inputs_sha256(self) -> Digest:
        return digest.of_json(self.inputs)

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.records)


@dataclass(frozen=True)
class _Plan:
    """What all partitions of a build share."""

    view: FeatureView
    root: str
    tables: Sequence[OfflineTable]
    output: Storage
    build: Digest


def build(request: BuildRequest, options: Mapping[str, str], engine: SparkEngine, progress: Progress) -> BuildOutcome:
    """Return what was done, once every partition of the output has the stored values of its records.

    Args:
        request: what to join.
        options: storage settings.
        engine: starts Spark only if something needs joining.
        progress: is told of the steps.

    Raises:
        UsageError: a stored set has no table, or the output lies within an input.
        InputError, SchemaMismatchError: records or a table cannot be used.
        DataError: the join lost or doubled rows; nothing of it is published.
        RetryLaterError: an input changed meanwhile, or Spark or the storage gave up.
    """
    started = time.perf_counter()
    root, output = normalise_uri(request.records), Storage(request.output, options)
    _refuse_overlap(output.uri, root)
    tables = open_tables(request.view, request.stored, options, progress)
    _refuse_gaps(request.view, tables)
    progress.step("reading records")
    records = look_at(root, request.slices, request.view.event_time, options, progress)
    for file in records:
        refuse_misfit(request.view.request_fields, file, root)
    parts = _parts(request, records, tables)
    record = _record(request, root, records, tables)
    there = {part.slice: current(output, part.slice, part.inputs_sha256) for part in parts}
    reused = [manifest for manifest in there.values() if manifest is not None]
    missing = [part for part in parts if there[part.slice] is None]
    with contextlib.suppress(ObjectExistsError):
        output.put_new(f"{TRAIL_FOLDER}/builds/{digest.of_json(record)}.json", digest.canonical_json(record))
    plan = _Plan(request.view, root, tables, output, digest.of_json(record))
    built = _make(plan, missing, engine, progress) if missing else []
    return BuildOutcome(
        output=output.uri,
        build=plan.build,
        partitions_built=len(built),
        partitions_reused=len(reused),
        rows_built=sum(manifest.rows for manifest in built),
        rows_reused=sum(manifest.rows for manifest in reused),
        found={
            stored.name: sum(manifest.found[stored.name] for manifest in (*built, *reused))
            for stored in request.view.stored
        },
        seconds=time.perf_counter() - started,
    )


def _refuse_overlap(output: str, root: str) -> None:
    if f"{output}/".startswith(f"{root}/") or f"{root}/".startswith(f"{output}/"):
        raise UsageError("the output and the records lie in one folder", where=output, got=root)


def _refuse_gaps(view: FeatureView, tables: Sequence[OfflineTable]) -> None:
    if not view.stored:
        raise UsageError(f"view {view.name!r} has no stored set: there is nothing to join")
    given = {table.stored.name for table in tables}
    lacking = [stored.name for stored in view.stored if stored.name not in given]
    if lacking:
        raise UsageError(
            "not every stored set has a table",
            got=f"none for {', '.join(lacking)}",
            fix=" ".join(f"--stored {name}=TABLE" for name in lacking),
        )


def _parts(request: BuildRequest, records: Sequence[SourceFile], tables: Sequence[OfflineTable]) -> list[_Part]:
    by_slice: dict[str, list[SourceFile]] = {}
    for file in records:
        by_slice.setdefault(file.slice, []).append(file)
    parts = []
    for slice_, files in by_slice.items():
        ends = [file.last for file in files if file.rows]
        last = None if None in ends else max((end for end in ends if end is not None), default=None)
        inputs: dict[str, Json] = {
            **_columns(request.view),
            "records": digest_of(files),
            "tables": {
                table.stored.name: {"files": len(until), "sha256": digest_of(until)}
                for table in tables
                for until in [table.until(last)]
            },
        }
        parts.append(_Part(slice_, tuple(files), last, inputs))
    return parts


def _columns(view: FeatureView) -> dict[str, Json]:
    """Return what of a view decides a join: names and types, and how a key is spelt; ages and defaults come later."""
    request = {field.name: field for field in view.request_fields}
    keys = {stored.name: request[stored.key].contract() for stored in view.stored}
    return {
        "build_version": BUILD_VERSION,
        "columns": [[field.name, str(field.type)] for field in view.record_fields],
        "keys": {name: {**contract, "description": ""} for name, contract in keys.items()},
    }


def _record(
    request: BuildRequest, root: str, records: Sequence[SourceFile], tables: Sequence[OfflineTable]
) -> dict[str, Json]:
    """Return what the trail keeps of a build: every input by its digest."""
    return {
        **_columns(request.view),
        "view": request.view.name,
        "features_sha256": request.features_sha256,
        "records": {"root": root, "files": [file.as_json() for file in records]},
        "tables": {
            table.stored.name: {"root": table.uri, "files": [file.as_json() for file in table.files]}
            for table in tables
        },
    }


def _make(plan: _Plan, parts: Sequence[_Part], engine: SparkEngine, progress: Progress) -> list[Manifest]:
    """Join the records of partitions and put each in its place; return their manifests.

    Raises:
        DataError: the join lost or doubled rows.
        InputChangedError: a file is no longer what was hashed.
    """
    from jobs.features.join import Joining, write_joined  # noqa: PLC0415  (a build with nothing to do needs no Spark)

    ends = [part.last for part in parts if part.rows]
    last = None if None in ends else max((end for end in ends if end is not None), default=None)
    output, attempt = plan.output, join(TRAIL_FOLDER, f"attempt-{uuid.uuid4().hex[:8]}")
    joining = Joining(
        view=plan.view,
        root=plan.root,
        records=[file for part in parts for file in part.records],
        tables=[OfflineTable(table.stored, table.uri, table.until(last)) for table in plan.tables],
        target=join(output.uri, attempt),
    )
    filesystem_, base = filesystem(output.uri, output.options)
    filesystem_.create_dir(join(base, TRAIL_FOLDER), recursive=True)
    try:
        progress.step("starting Spark")
        held, written = write_joined(engine.session(), joining, progress)
        _refuse_difference(held, written)
        for place, files in ((joining.root, joining.records), *((table.uri, table.files) for table in joining.tables)):
            refuse_changed(place, files, output.options)
        progress.start(sum(part.rows for part in parts), len(parts), "publishing")
        manifests = []
        for part in parts:
            manifests.append(_publish(plan, part, join(attempt, part.slice).rstrip("/")))
            progress.update(sum(manifest.rows for manifest in manifests), len(manifests))
        return manifests
    finally:
        progress.stop()
        with contextlib.suppress(OSError):
            filesystem_.delete_dir(join(base, attempt))


def _refuse_difference(held: Mapping[Partition, Census], written: Mapping[Partition, Census]) -> None:
    for partition in sorted(held.keys() | written.keys()):
        one, other = held.get(partition), written.get(partition)
        if one != other:
            raise DataError(
                "the join did not give each record once; nothing was published",
                where="/".join(f"{key}={value}" for key, value in partition) or None,
                expected=f"{one.rows:,} rows" if one else "no rows",
                got=f"{other.rows:,} rows" + (", and not the same ones" if one and one.rows == other.rows else "")
                if other
                else "none",
                fix="report it with the trail of this build: it must not happen",
            )


def _publish(plan: _Plan, part: _Part, folder: str) -> Manifest:
    times = {stored.available_at: stored.name for stored in plan.view.stored}
    files, values = written_files(plan.output, folder, list(times))
    manifest = Manifest(
        slice=part.slice,
        inputs_sha256=part.inputs_sha256,
        inputs=part.inputs,
        build=plan.build,
        rows=sum(file.rows for file in files),
        found={times[column]: count for column, count in values.items()},
        files=tuple(files),
    )
    if manifest.rows != part.rows:
        raise DataError(
            "a partition has other rows than its records",
            where=part.slice or None,
            expected=f"{part.rows:,}",
            got=f"{manifest.rows:,}",
        )
    publish(plan.output, folder, manifest)
    return manifest
