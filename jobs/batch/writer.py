"""Writes rows to Parquet files, one per partition value, hashing them on the way out."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import posixpath
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.batch.listing import NULL_PARTITION
from scoretrail import digest
from scoretrail.clock import utc_text
from scoretrail.errors import StorageError, UsageError
from scoretrail.feature.schema import TIMESTAMP
from scoretrail.trail.output import file_name, partition_text
from scoretrail.trail.run import OutputFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyarrow import fs

    from scoretrail.trail.prediction import Column

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
"""Partition values that mean the same as a folder name and in Delta's percent-encoded paths."""
_SOURCE_ROW: Final = "source_row"
_DELTA: Final = "DELTA_BINARY_PACKED"
"""The encoding of source rows and event times, which mostly follow each other: a few bits each, and less work."""
_COMPRESSION: Final = "zstd"
_ENCODED_ROWS: Final = 65_536
"""Rows that the encoder takes at once; pyarrow's own 1,024 cost a sixth more."""


@dataclass(frozen=True)
class Target:
    """Where the files of one piece of work go."""

    filesystem: fs.FileSystem
    base: str
    """The table's path on the file system."""
    scope: str
    work_key: str
    attempt: str
    row_group_rows: int


def partition_type(name: str, given: pa.DataType) -> pa.DataType:
    """Return the type that a table's partition column has for an input's column of a type.

    >>> partition_type("carrier", pa.dictionary(pa.int8(), pa.large_string()))
    DataType(string)

    Raises:
        UsageError: values of the type have no exact text, or none that every reader takes.
    """
    plain = given.value_type if pa.types.is_dictionary(given) else given
    if pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain):
        return pa.string()
    if pa.types.is_timestamp(plain) and plain.tz is not None:
        return TIMESTAMP
    if pa.types.is_boolean(plain) or pa.types.is_date32(plain) or pa.types.is_signed_integer(plain):
        return plain
    raise UsageError(
        f"a table cannot be partitioned by {name!r}",
        expected="text, a date, a time with its zone, a signed integer or a boolean",
        got=str(given),
    )


class PartitionedWriter:
    """The output files of one piece of work."""

    def __init__(
        self, target: Target, columns: Sequence[Column], partition_by: Sequence[str], stats_column: str | None
    ) -> None:
        """Prepare to write; a file is opened when its first rows come.

        Args:
            target: where the files go.
            columns: the table's columns, partition columns included.
            partition_by: names of the partition columns.
            stats_column: the column whose range goes into Delta's statistics; None for none.
        """
        self._target = target
        self._partition_by = tuple(partition_by)
        self._names = [column.name for column in columns if column.name not in self._partition_by]
        # Required where a column is never null: without levels, files take a fifth less time to write.
        self._nullable = {column.name for column in columns if column.nullable}
        self._stats_column = stats_column
        self._open: dict[tuple[str | None, ...], _OpenFile] = {}

    def write(self, arrays: Mapping[str, pa.Array]) -> None:
        """Add rows; every column of the table is a key.

        Raises:
            StorageError: they cannot be written (a full disk, say).
        """
        batch = self._batch(arrays)
        if not self._partition_by:
            self._file(()).add(batch)
            return
        values = [arrays[name] for name in self._partition_by]
        if all(isinstance(value, pa.DictionaryArray) and len(value.dictionary) == 1 for value in values):
            self._file(tuple(_text(value.dictionary[0]) for value in values)).add(batch)
            return
        for key, rows in _groups(values):
            self._file(key).add(batch.take(rows))

    def close(self, empty: Callable[[], Mapping[str, pa.Array]] | None = None) -> tuple[OutputFile, ...]:
        """Finish the files and return what they are, in the order of their partition values.

        Args:
            empty: makes zero rows of every column: written where no row came, so that the work shows in the table.

        Raises:
            StorageError: they cannot be written.
        """
        if not self._open and empty is not None:
            arrays = empty()
            values = tuple(
                _text(column.dictionary[0])
                if isinstance(column, pa.DictionaryArray) and len(column.dictionary)
                else None
                for column in (arrays[name] for name in self._partition_by)
            )
            self._file(values).add(self._batch(arrays))
        ordered = sorted(self._open.items(), key=lambda item: [value or "" for value in item[0]])
        return tuple(file.close() for _, file in ordered)

    def abandon(self) -> None:
        """Close and remove whatever was written."""
        for file in self._open.values():
            file.abandon()

    def _batch(self, arrays: Mapping[str, pa.Array]) -> pa.RecordBatch:
        fields = [pa.field(name, arrays[name].type, nullable=name in self._nullable) for name in self._names]
        return pa.RecordBatch.from_arrays([arrays[name] for name in self._names], schema=pa.schema(fields))

    def _file(self, values: tuple[str | None, ...]) -> _OpenFile:
        if values not in self._open:
            partition = dict(zip(self._partition_by, values, strict=True))
            folder = "/".join(f"{name}={_folder(value)}" for name, value in partition.items())
            name = file_name(self._target.scope, self._target.work_key, len(self._open), self._target.attempt)
            path = posixpath.join(folder, name)
            self._open[values] = _OpenFile(self._target, path, partition, self._stats_column)
        return self._open[values]


class MergedWriter:
    """One file that takes the place of several; its columns and its statistics are theirs."""

    def __init__(self, target: Target, partition: dict[str, str | None], stats_column: str | None) -> None:
        """Prepare to write; the file is opened when its first rows come.

        Args:
            target: where the file goes; its key is a digest over the work keys of all rows.
            partition: the partition values of every row.
            stats_column: the column whose range goes into Delta's statistics; None for none.
        """
        name = file_name(target.scope, target.work_key, 0, target.attempt, kind="merged")
        folder = "/".join(f"{key}={_folder(value)}" for key, value in partition.items())
        self._file = _OpenFile(target, posixpath.join(folder, name), partition, stats_column)

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        self._file.add(batch)

    def close(self) -> OutputFile:
        """Finish the file and return what it is."""
        return self._file.close()

    def abandon(self) -> None:
        """Close and remove whatever was written."""
        self._file.abandon()


@dataclass
class _OpenFile:
    """One file being written: rows gather until they make a row group."""

    target: Target
    path: str
    partition: dict[str, str | None]
    stats_column: str | None
    """The column whose range goes into Delta's statistics."""
    gathered: list[pa.RecordBatch] = field(default_factory=list)
    gathered_rows: int = 0
    rows: int = 0
    earliest: datetime | None = None
    latest: datetime | None = None
    sink: HashingSink | None = None
    parquet: pq.ParquetWriter | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        self.gathered.append(batch)
        self.gathered_rows += batch.num_rows
        if batch.num_rows and self.stats_column is not None:
            edges = pc.min_max(batch.column(self.stats_column))
            low, high = edges["min"].as_py(), edges["max"].as_py()
            if low is not None:
                self.earliest = min(filter(None, (self.earliest, low)))
                self.latest = max(filter(None, (self.latest, high)))
        if self.gathered_rows >= self.target.row_group_rows:
            self._flush()

    def close(self) -> OutputFile:
        self._flush(last=True)
        with _writing(self.full_path):
            self._parquet().close()
            self._sink().close()
        stats: dict[str, Any] = {"numRecords": self.rows}
        if self.earliest is not None and self.latest is not None:
            # Delta reads these to the millisecond: round outwards, or readers would skip rows that match.
            stats["nullCount"] = {self.stats_column: 0}
            stats["minValues"] = {self.stats_column: _milliseconds(self.earliest)}
            stats["maxValues"] = {self.stats_column: _milliseconds(self.latest + timedelta(microseconds=999))}
        return OutputFile(
            path=self.path,
            size_bytes=self._sink().size,
            sha256=self._sink().hasher.hexdigest(),
            rows=self.rows,
            partition=self.partition,
            stats=json.dumps(stats),
        )

    def abandon(self) -> None:
        if self.sink is None:
            return
        # On a full disk the first two fail, and the file must go all the more. One that stays is an orphan: never read,
        # and vacuum takes it.
        for step in (self._close_parquet, self.sink.close, lambda: self.target.filesystem.delete_file(self.full_path)):
            with contextlib.suppress(OSError, pa.ArrowException):
                step()

    def _close_parquet(self) -> None:
        if self.parquet is not None:
            try:
                self.parquet.close()
            finally:
                self.parquet.is_open = False  # else it tries again when it is collected

    @property
    def full_path(self) -> str:
        return posixpath.join(self.target.base, self.path)

    def _flush(self, *, last: bool = False) -> None:
        if not self.gathered and not (last and self.parquet is None):
            return
        table = pa.Table.from_batches(self.gathered)
        with _writing(self.full_path):
            if self.parquet is None:
                self._start(table.schema)
            if table.num_rows or self.rows == 0:
                self._parquet().write_table(table, row_group_size=max(table.num_rows, 1))
        self.rows += table.num_rows
        self.gathered, self.gathered_rows = [], 0

    def _start(self, schema: pa.Schema) -> None:
        self.sink = HashingSink(self._opened())
        dictionary = [
            item.name for item in schema if pa.types.is_dictionary(item.type) or item.name in ("reason", "field")
        ]
        self.parquet = pq.ParquetWriter(
            pa.PythonFile(self.sink, mode="w"),
            schema,
            compression=_COMPRESSION,
            compression_level=1,
            use_dictionary=dictionary or False,
            column_encoding=dict.fromkeys(filter(None, (_SOURCE_ROW, self.stats_column)), _DELTA),
            write_batch_size=_ENCODED_ROWS,
            write_statistics=True,
            # The Arrow schema would make the dictionaries come back; the table's types are plain.
            store_schema=False,
        )

    def _opened(self) -> Any:  # noqa: ANN401  (a pyarrow stream)
        # The folder is there for all but the first file, and object stores have none.
        try:
            return self.target.filesystem.open_output_stream(self.full_path)
        except FileNotFoundError:
            self.target.filesystem.create_dir(posixpath.dirname(self.full_path), recursive=True)
            return self.target.filesystem.open_output_stream(self.full_path)

    def _sink(self) -> HashingSink:
        assert self.sink is not None  # noqa: S101  (set by _start, which every path to here took)
        return self.sink

    def _parquet(self) -> pq.ParquetWriter:
        assert self.parquet is not None  # noqa: S101
        return self.parquet


class HashingSink(io.RawIOBase):
    """Passes bytes on, and knows their digest and number."""

    def __init__(self, inner: Any) -> None:  # noqa: ANN401  (a pyarrow stream)
        """Wrap an output stream."""
        super().__init__()
        self._inner = inner
        self.hasher = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401  (bytes or a buffer)
        """Write and hash."""
        self.hasher.update(data)
        self._inner.write(data)
        size = memoryview(data).nbytes
        self.size += size
        return size

    def tell(self) -> int:
        """Return how much was written."""
        return self.size

    def close(self) -> None:
        """Close the wrapped stream, once."""
        if not self.closed:
            try:
                self._inner.close()
            finally:
                super().close()


class _writing:  # noqa: N801  (reads as a phrase)
    """Turns what pyarrow raises about a file that cannot be written into ours."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, OSError):
            raise StorageError(
                "an output file cannot be written",
                where=self._path,
                got=str(error)[:300],
                fix="free some space or repair the storage; nothing was published, and the same command goes on",
            ) from error


def _groups(values: Sequence[pa.Array]) -> list[tuple[tuple[str | None, ...], pa.Array]]:
    """Return each combination of partition values with the positions of its rows, in order of first appearance."""
    texts = [[_text(item) for item in column] for column in values]
    rows: dict[tuple[str | None, ...], list[int]] = {}
    for i, key in enumerate(zip(*texts, strict=True)):
        rows.setdefault(key, []).append(i)
    return [(key, pa.array(positions, pa.int64())) for key, positions in rows.items()]


def _text(value: pa.Scalar) -> str | None:
    plain: Any = value.as_py()
    return None if plain == NULL_PARTITION else partition_text(plain)


def _folder(value: str | None) -> str:
    """Return a folder name for a partition value; the table's log holds the value itself, so a digest will do."""
    if value is None:
        return NULL_PARTITION
    return value if _PLAIN.fullmatch(value) else digest.of_bytes(value.encode())[:16]


def _milliseconds(at: datetime) -> str:
    return f"{utc_text(at)[:-4]}Z"


def remove_orphans(filesystem: fs.FileSystem, paths: Sequence[str]) -> None:
    """Remove files that lost a race; one that stays is an orphan that no reader sees and that vacuum takes."""
    for path in paths:
        with contextlib.suppress(OSError):
            filesystem.delete_file(path)
