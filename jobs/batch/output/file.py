"""One Parquet file being written: rows gather to row groups, bytes are hashed on their way out."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import posixpath
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scoretrail.clock import utc_text
from scoretrail.errors import StorageError
from scoretrail.trail.run import OutputFile

if TYPE_CHECKING:
    from pyarrow import fs

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


@dataclass
class OpenFile:
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
        """Take rows; full row groups are written.

        Raises:
            StorageError: they cannot be written.
        """
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
        """Write what is left, finish the file and return what it is.

        Raises:
            StorageError: it cannot be written.
        """
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
        """Close and remove whatever was written."""
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
        """The file's path on the file system."""
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


def _milliseconds(at: datetime) -> str:
    return f"{utc_text(at)[:-4]}Z"
