from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from jobs.stream.message.event import FIRST_US, LAST_US, EventType, instants, untimely_rows
from jobs.stream.message.refusal import Reason, Refusal
from jobs.stream.record import NO_TIMESTAMP, Record
from scoretrail.errors import FeatureViewError
from scoretrail.feature import FeatureView, Request
from scoretrail.feature.schema import TIMESTAMP, FaultCode

VIEW = FeatureView(
    name="all types",
    entity_key="the key",
    event_time="class",  # a word that Python keeps for itself
    request=[
        Request("f32", pa.float32()),
        Request("f64", pa.float64(), nullable=True),
        Request("i8", pa.int8(), default=0),
        Request("i64", pa.int64(), default=0),
        Request("u16", pa.uint16(), default=0),
        Request("flag", pa.bool_(), default=False),
        Request("text", pa.string(), default=""),
        Request("day", pa.date32(), nullable=True),
        Request("then", TIMESTAMP, nullable=True),
    ],
    inputs=["f32"],
)
TYPE = EventType(VIEW)
GOOD = b'{"the key":"a","class":"2013-12-02T05:00:00+02:00","f32":1.5}'


def event(**fields: Any) -> bytes:
    return msgspec.json.encode({"the key": "a", "class": "2013-12-02T05:00:00+02:00", "f32": 1.5} | fields)


def row(value: bytes) -> dict[str, Any]:
    found = TYPE.decode(value)
    assert not isinstance(found, Refusal), found
    (only,) = TYPE.to_batch([found]).to_pylist()
    return dict(only)


def refused(value: bytes) -> tuple[str, str]:
    found = TYPE.decode(value)
    assert isinstance(found, Refusal), found
    return found.reason, found.field


def test_what_may_be_missing_is_null() -> None:
    assert row(GOOD) == {
        "the key": "a",
        "class": datetime(2013, 12, 2, 3, tzinfo=UTC),
        "f32": 1.5,
        **dict.fromkeys(("f64", "i8", "i64", "u16", "flag", "text", "day", "then")),
    }


def test_every_type_is_read() -> None:
    told = {"f64": 0.1, "i8": -128, "i64": 2**63 - 1, "u16": 65535, "flag": True, "text": "ä\n", "day": "2013-12-02"}
    found = row(event(**told, then=86_400_000_000))
    assert found["then"] == datetime(1970, 1, 2, tzinfo=UTC)
    assert found["day"] == date(2013, 12, 2)
    assert {name: found[name] for name in told if name != "day"} == {k: v for k, v in told.items() if k != "day"}


def test_the_batch_has_the_columns_of_the_view_in_their_types() -> None:
    assert TYPE.to_batch([]).schema == TYPE.schema
    assert TYPE.schema.names == list(VIEW.record_columns)
    VIEW.match(TYPE.schema)


def test_an_integer_does_for_a_float_and_unknown_fields_are_ignored() -> None:
    assert row(event(f32=2, more={"deep": [1]}))["f32"] == 2.0


def test_of_a_field_that_is_there_twice_the_last_counts() -> None:
    assert row(GOOD[:-1] + b',"f32":2.5}')["f32"] == 2.5


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"f32": "1.5"}, "f32"),
        ({"f32": True}, "f32"),
        ({"i64": 1.0}, "i64"),
        ({"i64": "1"}, "i64"),
        ({"i64": True}, "i64"),
        ({"i8": 128}, "i8"),
        ({"i8": -129}, "i8"),
        ({"i64": 2**63}, "i64"),
        ({"u16": -1}, "u16"),
        ({"flag": 1}, "flag"),
        ({"text": 1}, "text"),
        ({"the key": 1}, "the key"),
        ({"day": "2013-13-01"}, "day"),
        ({"then": "2013-12-02T05:00:00"}, "then"),
        ({"class": "2013-12-02T05:00:00"}, "class"),
        ({"class": "2013-12-02"}, "class"),
        ({"class": "yesterday"}, "class"),
        ({"class": 1.5}, "class"),
        ({"class": 2**62}, "class"),
    ],
    ids=str,
)
def test_a_wrong_type_is_refused(fields: dict[str, Any], field: str) -> None:
    assert refused(event(**fields)) == (Reason.WRONG_TYPE, field)


def test_null_and_missing_are_told_apart() -> None:
    assert refused(event(f32=None)) == (FaultCode.NULL, "f32")
    assert refused(event(**{"the key": None})) == (FaultCode.NULL, "the key")
    assert refused(b'{"the key":"a","class":1}') == (Reason.MISSING_FIELD, "f32")
    assert refused(b"{}") == (Reason.MISSING_FIELD, "the key")


@pytest.mark.parametrize("value", [b"[]", b"null", b'"x"', b"1"])
def test_what_is_no_object_is_refused(value: bytes) -> None:
    assert refused(value) == (Reason.WRONG_TYPE, "")


@pytest.mark.parametrize(
    "value",
    [
        b"x",
        b"{",
        GOOD + b" x",
        GOOD.replace(b"1.5", b"NaN"),
        GOOD.replace(b"1.5", b"Infinity"),
        GOOD.replace(b"1.5", b"-Infinity"),
        GOOD.replace(b"1.5", b"01"),
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b'"a"', b'"\xff"'),
        GOOD.replace(b'"a"', b'"\\ud800"'),
        GOOD[:-1] + b',"ignored":"\xff"}',
        GOOD[:-1] + b',"ignored":NaN}',
        GOOD.decode().encode("utf-16"),
        b'{"deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"\x1f\x8b\x08\x00",
    ],
)
def test_what_is_no_json_is_refused(value: bytes) -> None:
    assert refused(value) == (Reason.NOT_JSON, "")


def test_a_float_beyond_float64_is_refused_and_one_beyond_float32_is_infinite() -> None:
    assert refused(GOOD.replace(b"1.5", b"1e400")) == (Reason.WRONG_TYPE, "f32")
    assert row(event(f32=1e39))["f32"] == np.inf  # which the view then refuses


def test_a_refusal_never_tells_a_value() -> None:
    told_to_nobody = "s3cret"
    fields: list[dict[str, Any]] = [{"f32": told_to_nobody}, {"i8": 31_337}, {"class": told_to_nobody}]
    values = [*(event(**one) for one in fields), GOOD.replace(b"1.5", told_to_nobody.encode())]
    for value in values:
        told = str(TYPE.decode(value))
        assert told_to_nobody not in told
        assert "31337" not in told


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00.000001z", 1),
        ("1970-01-01T00:00:00.0000015Z", 2),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:59:59.999999-00:00", -1),
        (1, 1),
        (-1, -1),
    ],
)
def test_event_times_are_texts_with_an_offset_or_microseconds(text: str | int, microseconds: int) -> None:
    found = TYPE.decode(event(**{"class": text}))
    assert not isinstance(found, Refusal)
    assert TYPE.to_batch([found]).column(1).cast(pa.int64()).to_pylist() == [microseconds]


def test_texts_and_numbers_may_be_mixed() -> None:
    column = instants([datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), 5, None])
    assert column.cast(pa.int64()).to_pylist() == [1_000_000, 5, None]


def at(*microseconds: int) -> pa.Array:
    return pa.array(microseconds, pa.int64()).cast(TIMESTAMP)


def sent(*timestamps_ms: int) -> list[Record]:
    return [Record("t", 0, i, ms, None, b"{}", ()) for i, ms in enumerate(timestamps_ms)]


def test_the_future_begins_after_the_allowance_and_by_the_records_own_timestamp() -> None:
    future, untold = untimely_rows(at(61_000_000, 61_000_001, 0), sent(1000, 1000, 1000), 60)
    assert (future.tolist(), untold.tolist()) == ([1], [])


def test_a_record_without_a_timestamp_has_no_future() -> None:
    assert [rows.tolist() for rows in untimely_rows(at(LAST_US), sent(NO_TIMESTAMP), 60)] == [[], []]


def test_an_instant_before_the_year_1_cannot_be_told() -> None:
    found = TYPE.decode(event(**{"class": "0001-01-01T00:00:00+14:00"}))
    assert not isinstance(found, Refusal)
    times = TYPE.to_batch([found]).column(1)
    assert times.cast(pa.int64()).to_pylist()[0] < FIRST_US
    assert [rows.tolist() for rows in untimely_rows(times, sent(0), 60)] == [[], [0]]


def test_a_view_that_json_has_no_place_for_is_refused() -> None:
    view = FeatureView(
        name="v",
        entity_key="k",
        event_time="t",
        request=[Request("x", pa.float32()), Request("raw", pa.binary())],
        inputs=["x"],
    )
    with pytest.raises(FeatureViewError, match="'raw' cannot come with an event"):
        EventType(view)
