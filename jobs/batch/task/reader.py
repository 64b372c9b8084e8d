"""Reads the rows of one piece of work, from the very bytes whose digest was checked."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.batch.input.listing import NULL_PARTITION
from jobs.batch.input.probe import SparseFile, reading
from scoretrail import digest
from scoretrail.errors import InputChangedError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from pyarrow import fs

    from jobs.batch.plan.plan import Work

_STREAM_BUFFER_BYTES: Final = 1024 * 1024
"""With this and without pre-buffering a stream of any length peaks at 121-131 MiB."""


@contextlib.contextmanager
def open_work(filesystem: fs.FileSystem, path: str, work: Work, split_bytes: int) -> Iterator[pq.ParquetFile]:
    """Open the Parquet file of a piece of work, its bytes proven to be those that were planned.

    What fits into ``split_bytes`` is read once into memory, hashed there and parsed from there. A larger row group is
    streamed twice, with an equal identity of the file before, between and after.

    Args:
        filesystem: where the file lies.
        path: its path there.
        work: what was planned.
        split_bytes: the limit of what is held in memory.

    Raises:
        InputChangedError: the bytes are not those that were planned.
        InputError: the file cannot be read.
    """
    with reading(path), filesystem.open_input_file(path) as file:
        if file.size() != work.size_bytes:
            _refuse_change(path, f"{work.size_bytes} bytes", f"{file.size()} bytes")
        if work.read_bytes > split_bytes:
            before = _identity(filesystem, path)
            _check(path, work, _hash_stream(file, work))
            if _identity(filesystem, path) != before:
                _refuse_change(path, str(before), "another size or time")
            with pq.ParquetFile(file, pre_buffer=False, buffer_size=_STREAM_BUFFER_BYTES) as parquet:
                yield parquet
            if _identity(filesystem, path) != before:
                _refuse_change(path, str(before), "another size or time")
            return
        source = _in_memory(file, path, work)
        with pq.ParquetFile(source, pre_buffer=False) as parquet:
            yield parquet


def read_batches(
    parquet: pq.ParquetFile, work: Work, columns: Sequence[str], batch_rows: int
) -> Iterator[tuple[pa.RecordBatch, NDArray[np.int64]]]:
    """Yield the rows of a piece of work, in order, each batch with the physical rows it came from.

    Args:
        parquet: as :func:`open_work` gave it.
        work: what was planned.
        columns: what to read; partition keys that are no column of the file are added from the path.
        batch_rows: rows per batch at most.

    Raises:
        InputError: the file holds other rows than its footer said.
    """
    groups = None if work.range is None else list(range(work.range.first, work.range.stop))
    row = 0 if work.range is None else work.range.first_row
    first = row
    there = set(parquet.schema_arrow.names)  # asked once: each time makes a schema
    in_file = [name for name in columns if name in there]
    from_path = {key: value for key, value in work.partition if key in columns and key not in in_file}
    # One thread: a task has one core, and its neighbours have the others (a sixth less CPU for 30 columns).
    for batch in parquet.iter_batches(batch_rows, row_groups=groups, columns=in_file, use_threads=False):
        for key, value in from_path.items():
            text = pa.scalar(None if value == NULL_PARTITION else value, pa.string())
            batch = batch.append_column(key, pa.repeat(text, batch.num_rows))  # noqa: PLW2901
        yield batch, np.arange(row, row + batch.num_rows, dtype=np.int64)
        row += batch.num_rows
    if row - first != work.rows:
        raise InputError(
            "an input file holds other rows than its footer says",
            where=work.path,
            expected=str(work.rows),
            got=str(row - first),
        )


def _in_memory(file: Any, path: str, work: Work) -> Any:  # noqa: ANN401  (pyarrow files)
    if work.range is None:
        data = file.read_buffer()
        _check(path, work, digest.of_bytes(data))
        return pa.BufferReader(data)
    start, tail_at = work.range.start_byte, work.size_bytes - work.tail_bytes
    file.seek(start)
    data = file.read_buffer(work.range.stop_byte - start)
    file.seek(tail_at)
    tail = file.read_buffer(work.tail_bytes)
    hasher = hashlib.sha256(data)
    hasher.update(tail)
    _check(path, work, hasher.hexdigest())
    return pa.PythonFile(SparseFile({start: data, tail_at: tail}, work.size_bytes), mode="r")


def _hash_stream(file: Any, work: Work) -> str:  # noqa: ANN401
    if work.range is None:
        file.seek(0)
        return digest.of_stream(file)[0]
    hasher = hashlib.sha256()
    for start, stop in (
        (work.range.start_byte, work.range.stop_byte),
        (work.size_bytes - work.tail_bytes, work.size_bytes),
    ):
        file.seek(start)
        left = stop - start
        while left and (chunk := file.read(min(digest.CHUNK_BYTES, left))):
            hasher.update(chunk)
            left -= len(chunk)
    return hasher.hexdigest()


def _check(path: str, work: Work, got: str) -> None:
    expected = work.data_sha256 if work.range is None else work.range.sha256
    if got != expected:
        _refuse_change(path, expected, got)


def _refuse_change(path: str, expected: str, got: str) -> NoReturn:
    raise InputChangedError(
        "an input file changed after it was planned",
        where=path,
        expected=expected,
        got=got,
        fix="run the same command again once the file is complete",
    )


def _identity(filesystem: fs.FileSystem, path: str) -> tuple[object, ...]:
    """Return what changes when a file is replaced: size, time of change, and on a local disk the file's number."""
    info = filesystem.get_file_info(path)
    number = Path(path).stat().st_ino if filesystem.type_name == "local" else None
    return (info.size, info.mtime_ns, number)
