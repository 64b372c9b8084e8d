"""Training data as a registration needs it: its digest, an even sample that fits into memory, and all of it."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from jobs.batch.input.listing import InputFile, InputRoot, list_files
from jobs.batch.input.probe import reading
from scoretrail import digest
from scoretrail.errors import InputChangedError, InputError
from scoretrail.model.registration import PROOF_ROWS
from scoretrail.storage import filesystem, join, normalise_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from scoretrail.feature.view import FeatureView

_SAMPLED_GROUPS: Final = 100
"""Row groups that are read for the sample: 100 rows of each still make the proof's 10,000, whatever the data's size."""
_BATCH_ROWS: Final = 65_536
_BUFFER_BYTES: Final = 1024 * 1024
"""With this and without pre-buffering, a reader's memory does not grow with the file (facts: 121-131 MiB)."""


@dataclass(frozen=True)
class TrainingData:
    """What a registration keeps of the data a model was trained on."""

    sha256: str
    """Of the canonical JSON of [[relative path, sha256 of the file], …], sorted by path."""
    rows: int
    records: pa.Table
    """Up to 10,000 rows, spread evenly, with the view's record columns in their declared types."""
    batches: Callable[[], Iterator[pa.RecordBatch]]
    """Reads all rows, in the same columns."""


@dataclass(frozen=True)
class _Group:
    """One row group."""

    file: InputFile
    index: int
    rows: int


def read_training(uri: str, view: FeatureView, options: Mapping[str, str]) -> TrainingData:
    """Return the digest, the number of rows and a sample of a Parquet file or a folder of them.

    Args:
        uri: a local path or an object-store URI; partition folders become string columns.
        view: says which columns the sample has.
        options: storage settings.

    Raises:
        InputError: there is nothing there, or it cannot be read.
        SchemaMismatchError: a file does not fit the view.
        InputChangedError: a file changed on the way.
    """
    place = normalise_uri(uri)
    filesystem_, base = filesystem(place, options)
    base, files = _files(filesystem_, base, place, options)
    hashes: list[tuple[str, str]] = []
    groups: list[_Group] = []
    for file in files:
        path = join(base, file.path)
        with reading(path), filesystem_.open_input_file(path) as opened:
            metadata = pq.read_metadata(opened)
            opened.seek(0)
            hashes.append((file.path, digest.of_stream(opened)[0]))
        groups += [_Group(file, i, metadata.row_group(i).num_rows) for i in range(metadata.num_row_groups)]
    rows = sum(group.rows for group in groups)
    if not rows:
        raise InputError("the training data has no rows", where=place)
    parts = [part for group, wanted in _spread(groups) for part in _taken(filesystem_, base, group, wanted, view)]
    for file in files:
        info = filesystem_.get_file_info(join(base, file.path))
        if (info.size, info.mtime_ns or 0) != (file.size_bytes, file.mtime_ns):
            raise InputChangedError("training data changed while it was read", where=join(base, file.path))

    def batches() -> Iterator[pa.RecordBatch]:
        for group in groups:
            yield from _read(filesystem_, base, group, view)

    return TrainingData(digest.of_json([list(pair) for pair in hashes]), rows, pa.Table.from_batches(parts), batches)


def _files(
    filesystem_: fs.FileSystem, base: str, place: str, options: Mapping[str, str]
) -> tuple[str, list[InputFile]]:
    """Return the folder, and the files in it, sorted by path.

    Raises:
        InputError: there is nothing there.
    """
    try:
        info = filesystem_.get_file_info(base)
    except OSError as error:
        raise InputError("the training data cannot be reached", where=place, got=str(error)[:300]) from error
    if info.is_file:
        folder, name = posixpath.split(base)
        return folder, [InputFile(name, info.size, info.mtime_ns or 0, "", ())]
    files = list_files(InputRoot(place, place), (), options)
    if not files:
        raise InputError("there is no training data", where=place, expected="a Parquet file, or a folder of *.parquet")
    return base, files


def _spread(groups: list[_Group]) -> Iterator[tuple[_Group, NDArray[np.int64]]]:
    """Yield row groups and the rows to take of each, spread evenly over all of them."""
    groups = [group for group in groups if group.rows]
    if len(groups) > _SAMPLED_GROUPS:
        groups = [groups[i] for i in np.linspace(0, len(groups) - 1, _SAMPLED_GROUPS).astype(np.int64)]
    total = sum(group.rows for group in groups)
    wanted = np.linspace(0, total - 1, min(total, PROOF_ROWS)).astype(np.int64)
    first = 0
    for group in groups:
        inside = wanted[(wanted >= first) & (wanted < first + group.rows)] - first
        first += group.rows
        if len(inside):
            yield group, inside


def _taken(
    filesystem_: fs.FileSystem, base: str, group: _Group, wanted: NDArray[np.int64], view: FeatureView
) -> Iterator[pa.RecordBatch]:
    """Yield the wanted rows of one row group."""
    first = 0
    for batch in _read(filesystem_, base, group, view):
        inside = wanted[(wanted >= first) & (wanted < first + batch.num_rows)] - first
        first += batch.num_rows
        if len(inside):
            yield batch.take(pa.array(inside))


def _read(filesystem_: fs.FileSystem, base: str, group: _Group, view: FeatureView) -> Iterator[pa.RecordBatch]:
    """Yield one row group, in the view's types."""
    path = join(base, group.file.path)
    with reading(path), filesystem_.open_input_file(path) as opened:
        parquet = pq.ParquetFile(opened, pre_buffer=False, buffer_size=_BUFFER_BYTES)
        schema = parquet.schema_arrow
        from_path = {key: value for key, value in group.file.partition if key not in schema.names}
        for key in from_path:
            schema = schema.append(pa.field(key, pa.string()))
        view.match(schema, path)
        columns = [name for name in view.record_columns if name not in from_path]
        for batch in parquet.iter_batches(_BATCH_ROWS, row_groups=[group.index], columns=columns):
            yield _conformed(batch, from_path, view)


def _conformed(batch: pa.RecordBatch, from_path: Mapping[str, str], view: FeatureView) -> pa.RecordBatch:
    for key, value in from_path.items():
        if key in view.record_columns:
            batch = batch.append_column(key, pa.repeat(pa.scalar(value), batch.num_rows))
    columns = [field.conform(batch.column(field.name)) for field in view.record_fields]
    return pa.RecordBatch.from_arrays(columns, list(view.record_columns))
