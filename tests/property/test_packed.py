"""Packed rows: what goes in comes out, and rows have equal bytes exactly where they are equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoretrail.errors import PackedError
from scoretrail.feature import DEFAULT, Stored
from scoretrail.feature.online import decode_values, encode_values
from scoretrail.feature.packed import Layout
from scoretrail.feature.schema import TIMESTAMP, Field


def integers(bits: int, *, signed: bool = True) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    pa.bool_(): st.booleans(),
    pa.int8(): integers(8),
    pa.int16(): integers(16),
    pa.int32(): integers(32),
    pa.int64(): integers(64),
    pa.uint8(): integers(8, signed=False),
    pa.uint16(): integers(16, signed=False),
    pa.uint32(): integers(32, signed=False),
    pa.uint64(): integers(64, signed=False),
    pa.float32(): st.floats(width=32, allow_nan=False),
    pa.float64(): st.floats(allow_nan=False),
    pa.date32(): integers(32),
    TIMESTAMP: integers(64),
    pa.string(): TEXT,
}
TYPES = st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=12)


def column(values: list[Any], type_: pa.DataType) -> pa.Array:
    storage = {pa.date32(): pa.int32(), TIMESTAMP: pa.int64()}.get(type_, type_)
    return pa.array(values, storage).view(type_)


@st.composite
def batches(draw: st.DrawFn) -> pa.RecordBatch:
    """Rows of any types with nulls; a slice, so that nothing begins at a byte's edge."""
    types = draw(TYPES)
    rows, start = draw(st.integers(0, 12)), draw(st.integers(0, 11))
    row = st.tuples(*(st.none() | VALUES[type_] for type_ in types))
    values = draw(st.lists(row, min_size=rows + start, max_size=rows + start))
    # Few different rows, so that some of them are equal.
    values = [draw(st.sampled_from(values)) for _ in values] if draw(st.booleans()) else values
    arrays = [column([one[i] for one in values], type_) for i, type_ in enumerate(types)]
    return pa.RecordBatch.from_arrays(arrays, [f"f{i}" for i in range(len(types))]).slice(start)


def layout_of(batch: pa.RecordBatch) -> Layout:
    return Layout([Field(name=field.name, type=field.type) for field in batch.schema])


def plain(batch: pa.RecordBatch) -> list[tuple[Any, ...]]:
    """Return rows in which equal means equal bits."""
    storage = {pa.date32(): pa.int32(), TIMESTAMP: pa.int64(), pa.float32(): pa.int32(), pa.float64(): pa.int64()}
    columns = [one.view(storage[one.type]) if one.type in storage else one for one in batch.columns]
    return list(zip(*(one.to_pylist() for one in columns), strict=True))


@given(batches())
def test_what_is_packed_is_unpacked(batch: pa.RecordBatch) -> None:
    layout = layout_of(batch)
    rows = layout.pack(batch)

    found = layout.unpack(rows)

    found.validate(full=True)
    assert found.schema == batch.schema
    assert plain(found) == plain(batch)
    assert layout.pack(found) == rows


@given(batches())
def test_rows_have_equal_bytes_exactly_where_they_are_equal(batch: pa.RecordBatch) -> None:
    packed = layout_of(batch).pack(batch)
    rows = plain(batch)
    for i, row in enumerate(rows):
        for j in range(i):
            assert (row == rows[j]) == (packed[i] == packed[j])


@given(batches(), st.data())
def test_a_row_is_packed_alike_in_any_company(batch: pa.RecordBatch, data: st.DataObject) -> None:
    layout = layout_of(batch)
    packed = layout.pack(batch)
    some = data.draw(st.lists(st.integers(0, batch.num_rows - 1), max_size=8)) if batch.num_rows else []

    assert layout.pack(batch.take(pa.array(some, pa.int64()))) == [packed[i] for i in some]


@given(batches(), st.data())
def test_any_changed_byte_of_a_head_is_refused(batch: pa.RecordBatch, data: st.DataObject) -> None:
    layout = layout_of(batch)
    rows = layout.pack(batch)
    if not rows:
        return
    row = data.draw(st.integers(0, len(rows) - 1))
    changed = bytearray(rows[row])
    changed[data.draw(st.integers(0, len(layout.head) - 1))] ^= data.draw(st.integers(1, 255))
    rows[row] = bytes(changed)

    with pytest.raises(PackedError, match="another format or layout"):
        layout.unpack(rows)


@given(batches(), st.lists(st.binary(max_size=60), min_size=1, max_size=5))
def test_no_bytes_at_all_break_out_of_the_codec(batch: pa.RecordBatch, garbage: list[bytes]) -> None:
    """Whatever the bytes are, with the right head or not, they are rows of the layout or refused as such."""
    layout = layout_of(batch)
    for rows in (garbage, [layout.head + one for one in garbage]):
        try:
            found = layout.unpack(rows)
        except PackedError:
            continue
        found.validate(full=True)
        assert found.num_rows == len(rows)


NUMBER = pa.float32()
WEATHER = Stored(
    "weather",
    key="place",
    fields=[
        Field(name="wind", type=NUMBER, nullable=True),
        Field(name="sky", type=pa.string(), default="clear"),
    ],
    max_age="3h",
    when_missing=DEFAULT,
)


@given(
    st.lists(st.tuples(st.none() | VALUES[NUMBER], st.none() | TEXT, integers(64), integers(64)), max_size=10),
    st.data(),
)
def test_values_survive_the_store_and_every_changed_byte_is_found(
    rows: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    types = (NUMBER, pa.string(), TIMESTAMP, TIMESTAMP)
    arrays = [column([row[i] for row in rows], type_) for i, type_ in enumerate(types)]
    batch = pa.RecordBatch.from_arrays(arrays, list(WEATHER.columns))
    values: list[bytes | None] = [
        one.payload for one in encode_values("v", WEATHER, [str(i) for i in range(len(rows))], batch)
    ]
    changed = set(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=3))) if rows else set()
    for i in changed:
        payload = bytearray(values[i] or b"")
        payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
        values[i] = bytes(payload)

    found = decode_values(WEATHER, values)

    assert found.damaged == tuple(sorted(changed))
    good = [None if i in changed else i for i in range(len(rows))]
    assert plain(found.values) == plain(batch.take(pa.array(good, pa.int64())))


def test_every_nan_is_one_nan() -> None:
    odd = np.array([0x7FC00000, 0x7FC00001, 0xFFC00000, 0x7F800001], np.uint32).view(np.float32)
    layout = Layout([Field(name="x", type=NUMBER)])
    assert len(set(layout.pack(pa.record_batch({"x": pa.array(odd)})))) == 1
