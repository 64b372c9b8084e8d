from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from scoretrail.errors import SchemaMismatchError
from scoretrail.feature import DEFAULT, Field, Stored
from scoretrail.feature.online import (
    ORDER,
    OnlineValue,
    decode_values,
    encode_value,
    encode_values,
    online_key,
)
from scoretrail.feature.schema import TIMESTAMP

FIELDS = [
    Field(name="wind", type=pa.float32(), nullable=True),
    Field(name="sky", type=pa.string(), default="clear"),
]
WEATHER = Stored("weather", key="place", fields=FIELDS, max_age="3h", when_missing=DEFAULT)


def values(**columns: Any) -> pa.RecordBatch:
    made = {
        "wind": pa.array([1.5, None, 2.5], pa.float32()),
        "sky": pa.array(["clear", "cloudy", None]),
        "weather__event_time": pa.array([10, -1, 2**62], TIMESTAMP),
        "weather__available_at": pa.array([20, 0, 2**62], TIMESTAMP),
    }
    return pa.record_batch(made | columns)


def encoded(batch: pa.RecordBatch | None = None) -> list[OnlineValue]:
    return encode_values("trips", WEATHER, ["EWR", "JFK", "LGA"], values() if batch is None else batch)


def payloads() -> list[bytes | None]:
    return [value.payload for value in encoded()]


def test_values_come_back_as_columns_of_the_record() -> None:
    found = decode_values(WEATHER, payloads())

    assert found.values.equals(values())
    assert found.damaged == ()


def test_keys_say_view_set_layout_and_entity() -> None:
    schema8 = WEATHER.layout.schema8
    assert [value.key for value in encoded()] == [
        f"fs:trips:weather:{schema8}:{place}" for place in ("EWR", "JFK", "LGA")
    ]
    assert [value.event_time_us for value in encoded()] == [10, -1, 2**62]
    assert online_key("v", "s", "00000000", "a:b") == "fs:v:s:00000000:a:b"


def test_the_bytes_of_a_value_are_version_times_row_and_checksum() -> None:
    value = encode_value(-1, 5, b"row")

    body = b"\x01" + struct.pack(">QQ", 2**63 - 1, 2**63 + 5) + b"row"
    assert value == body + struct.pack("<I", zlib.crc32(body))


def test_a_later_value_has_greater_bytes() -> None:
    ordered = [(-(2**63), 0), (-1, 2), (-1, 3), (0, -5), (0, 0), (255, 0), (256, 0), (2**53, 0), (2**53 + 1, 0)]
    order = [encode_value(event, known, b"")[ORDER] for event, known in ordered]
    assert order == sorted(set(order))


def test_a_row_without_both_times_is_no_value() -> None:
    batch = values(weather__available_at=pa.array([20, None, 2**62], TIMESTAMP))
    assert [value.key[-3:] for value in encoded(batch)] == ["EWR", "LGA"]


def test_values_that_do_not_fit_the_set_are_not_written() -> None:
    with pytest.raises(SchemaMismatchError, match="column 'wind' cannot be packed"):
        encoded(values(wind=pa.array([1.0, 2.0, 3.0])))
    with pytest.raises(ValueError, match="zip"):
        encode_values("trips", WEATHER, ["EWR"], values())


def test_what_is_not_there_is_null_in_its_place() -> None:
    first, second, third = payloads()

    found = decode_values(WEATHER, [None, third, first, None, second, first])

    wanted = values().take(pa.array([None, 2, 0, None, 1, 0]))
    assert found.values.equals(wanted)
    assert found.damaged == ()
    for nothing in ([], [None, None]):
        assert decode_values(WEATHER, nothing).values.to_pylist() == [dict.fromkeys(WEATHER.columns)] * len(nothing)


@pytest.mark.parametrize("position", range(40))
def test_a_value_with_a_changed_byte_counts_as_none_and_is_named(position: int) -> None:
    first, second, third = payloads()
    assert second is not None
    changed = bytearray(second)
    changed[position % len(second)] ^= 0x40

    found = decode_values(WEATHER, [first, bytes(changed), third])

    assert found.damaged == (1,)
    assert found.values.equals(values().take(pa.array([0, None, 2])))


@pytest.mark.parametrize("rest", [b"", b"\x00\x00\x00\x00", b"\x01", b"something else"])
def test_what_is_no_value_at_all_is_damaged(rest: bytes) -> None:
    assert decode_values(WEATHER, [rest, None]).damaged == (0,)


def test_a_value_of_a_later_form_or_another_layout_harms_no_other() -> None:
    first, second, _ = payloads()
    later = b"\x02" + bytes(16) + b"row"
    other = Stored("weather", key="place", fields=FIELDS[:1], max_age="3h", when_missing=DEFAULT)
    (row,) = other.layout.pack(values().slice(0, 1))
    strange = [later + struct.pack("<I", zlib.crc32(later)), encode_value(0, 0, row), encode_value(0, 0, b"")]

    found = decode_values(WEATHER, [strange[0], first, strange[1], second, strange[2]])

    assert found.damaged == (0, 2, 4)
    assert found.values.equals(values().take(pa.array([None, 0, None, 1, None])))


def test_random_bytes_are_found() -> None:
    random = np.random.default_rng(1)
    garbage: list[bytes | None] = [random.bytes(int(size)) for size in random.integers(0, 100, 200)]
    assert decode_values(WEATHER, garbage).damaged == tuple(range(200))
