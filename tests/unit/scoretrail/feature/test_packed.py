from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from scoretrail import digest
from scoretrail.errors import FeatureViewError, PackedError, SchemaMismatchError
from scoretrail.feature.packed import Layout
from scoretrail.feature.schema import TIMESTAMP, Field

TYPES = {
    "flag": pa.bool_(),
    "tiny": pa.int8(),
    "count": pa.int64(),
    "size": pa.uint32(),
    "wind": pa.float32(),
    "rate": pa.float64(),
    "day": pa.date32(),
    "at": TIMESTAMP,
    "place": pa.string(),
    "code": pa.string(),
}
VALUES: dict[str, list[Any]] = {
    "flag": [True, False, None],
    "tiny": [-128, None, 127],
    "count": [-(2**63), 2**63 - 1, None],
    "size": [2**32 - 1, None, 0],
    "wind": [1.5, None, -0.0],
    "rate": [None, 0.1, -1e300],
    "day": [date(1969, 12, 31), None, date(2013, 12, 1)],
    "at": [None, 0, -1],
    "place": ["EWR", "", None],
    "code": ["Zürich", None, "a" * 300],
}


def layout(*names: str, **types: pa.DataType) -> Layout:
    chosen = types or {name: TYPES[name] for name in names or TYPES}
    return Layout([Field(name=name, type=type_) for name, type_ in chosen.items()])


def batch(*names: str) -> pa.RecordBatch:
    return pa.record_batch({name: pa.array(VALUES[name], TYPES[name]) for name in names or TYPES})


def test_every_type_comes_back_as_it_was() -> None:
    rows = layout().pack(batch())

    assert len(rows) == 3
    assert layout().unpack(rows).equals(batch())
    assert layout().unpack(rows[1:]).equals(batch().slice(1))
    assert layout().pack(batch().slice(1)) == rows[1:]


def test_no_rows_are_fine() -> None:
    assert layout().pack(batch().slice(3)) == []
    assert layout().unpack([]).equals(batch().slice(3))
    assert layout("wind").unpack([]).num_rows == 0


def test_the_bytes_of_a_row_are_what_the_class_says() -> None:
    chosen = layout("wind", "place", "count")

    (row,) = chosen.pack(batch("wind", "place", "count").slice(0, 1))

    assert row == (
        b"\x01"
        + bytes.fromhex(chosen.schema8)
        + b"\x00"
        + np.float32(1.5).tobytes()
        + np.int64(-(2**63)).tobytes()
        + b"\x03\x00\x00\x00EWR"
    )
    assert row.startswith(chosen.head)


def test_the_schemas_hash_is_over_names_and_types_in_order() -> None:
    described = [{"name": "wind", "type": "float"}, {"name": "place", "type": "string"}]
    assert layout("wind", "place").schema_hash == digest.of_json(described)
    assert layout("wind", "place").schema8 == digest.of_json(described)[:8]
    others = {layout("place", "wind").schema8, layout(wind=pa.float64(), place=pa.string()).schema8}
    assert layout("wind", "place").schema8 not in others
    plain = Layout([Field(name="wind", type=pa.float32(), nullable=True, minimum=0, description="m/s")])
    assert plain.schema_hash == layout("wind").schema_hash, "a contract that changes leaves the bytes as they are"


def test_columns_in_another_order_and_further_ones_are_fine() -> None:
    given = batch("place", "code", "wind")
    assert layout("wind", "place").pack(given) == layout("wind", "place").pack(batch("wind", "place"))


@pytest.mark.parametrize("given", [{"wind": pa.array([1.0])}, {"rain": pa.array([1.0], pa.float32())}])
def test_a_column_of_another_type_is_not_packed(given: dict[str, pa.Array]) -> None:
    with pytest.raises(SchemaMismatchError, match="column 'wind' cannot be packed") as caught:
        layout("wind").pack(pa.record_batch(given))
    assert caught.value.expected == "float"
    assert caught.value.got == ("double" if "wind" in given else "no such column")


@pytest.mark.parametrize("types", [{}, {"x": pa.list_(pa.int8())}, {"x": pa.timestamp("ns", "UTC")}])
def test_fields_without_a_packed_form_are_refused(types: dict[str, pa.DataType]) -> None:
    with pytest.raises(FeatureViewError):
        Layout([Field(name=name, type=type_) for name, type_ in types.items()])


def test_a_field_that_is_there_twice_is_refused() -> None:
    with pytest.raises(FeatureViewError, match="each once"):
        Layout([Field(name="x", type=pa.int8()), Field(name="x", type=pa.int16())])


# --- Equal rows have equal bytes --------------------------------------------------------------------------------------


def test_every_nan_has_the_same_bytes() -> None:
    odd = np.array([0x7FC00000, 0xFFC00001, 0x7F800001], np.uint32).view(np.float32)
    rows = layout("wind").pack(pa.record_batch({"wind": pa.array(odd)}))
    assert len(set(rows)) == 1
    assert np.isnan(np.asarray(layout("wind").unpack(rows).column(0))).all()


def test_what_lies_under_a_null_does_not_show() -> None:
    def null_over(value: int) -> pa.Array:
        valid = pa.py_buffer(b"\x00")
        return pa.Array.from_buffers(pa.int64(), 1, [valid, pa.py_buffer(np.array([value]))])

    rows = {layout("count").pack(pa.record_batch({"count": null_over(value)}))[0] for value in (0, 1, -1)}
    assert len(rows) == 1


def test_zero_and_minus_zero_are_different_rows() -> None:
    rows = layout("wind").pack(pa.record_batch({"wind": pa.array([0.0, -0.0], pa.float32())}))
    assert rows[0] != rows[1]


# --- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize("names", [("wind", "rate"), ("wind", "place")])
def test_a_changed_byte_of_the_head_is_refused(names: tuple[str, str], position: int) -> None:
    rows = layout(*names).pack(batch(*names))
    for change in (1, 0x80, 0xFF):
        changed = bytearray(rows[1])
        changed[position] ^= change
        with pytest.raises(PackedError, match="another format or layout") as caught:
            layout(*names).unpack([rows[0], bytes(changed), rows[2]])
        assert caught.value.got == bytes(changed[:5]).hex()


def test_another_layouts_row_is_refused() -> None:
    rows = layout("count").pack(batch("count"))
    with pytest.raises(PackedError, match="another format or layout"):
        layout("rate").unpack(rows)


def test_what_the_bitmap_cannot_say_is_refused() -> None:
    (row,) = layout("wind").pack(batch("wind").slice(0, 1))
    for bitmap, said in ((b"\x01", "a null with a value"), (b"\x02", "a field that is not there")):
        with pytest.raises(PackedError, match=said):
            layout("wind").unpack([row[:5] + bitmap + row[6:]])


def test_a_flag_is_true_or_false() -> None:
    (row,) = layout("flag").pack(batch("flag").slice(0, 1))
    with pytest.raises(PackedError, match="neither true nor false"):
        layout("flag").unpack([row[:-1] + b"\x02"])


@pytest.mark.parametrize("names", [("wind",), ("wind", "place")])
@pytest.mark.parametrize("cut", [0, 3, -1])
def test_a_row_that_was_cut_is_refused(names: tuple[str, ...], cut: int) -> None:
    rows = layout(*names).pack(batch(*names))
    with pytest.raises(PackedError, match=r"wrong length|another length"):
        layout(*names).unpack([rows[0], rows[2][:cut]])


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        (b"\x03\x00\x00\x00EWRx", "bytes after the last text"),
        (b"\xff\x00\x00\x00EWR", "another length than it says"),
        (b"\x01\x00\x00\x00\xff", "not UTF-8"),
    ],
)
def test_a_text_that_is_not_as_it_says_is_refused(tail: bytes, said: str) -> None:
    (row,) = layout("wind", "place").pack(batch("wind", "place").slice(0, 1))
    with pytest.raises(PackedError, match=said):
        layout("wind", "place").unpack([row[:10] + tail])


def test_a_row_with_more_bytes_than_its_columns_is_refused() -> None:
    (row,) = layout("wind").pack(batch("wind").slice(0, 1))
    with pytest.raises(PackedError, match="wrong length"):
        layout("wind").unpack([row + b"\x00"])
