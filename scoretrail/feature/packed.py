"""The packed form of feature rows: one versioned run of bytes a row, equal for equal rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np
import pyarrow as pa

from scoretrail import digest
from scoretrail.errors import FeatureViewError, PackedError, SchemaMismatchError
from scoretrail.feature.schema import TIMESTAMP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scoretrail.feature.schema import Field

FORMAT_VERSION: Final = 1
"""The first byte of every row; raised when the layout of the bytes changes."""
_SCHEMA_BYTES: Final = 4
_LENGTH_BYTES: Final = 4
"""Before each text; little-endian, as all else is."""
_FORMATS: Final[Mapping[Any, str]] = {
    pa.bool_(): "u1",
    pa.int8(): "i1",
    pa.int16(): "<i2",
    pa.int32(): "<i4",
    pa.int64(): "<i8",
    pa.uint8(): "u1",
    pa.uint16(): "<u2",
    pa.uint32(): "<u4",
    pa.uint64(): "<u8",
    pa.float32(): "<f4",
    pa.float64(): "<f8",
    pa.date32(): "<i4",
    TIMESTAMP: "<i8",
}


class Layout:
    """How rows of these fields are packed.

    A row is a format version (1 byte), the start of the schema's hash (4), a bitmap of nulls, the columns of fixed
    width in order, and then the texts in order, each after its length (4). Nothing is aligned. The slot of a null is
    zero and NaN has one form, so rows with equal values have equal bytes.

    >>> from scoretrail.feature.schema import Field
    >>> layout = Layout([Field(name="x", type=pa.float32()), Field(name="place", type=pa.string())])
    >>> (row,) = layout.pack(pa.record_batch({"x": pa.array([1.5], pa.float32()), "place": ["EWR"]}))
    >>> len(row), layout.unpack([row]).to_pylist()
    (17, [{'x': 1.5, 'place': 'EWR'}])
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        """Lay the fields out.

        Raises:
            FeatureViewError: there are none, one is there twice, or one has a type without a packed form.
        """
        names = [field.name for field in fields]
        if not fields or len(set(names)) != len(names):
            raise FeatureViewError("a packed row needs fields, each once", got=", ".join(names) or "none")
        for field in fields:
            if field.type not in _FORMATS and not pa.types.is_string(field.type):
                raise FeatureViewError(
                    f"field {field.name!r} has a type without a packed form",
                    expected=", ".join(map(str, [*_FORMATS, pa.string()])),
                    got=str(field.type),
                )
        self.schema: Final = pa.schema([pa.field(field.name, field.type) for field in fields])
        self.schema_hash: Final = digest.of_json([{"name": field.name, "type": str(field.type)} for field in fields])
        """sha256 over the names and types, in order."""
        self.schema8: Final = self.schema_hash[: 2 * _SCHEMA_BYTES]
        self.head: Final = bytes([FORMAT_VERSION]) + bytes.fromhex(self.schema8)
        """How every row of this layout begins."""
        # Asked once: a schema makes its names, fields and types anew each time.
        self._types = [field.type for field in fields]
        self._texts = [i for i, type_ in enumerate(self._types) if pa.types.is_string(type_)]
        self._flags = [i for i, type_ in enumerate(self._types) if pa.types.is_boolean(type_)]
        fixed = [(str(i), _FORMATS[type_]) for i, type_ in enumerate(self._types) if i not in self._texts]
        head, nulls = ("head", "u1", (len(self.head),)), ("nulls", "u1", ((len(fields) + 7) // 8,))
        self._dtype = np.dtype([head, nulls, *fixed])

    def pack(self, batch: pa.RecordBatch) -> list[bytes]:
        """Return one packed row for each row, in order; further columns are ignored.

        Args:
            batch: has every field as a column of exactly its type.

        Raises:
            SchemaMismatchError: a column is missing or has another type.
        """
        rows = np.zeros(batch.num_rows, self._dtype)
        rows["head"] = np.frombuffer(self.head, np.uint8)
        texts = []
        for i, column in enumerate(self._columns(batch)):
            missing = bits(column.is_null()) if column.null_count else None
            if missing is not None:
                rows["nulls"][:, i // 8] |= missing.view(np.uint8) << (i % 8)
            if i in self._texts:
                texts.append([_text(value) for value in column.to_pylist()])
            elif batch.num_rows:
                rows[str(i)] = _canonical(_values(column), missing)
        data, size = rows.tobytes(), self._dtype.itemsize
        fixed = [data[at : at + size] for at in range(0, len(data), size)]
        return [b"".join(parts) for parts in zip(fixed, *texts, strict=True)] if texts else fixed

    def unpack(self, rows: Sequence[bytes]) -> pa.RecordBatch:
        """Return the rows that :meth:`pack` was given, in order.

        Raises:
            PackedError: a row is of another format or layout, or damaged in a way that shows; a changed value does not
                show, which is what checksums and hashes over rows are for.
        """
        size = self._dtype.itemsize
        lengths = set(map(len, rows))
        if any(length < size or (length > size and not self._texts) for length in lengths):
            self._refuse("of the wrong length", f"{size} bytes", ", ".join(map(str, sorted(lengths)[:5])))
        data = b"".join([row[:size] for row in rows] if self._texts else rows)
        fixed = np.frombuffer(data, self._dtype)
        wrong = np.asarray((fixed["head"] != np.frombuffer(self.head, np.uint8)).any(axis=1))
        if wrong.any():
            got = fixed["head"][wrong][0].tobytes().hex()
            self._refuse("of another format or layout", self.head.hex(), got)
        nulls = np.unpackbits(fixed["nulls"], axis=1, bitorder="little").view(np.bool_)
        some = np.asarray(nulls.any(axis=0))
        if some[len(self._types) :].any():
            self._refuse("damaged: a field that is not there is null")
        texts = iter(self._unpack_texts(rows, nulls))
        columns = []
        for i, is_somewhere_null in enumerate(some[: len(self._types)].tolist()):
            if i in self._texts:
                columns.append(next(texts))
            else:
                missing = nulls[:, i] if is_somewhere_null else None
                columns.append(self._unpack_fixed(i, np.ascontiguousarray(fixed[str(i)]), missing))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _columns(self, batch: pa.RecordBatch) -> list[pa.Array]:
        if batch.schema.equals(self.schema):
            return list(batch.columns)
        types = {field.name: field.type for field in batch.schema}
        for field in self.schema:
            if types.get(field.name) != field.type:
                raise SchemaMismatchError(
                    f"column {field.name!r} cannot be packed",
                    expected=str(field.type),
                    got=str(types.get(field.name, "no such column")),
                )
        return list(batch.select(self.schema.names).columns)

    def _unpack_fixed(self, i: int, values: NDArray[Any], missing: NDArray[np.bool_] | None) -> pa.Array:
        rows = len(values)
        if missing is not None and values[missing].tobytes().strip(b"\0"):
            self._refuse("damaged: a null with a value")
        if i in self._flags:
            if (values > 1).any():
                self._refuse("damaged: neither true nor false")
            values = np.packbits(values, bitorder="little")
        valid = None if missing is None else pa.py_buffer(np.packbits(~missing, bitorder="little"))
        return pa.Array.from_buffers(self._types[i], rows, [valid, pa.py_buffer(values)])

    def _unpack_texts(self, rows: Sequence[bytes], nulls: NDArray[np.bool_]) -> list[pa.Array]:
        if not self._texts:
            return []
        found: list[list[str | None]] = [[] for _ in self._texts]
        missing = nulls[:, self._texts].tolist()
        for row, row_missing in zip(rows, missing, strict=True):
            at = self._dtype.itemsize
            for column, is_null in zip(found, row_missing, strict=True):
                start = at + _LENGTH_BYTES
                stop = start + int.from_bytes(row[at:start], "little")
                if stop > len(row) or (is_null and stop > start):
                    self._refuse("damaged: a text of another length than it says")
                try:
                    column.append(None if is_null else row[start:stop].decode())
                except UnicodeDecodeError:
                    self._refuse("damaged: a text that is not UTF-8")
                at = stop
            if at != len(row):
                self._refuse("damaged: bytes after the last text")
        return [pa.array(values, pa.string()) for values in found]

    def _refuse(self, what: str, expected: str | None = None, got: str | None = None) -> NoReturn:
        raise PackedError(
            f"a packed row is {what}",
            where=f"layout {self.schema8}: {', '.join(self.schema.names[:10])}",
            expected=expected,
            got=got,
        )


def bits(flags: pa.BooleanArray) -> NDArray[np.bool_]:
    """Return a column of booleans without nulls as a numpy array, without the import of pandas.

    >>> bits(pa.array([True, False, True])).tolist()
    [True, False, True]
    """
    if not len(flags):
        return np.zeros(0, np.bool_)
    unpacked = np.unpackbits(np.frombuffer(flags.buffers()[1], np.uint8), bitorder="little")
    return unpacked[flags.offset : flags.offset + len(flags)].view(np.bool_)


def _values(column: pa.Array) -> NDArray[Any]:
    """Return the slots of a column of fixed width; those of nulls hold anything."""
    if pa.types.is_boolean(column.type):
        return bits(column).view(np.uint8)
    dtype = np.dtype(_FORMATS[column.type])
    return np.frombuffer(column.buffers()[1], dtype, len(column), column.offset * dtype.itemsize)


def _canonical(values: NDArray[Any], missing: NDArray[np.bool_] | None) -> NDArray[Any]:
    # One NaN makes the least of all NaN: a pass without a copy, for what nearly no column has.
    if values.dtype.kind == "f" and np.isnan(np.minimum.reduce(values)):
        values = np.where(np.isnan(values), values.dtype.type(np.nan), values)
    return values if missing is None else np.where(missing, values.dtype.type(0), values)


def _text(value: str | None) -> bytes:
    data = b"" if value is None else value.encode()
    return len(data).to_bytes(_LENGTH_BYTES, "little") + data
