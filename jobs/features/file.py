"""One Parquet file of records or of stored values: its digest, its rows, its columns, and the times that it spans."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.batch.input.listing import InputFile, InputRoot, list_files, with_partitions
from jobs.batch.input.probe import reading
from scoretrail import digest
from scoretrail.errors import InputChangedError, InputError, SchemaMismatchError
from scoretrail.storage import filesystem, join

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.progress import Progress
    from scoretrail.digest import Digest, Json
    from scoretrail.feature.schema import Field


@dataclass(frozen=True)
class SourceFile:
    """One file, looked at once."""

    path: str
    """Relative to its root, partition folders included."""
    sha256: Digest
    rows: int
    size_bytes: int
    mtime_ns: int
    schema: pa.Schema
    """The file's columns and the partition keys that its folders state."""
    slice: str
    partition: tuple[tuple[str, str], ...]
    first: datetime | None
    """The least value of the time column; None where the footer does not say it."""
    last: datetime | None

    def as_json(self) -> Json:
        """Return what a trail says of the file."""
        return [self.path, self.sha256, self.rows]


def look_at(
    root: str, slices: Sequence[str], time_column: str, options: Mapping[str, str], progress: Progress
) -> list[SourceFile]:
    """Return the Parquet files below a folder, sorted by path, each read once.

    Args:
        root: the folder, normalised.
        slices: only partitions below these; empty takes everything.
        time_column: the column whose range is wanted.
        options: storage settings.
        progress: is told of each file.

    Raises:
        InputError: the folder is not there, is empty, or a file cannot be read.
        UsageError: a slice is no ``key=value``.
    """
    files = list_files(InputRoot(root, root), slices, options)
    if not files:
        raise InputError("there are no Parquet files", where=root, got=", ".join(slices) or None)
    filesystem_, base = filesystem(root, options)
    progress.start(None, len(files), "reading")
    found: list[SourceFile] = []
    rows = 0
    for file in files:
        path = join(base, file.path)
        with reading(path), filesystem_.open_input_file(path) as opened:
            found.append(_looked_at(file, opened, time_column))
        rows += found[-1].rows
        progress.update(rows, len(found))
    progress.stop()
    return found


def _looked_at(file: InputFile, opened: pa.NativeFile, time_column: str) -> SourceFile:
    sha256, _ = digest.of_stream(opened)
    opened.seek(0)
    parquet = pq.ParquetFile(opened, pre_buffer=False)
    first, last = _span(parquet.metadata, time_column)
    return SourceFile(
        path=file.path,
        sha256=sha256,
        rows=parquet.metadata.num_rows,
        size_bytes=file.size_bytes,
        mtime_ns=file.mtime_ns,
        schema=with_partitions(parquet.schema_arrow, file.partition),
        slice=file.slice,
        partition=file.partition,
        first=first,
        last=last,
    )


def _span(metadata: pq.FileMetaData, column: str) -> tuple[datetime | None, datetime | None]:
    """Return the least and the greatest value of a column, None for either where a row group does not say."""
    ends: list[tuple[datetime, datetime]] = []
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        at = next((i for i in range(group.num_columns) if group.column(i).path_in_schema == column), None)
        statistics = group.column(at).statistics if at is not None else None
        if statistics is None or not statistics.has_min_max or not isinstance(statistics.min, datetime):
            return None, None
        ends.append((statistics.min, statistics.max))
    return min((low for low, _ in ends), default=None), max((high for _, high in ends), default=None)


def refuse_misfit(fields: Sequence[Field], file: SourceFile, where: str) -> None:
    """Return if every field's column is in the file once, in a type that widens without loss.

    Raises:
        SchemaMismatchError: one is missing, there twice, of a narrowing type, or in nanoseconds.
    """
    for field in fields:
        found = file.schema.get_all_field_indices(field.name)
        if len(found) != 1:
            raise SchemaMismatchError(
                f"column {field.name!r} is {'missing' if not found else 'there more than once'}",
                where=join(where, file.path),
                expected=f"{field.name} {field.type}",
                got=", ".join(file.schema.names[:20]),
            )
        given = file.schema.field(found[0]).type
        if not field.accepts(given):
            raise SchemaMismatchError(
                f"column {field.name!r} has a type that cannot be widened to the declared one",
                where=join(where, file.path),
                expected=str(field.type),
                got=str(given),
                fix="cast it where the data is written, or change the view",
            )
        if pa.types.is_timestamp(given) and given.unit == "ns":
            raise SchemaMismatchError(
                f"column {field.name!r} is in nanoseconds, which Spark does not read",
                where=join(where, file.path),
                expected="microseconds",
                got=str(given),
                fix="write it in microseconds",
            )


def refuse_changed(root: str, files: Sequence[SourceFile], options: Mapping[str, str]) -> None:
    """Return if files are still what they were when they were hashed: what was read since then is what the digests say.

    Raises:
        InputChangedError: one has another size or time of change, or is gone.
    """
    filesystem_, base = filesystem(root, options)
    for file in files:
        info = filesystem_.get_file_info(join(base, file.path))
        if (info.size, info.mtime_ns or 0) != (file.size_bytes, file.mtime_ns):
            raise InputChangedError("an input changed while it was joined", where=join(root, file.path))
