"""What planning must know of a file's bytes: digest, rows, and for a large file row-group ranges with their digests."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from scoretrail import digest
from scoretrail.digest import CHUNK_BYTES
from scoretrail.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyarrow import fs

_TAIL_BYTES: Final = 64 * 1024
"""Readers fetch this much of a file's end at once to find the footer in it."""
_FOOTER_LENGTH_BYTES: Final = 8
"""Four of length, four of magic."""


@dataclass(frozen=True)
class RowGroupRange:
    """Consecutive row groups of a large file."""

    first: int
    stop: int
    """One past the last."""
    first_row: int
    rows: int
    start_byte: int
    stop_byte: int
    sha256: str
    """Over the range's bytes and the file's tail, which holds the footer."""


@dataclass(frozen=True)
class FileProbe:
    """One file, looked at once."""

    sha256: str
    rows: int
    size_bytes: int
    tail_bytes: int
    ranges: tuple[RowGroupRange, ...]
    """Empty for a file that is scored whole."""

    def to_text(self) -> str:
        """Return the probe as JSON text, for the cache."""
        return json.dumps({**vars(self), "ranges": [vars(item) for item in self.ranges]}, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> FileProbe:
        """Return the probe that :meth:`to_text` wrote."""
        values = json.loads(text)
        return cls(**{**values, "ranges": tuple(RowGroupRange(**item) for item in values["ranges"])})


def probe_file(filesystem: fs.FileSystem, path: str, split_bytes: int) -> FileProbe:
    """Return what planning must know of a file, reading it once.

    Args:
        filesystem: where it lies.
        path: its path there.
        split_bytes: a larger file is cut into ranges of about this size.

    Raises:
        InputError: it is not there, or no readable Parquet file.
    """
    with reading(path), filesystem.open_input_file(path) as file:
        size = file.size()
        if size <= split_bytes:
            data = file.read_buffer()
            rows = pq.read_metadata(pa.BufferReader(data)).num_rows
            return FileProbe(digest.of_bytes(data), rows, size, 0, ())
        tail_bytes = _tail_bytes(file, size)
        file.seek(size - tail_bytes)
        tail = file.read(tail_bytes)
        metadata = pq.read_metadata(SparseFile({size - tail_bytes: tail}, size))
        spans = list(_spans(metadata, split_bytes))
        file.seek(0)
        whole, parts = _hashed(file, [(span.start_byte, span.stop_byte) for span in spans])
        ranges = []
        for span, part in zip(spans, parts, strict=True):
            part.update(tail)
            ranges.append(RowGroupRange(**{**asdict(span), "sha256": part.hexdigest()}))
        return FileProbe(whole, metadata.num_rows, size, tail_bytes, tuple(ranges))


class reading:  # noqa: N801  (reads as a phrase: `with reading(path):`)
    """Turns what pyarrow raises about a bad file into ours; the one place where that is done."""

    def __init__(self, path: str) -> None:
        """Name the file that is being read."""
        self._path = path

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Translate.

        Raises:
            InputError: the file is not there, or not readable.
        """
        if isinstance(error, FileNotFoundError):
            raise InputError("an input file is no longer there", where=self._path) from error
        if isinstance(error, pa.ArrowException | OSError):
            raise InputError(
                "an input file is no readable Parquet file",
                where=self._path,
                got=(str(error).strip().splitlines() or [type(error).__name__])[0][:300],
                fix="write it again, or move it out of the input",
            ) from error


class SparseFile(io.RawIOBase):
    """A file of which only some pieces are in memory; a read outside of them fails instead of guessing."""

    def __init__(self, pieces: dict[int, Any], size: int) -> None:
        """Lay pieces (offset -> bytes or buffer) into a file of ``size`` bytes."""
        super().__init__()
        self._pieces = {at: memoryview(data) for at, data in pieces.items()}
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, as files do."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Return up to ``size`` bytes.

        Raises:
            OSError: they are not in memory.
        """
        stop = self._size if size is None or size < 0 else min(self._at + size, self._size)
        for start, piece in self._pieces.items():
            if start <= self._at and stop <= start + len(piece):
                data = bytes(piece[self._at - start : stop - start])
                self._at = stop
                return data
        msg = f"bytes {self._at} to {stop} were not read"
        raise OSError(msg)


def _tail_bytes(file: Any, size: int) -> int:  # noqa: ANN401  (a pyarrow file)
    file.seek(size - _FOOTER_LENGTH_BYTES)
    length = int.from_bytes(file.read(4), "little") + _FOOTER_LENGTH_BYTES
    if length > size:
        msg = "the footer is longer than the file"
        raise OSError(msg)
    return min(max(length, _TAIL_BYTES), size)


def _spans(metadata: pq.FileMetaData, split_bytes: int) -> Iterator[RowGroupRange]:
    """Yield ranges of row groups of at most ``split_bytes``, a larger row group alone; only the file decides."""
    pending: list[tuple[int, int, int]] = []
    first, first_row = 0, 0
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        begin, end = _extent(group)
        if pending and end - pending[0][0] > split_bytes:
            yield _range(first, first_row, pending)
            first, first_row, pending = index, first_row + sum(rows for *_, rows in pending), []
        pending.append((begin, end, group.num_rows))
    if pending:
        yield _range(first, first_row, pending)


def _range(first: int, first_row: int, groups: list[tuple[int, int, int]]) -> RowGroupRange:
    rows = sum(rows for *_, rows in groups)
    return RowGroupRange(first, first + len(groups), first_row, rows, groups[0][0], groups[-1][1], "")


def _extent(group: pq.RowGroupMetaData) -> tuple[int, int]:
    starts, stops = [], []
    for i in range(group.num_columns):
        column = group.column(i)
        offsets = [o for o in (column.dictionary_page_offset, column.data_page_offset) if o is not None and o > 0]
        starts.append(min(offsets))
        stops.append(min(offsets) + column.total_compressed_size)
    return min(starts, default=0), max(stops, default=0)


def _hashed(file: Any, spans: list[tuple[int, int]]) -> tuple[str, list[Any]]:  # noqa: ANN401
    """Return the whole file's digest and a hasher for each span, from one reading."""
    whole, parts, at = hashlib.sha256(), [hashlib.sha256() for _ in spans], 0
    while chunk := file.read(CHUNK_BYTES):
        whole.update(chunk)
        view = memoryview(chunk)
        for (start, stop), part in zip(spans, parts, strict=True):
            if start < at + len(chunk) and stop > at:
                part.update(view[max(start - at, 0) : stop - at])
        at += len(chunk)
    return whole.hexdigest(), parts
