from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from scoretrail import digest


def test_bytes_and_a_stream_of_them_have_the_sha256_that_sha256sum_prints() -> None:
    data = b"parcel" * 1000

    assert digest.of_bytes(data) == hashlib.sha256(data).hexdigest()
    assert digest.of_bytes(memoryview(data)) == digest.of_bytes(data)
    assert digest.of_stream(io.BytesIO(data)) == (digest.of_bytes(data), 6000)


def test_a_stream_is_read_in_pieces_from_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "CHUNK_BYTES", 7)
    stream = io.BytesIO(b"0123456789" * 5)
    stream.seek(3)

    assert digest.of_stream(stream) == (digest.of_bytes((b"0123456789" * 5)[3:]), 47)


def test_canonical_json_is_one_text_whatever_the_order() -> None:
    assert (
        digest.canonical_json({"b": [1, 2.5], "a": {"d": None, "c": "é"}})
        == '{"a":{"c":"é","d":null},"b":[1,2.5]}'.encode()
    )
    assert digest.canonical_json((1, True)) == digest.canonical_json([1, True])
    assert digest.of_json({"a": 1, "b": 2}) == digest.of_json({"b": 2, "a": 1})


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (True, 1), ("1", 1), (None, "null"), ([1, 2], [2, 1]), ({"a": None}, {}), (0.0, -0.0)]
)
def test_different_values_have_different_texts(one: Any, other: Any) -> None:
    assert digest.of_json(one) != digest.of_json(other)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-300, 5e-324, 1.7976931348623157e308])
def test_a_float_reads_back_to_the_same_bits(value: float) -> None:
    assert json.loads(digest.canonical_json(value)) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_json_has_no_word_for_is_refused_and_can_be_made_null(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest.canonical_json({"a": value})
    assert digest.json_number(value) is None
    assert digest.json_number(0.5) == 0.5


@pytest.mark.parametrize("value", [np.float32(1), datetime(2013, 12, 1, tzinfo=UTC), {1, 2}, b"bytes"])
def test_a_foreign_type_is_refused_by_name(value: Any) -> None:
    with pytest.raises(TypeError, match=f"{type(value).__name__} has no canonical JSON"):
        digest.canonical_json({"a": [value]})
