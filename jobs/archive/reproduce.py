"""Archived scores made again from nothing but the archive and the registry, and every bit compared."""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.dataset as ds

from jobs.archive.columns import EVENT_DATE, ROW_SHA256
from jobs.archive.row import row_digests
from jobs.stream.message.identity import EventSource, Identity
from scoretrail.errors import BundleError, OutputTableError, PackedError, RegistryError
from scoretrail.feature.packed import Layout
from scoretrail.model.bundle import open_once
from scoretrail.scoring import score_features
from scoretrail.storage import filesystem
from scoretrail.trail.prediction import class_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow.compute as pc
    from pyarrow import fs

    from jobs.progress import Progress
    from scoretrail.config import Settings
    from scoretrail.model.bundle import Bundle
    from scoretrail.model.registry import Registry
    from scoretrail.table import OutputTable
    from scoretrail.trail.output import LiveFile

_SHOWN: Final = 20
"""Differences that are told one by one; the rest are counted."""


@dataclass(frozen=True)
class Difference:
    """One thing that a row says and that is not so; never a feature's value."""

    source: str
    """Where the event lay: ``topic/partition/offset``; of a file its path."""
    column: str
    archived: str
    again: str


@dataclass
class Reproduction:
    """What came out."""

    table: str
    table_version: int | None
    rows: int = 0
    equal: int = 0
    different: int = 0
    bundles: dict[str, int] = field(default_factory=dict)
    """Digest of a bundle -> rows that it scored."""
    differences: list[Difference] = field(default_factory=list)

    def add_file(self, file: LiveFile, archived: str, again: str, rows: int) -> None:
        """Count a file that is not as the table's log says."""
        self.rows += rows
        self.different += rows
        self.differences.append(Difference(file.path, "file", archived, again))

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {**vars(self), "differences": [vars(one) for one in self.differences]}


def reproduce(
    table: OutputTable,
    registry: Registry,
    settings: Settings,
    progress: Progress,
    chosen: pc.Expression | None = None,
) -> Reproduction:
    """Score archived inputs again and compare: scores by their bits, all else by value; and hold each row together.

    Of each row: its digest, the id that follows from its source, the hash of its inputs, and then score, class scores,
    label, decision and guard as its bundle makes them from these inputs. The event itself is not in the archive:
    ``event_sha256`` is for whoever has kept it.

    Args:
        table: the archive.
        registry: where the bundles are.
        settings: storage access, ``model.bits`` and ``model.engine``.
        progress: is told of rows.
        chosen: which rows; None takes all.

    Raises:
        OutputTableError: the table is no archive.
        PlatformError: this machine gives other bits.
    """
    schema = table.to_pyarrow_dataset().schema
    if ROW_SHA256 not in schema.names:
        raise OutputTableError(
            "the table is no archive", where=table.uri, fix="`scoretrail runs reproduce` is for runs"
        )
    result = Reproduction(table.uri, table.version)
    bundles = _Bundles(registry, settings)
    place, base = filesystem(table.uri, settings.storage.plain())
    files = table.live_files()
    progress.start(sum(file.rows for file in files), len(files), "reproducing")
    try:
        for done, file in enumerate(files, 1):
            read = 0
            try:
                # Not by the log: what somebody put in a file's place has another size, and is to be read all the same.
                for batch in _file(posixpath.join(base, file.path), place, schema, file).to_batches(filter=chosen):
                    if batch.num_rows:
                        _Comparison(batch, result).run(bundles)
                        read += batch.num_rows
            except (OSError, pa.ArrowException) as error:
                result.add_file(file, "a file that can be read", type(error).__name__, file.rows - read)
            else:
                if chosen is None and read != file.rows:
                    result.add_file(file, f"{file.rows} rows", f"{read} rows", abs(file.rows - read))
            progress.update(result.rows, done)
    finally:
        progress.stop()
    return result


def _file(path: str, place: fs.FileSystem, schema: pa.Schema, file: LiveFile) -> ds.FileSystemDataset:
    """Return one file as a data set that also has its partition column."""
    kind = ds.ParquetFileFormat()
    day = pa.scalar(file.partition[EVENT_DATE]).cast(pa.date32())
    fragment = kind.make_fragment(path, place, ds.field(EVENT_DATE) == day)
    return ds.FileSystemDataset([fragment], schema, kind, place)


class _Bundles:
    """The bundles that rows name, each opened once."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._registry = registry
        self._options = settings.storage.plain()
        self._model = settings.model
        self._opened: dict[tuple[str, str, str], Bundle | str] = {}

    def get(self, name: str, version: str, bundle_sha256: str) -> Bundle | str:
        """Return a bundle, or what the registry has in its place."""
        key = (name, version, bundle_sha256)
        if key not in self._opened:
            self._opened[key] = self._open(*key)
        return self._opened[key]

    def _open(self, name: str, version: str, bundle_sha256: str) -> Bundle | str:
        try:
            resolved = self._registry.resolve(f"models:/{name}/{version}", self._options)
        except (RegistryError, BundleError) as error:
            return error.what
        if resolved.digest != bundle_sha256:
            return resolved.digest
        return open_once(resolved.files, self._model.bits, self._model.engine)


class _Comparison:
    """Some rows, held against what they are made of."""

    def __init__(self, batch: pa.RecordBatch, result: Reproduction) -> None:
        self._batch = batch
        self._result = result
        self._different: set[int] = set()

    def run(self, bundles: _Bundles) -> None:
        """Compare, and count."""
        batch, result = self._batch, self._result
        self._hold(ROW_SHA256, row_digests(batch))
        self._hold("ce_id", list(_ids(batch)))
        self._hold(
            "features_sha256", [hashlib.sha256(row or b"").hexdigest() for row in batch.column("inputs").to_pylist()]
        )
        named = zip(
            *(batch.column(name).to_pylist() for name in ("model_name", "model_version", "bundle_sha256")), strict=True
        )
        groups: dict[tuple[str, str, str], list[int]] = {}
        for row, key in enumerate(named):
            groups.setdefault(key, []).append(row)
        for key, rows in groups.items():
            self._score(bundles.get(*key), key[2], rows)
        result.rows += batch.num_rows
        result.different += len(self._different)
        result.equal += batch.num_rows - len(self._different)

    def _score(self, bundle: Bundle | str, bundle_sha256: str, rows: list[int]) -> None:
        if isinstance(bundle, str):
            for row in rows:
                self._differs(row, "bundle_sha256", bundle_sha256, bundle)
            return
        self._result.bundles[bundle_sha256] = self._result.bundles.get(bundle_sha256, 0) + len(rows)
        layout = Layout(bundle.view.input_fields)
        schemas = self._batch.column("inputs_schema").to_pylist()
        for row in rows:
            if schemas[row] != layout.schema_hash:
                self._differs(row, "inputs_schema", str(schemas[row]), layout.schema_hash)
        inputs = self._batch.column("inputs").to_pylist()
        readable = [
            row for row in rows if schemas[row] == layout.schema_hash and self._unpacks(layout, row, inputs[row])
        ]
        if not readable:
            return
        given = self._batch.take(pa.array(readable, pa.int64()))
        features = layout.unpack([inputs[row] for row in readable])
        # Key and time are only passed on; what a table's reader makes of their types does not matter.
        keys, times = given.column(bundle.view.entity_key), given.column(bundle.view.event_time)
        scored, rejected = score_features(bundle, features, keys, times)
        for row, reason in zip(rejected.rows.tolist(), rejected.reason.to_pylist(), strict=True):
            self._differs(readable[row], "score", "a score", reason)
        places = [readable[row] for row in scored.rows.tolist()]
        classes = bundle.manifest.output.classes if scored.class_scores else ()
        made: dict[str, pa.Array] = {
            "score": scored.score,
            **dict(zip(class_columns(classes), scored.class_scores, strict=True)),
            "label": scored.label,
            "decision": scored.decision,
            "guard": scored.guard,
        }
        for name, again in made.items():
            self._hold(name, _texts(again), places)

    def _unpacks(self, layout: Layout, row: int, packed: bytes) -> bool:
        try:
            layout.unpack([packed])
        except PackedError as error:
            self._differs(row, "inputs", "a packed row", error.what)
            return False
        return True

    def _hold(self, name: str, made: list[str], places: list[int] | None = None) -> None:
        """Hold a column against what it is made of."""
        told = _texts(self._batch.column(name))
        for row, again in zip(range(len(told)) if places is None else places, made, strict=True):
            if told[row] != again:
                self._differs(row, name, told[row], again)

    def _differs(self, row: int, column: str, archived: str, again: str) -> None:
        self._different.add(row)
        if len(self._result.differences) < _SHOWN:
            parts = (self._batch.column(f"source_{name}")[row].as_py() for name in ("topic", "partition", "offset"))
            self._result.differences.append(Difference("/".join(map(str, parts)), column, archived, again))


def _ids(batch: pa.RecordBatch) -> Iterator[str]:
    """Yield the id that follows from each row's source, role and outcome."""
    names = ("source_cluster", "source_topic", "role", "source_partition", "source_offset", "outcome")
    sources: dict[tuple[str, str, str], EventSource] = {}
    for cluster, topic, role, partition, offset, outcome in zip(
        *(batch.column(name).to_pylist() for name in names), strict=True
    ):
        key = (cluster, topic, role)
        if None in (*key, partition, offset, outcome):
            yield "none: a part of its source is missing"
            continue
        if key not in sources:
            sources[key] = EventSource(Identity(app="", cluster=cluster, role=role), topic)
        yield sources[key].outcome_id(partition, offset, outcome)


def _texts(column: pa.Array) -> list[str]:
    """Return values as texts that are equal where all bits are."""
    if pa.types.is_floating(column.type):
        return ["nothing" if value is None else f"{value!r} ({value.hex()})" for value in column.to_pylist()]
    return ["nothing" if value is None else str(value) for value in column.to_pylist()]
