"""Writes rows to Parquet files, one per partition value, hashing them on the way out."""

from __future__ import annotations

import contextlib
import posixpath
import re
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from jobs.batch.input.listing import NULL_PARTITION
from jobs.batch.output.file import OpenFile
from scoretrail import digest
from scoretrail.trail.output import file_name, partition_text
from scoretrail.trail.run import OutputFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyarrow import fs

    from jobs.batch.output.file import Target
    from scoretrail.trail.prediction import Column

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
"""Partition values that mean the same as a folder name and in Delta's percent-encoded paths."""


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
        self._open: dict[tuple[str | None, ...], OpenFile] = {}

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

    def _file(self, values: tuple[str | None, ...]) -> OpenFile:
        if values not in self._open:
            partition = dict(zip(self._partition_by, values, strict=True))
            folder = "/".join(f"{name}={_folder(value)}" for name, value in partition.items())
            name = file_name(self._target.scope, self._target.work_key, len(self._open), self._target.attempt)
            path = posixpath.join(folder, name)
            self._open[values] = OpenFile(self._target, path, partition, self._stats_column)
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
        self._file = OpenFile(target, posixpath.join(folder, name), partition, stats_column)

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        self._file.add(batch)

    def close(self) -> OutputFile:
        """Finish the file and return what it is."""
        return self._file.close()

    def abandon(self) -> None:
        """Close and remove whatever was written."""
        self._file.abandon()


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


def remove_orphans(filesystem: fs.FileSystem, paths: Sequence[str]) -> None:
    """Remove files that lost a race; one that stays is an orphan that no reader sees and that vacuum takes."""
    for path in paths:
        with contextlib.suppress(OSError):
            filesystem.delete_file(path)
