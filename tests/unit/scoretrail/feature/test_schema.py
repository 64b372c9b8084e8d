from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from scoretrail import digest
from scoretrail.errors import FeatureViewError, SchemaMismatchError
from scoretrail.feature.schema import TIMESTAMP, FaultCode, Field, positions

F32, F64, I32, I64, TEXT = pa.float32(), pa.float64(), pa.int32(), pa.int64(), pa.string()
DICTIONARY = pa.dictionary(pa.int32(), TEXT)


def field(type: pa.DataType = F32, **contract: Any) -> Field:  # noqa: A002  (as Field calls it)
    return Field(name="x", type=type, **contract)


def checked(chosen: Field, values: Any, given: pa.DataType | None = None) -> tuple[list[Any], dict[str, list[int]]]:
    """Return the values as the model would see them, and the rows each rule refuses."""
    column, faults = chosen.check(chosen.conform(pa.array(values, given or chosen.type)))
    assert column.type == chosen.type
    return column.to_pylist(), {fault.code.value: fault.rows.tolist() for fault in faults}


# --- Types: what widens without loss, and what would narrow -----------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        (F32, pa.float16()),
        (F32, pa.int16()),
        (F32, pa.uint16()),
        (F64, F32),
        (F64, I32),
        (F64, pa.uint32()),
        (I64, I32),
        (I64, pa.uint32()),
        (I32, pa.int8()),
        (TEXT, pa.large_string()),
        (TEXT, pa.string_view()),
        (TEXT, DICTIONARY),
        (F64, pa.dictionary(pa.int8(), F32)),
        (TIMESTAMP, pa.timestamp("s", "UTC")),
        (TIMESTAMP, pa.timestamp("ns", "America/New_York")),
        (pa.bool_(), pa.bool_()),
        (pa.date32(), pa.date32()),
    ],
)
def test_a_type_that_widens_is_accepted(wanted: pa.DataType, given: pa.DataType) -> None:
    assert field(wanted).accepts(given)


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        (F32, F64),
        (F32, I32),
        (F32, pa.bool_()),
        (F32, TEXT),
        (F64, I64),
        (F64, pa.uint64()),
        (I32, I64),
        (I32, F32),
        (I32, pa.uint32()),
        (I64, pa.uint64()),
        (pa.uint8(), pa.int8()),
        (pa.bool_(), I32),
        (TEXT, pa.binary()),
        (TEXT, I64),
        (TEXT, pa.dictionary(pa.int32(), I64)),
        (TIMESTAMP, pa.timestamp("us")),
        (TIMESTAMP, I64),
        (TIMESTAMP, pa.date32()),
        (pa.timestamp("us"), TIMESTAMP),
    ],
)
def test_a_type_that_would_narrow_is_not_accepted(wanted: pa.DataType, given: pa.DataType) -> None:
    assert not field(wanted).accepts(given)


def test_the_extreme_integers_of_every_accepted_type_keep_their_value() -> None:
    for wanted in (F32, F64, I32, I64):
        for given in (pa.int8(), pa.int16(), I32, I64, pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()):
            if field(wanted).accepts(given):
                info = np.iinfo(str(given))
                values = [int(info.min), int(info.max)]
                assert checked(field(wanted), values, given) == (values, {}), (wanted, given)


def test_dictionaries_and_large_strings_are_unpacked() -> None:
    dictionary = pa.DictionaryArray.from_arrays(
        pa.array([0, None, 1], pa.int8()), pa.array(["a", "b"], pa.large_string())
    )

    assert field(TEXT).conform(dictionary).equals(pa.array(["a", None, "b"], TEXT))
    assert field(TEXT).conform(pa.array(["a"], pa.string_view())).equals(pa.array(["a"], TEXT))


def test_times_in_other_zones_and_units_become_utc_microseconds() -> None:
    given = pa.array([1_385_942_400_000_000_000], pa.timestamp("ns", "America/New_York"))

    assert field(TIMESTAMP).conform(given).cast(pa.int64()).to_pylist() == [1_385_942_400_000_000]


@pytest.mark.parametrize(
    "given", [pa.array([1], pa.timestamp("ns", "UTC")), pa.array([2**62], pa.timestamp("s", "UTC"))]
)
def test_a_time_that_would_lose_something_is_refused(given: pa.Array) -> None:
    with pytest.raises(SchemaMismatchError, match="column 'x' cannot be cast without loss") as caught:
        field(TIMESTAMP).conform(given)
    assert (caught.value.expected, caught.value.got) == (str(TIMESTAMP), str(given.type))


# --- Values: what is normalised, and which rows are refused -----------------------------------------------------------


def test_a_good_column_is_left_as_it_is() -> None:
    column = pa.array([0.0, 1.5], F32)

    same, faults = field(minimum=0, maximum=2).check(column)

    assert same is column
    assert faults == []


def test_null_is_refused_unless_it_is_allowed_or_has_a_default() -> None:
    assert checked(field(), [1.0, None]) == ([1.0, None], {"null_not_allowed": [1]})
    assert checked(field(nullable=True), [1.0, None]) == ([1.0, None], {})
    assert checked(field(default=7), [1.0, None]) == ([1.0, 7.0], {})
    assert checked(field(TEXT), ["a", None]) == (["a", None], {"null_not_allowed": [1]})
    assert checked(field(TEXT, default="b"), ["a", None]) == (["a", "b"], {})
    assert checked(field(pa.bool_(), default=True), [False, None]) == ([False, True], {})
    assert checked(field(TIMESTAMP), [None]) == ([None], {"null_not_allowed": [0]})


def test_nan_is_null() -> None:
    assert checked(field(), [math.nan, 1.0, None]) == ([None, 1.0, None], {"null_not_allowed": [0, 2]})
    assert checked(field(nullable=True), [math.nan, 1.0]) == ([None, 1.0], {})
    assert checked(field(F64, default=7), [math.nan, 1.0]) == ([7.0, 1.0], {})


def test_infinity_is_refused_even_where_null_is_allowed() -> None:
    _, faults = checked(field(nullable=True), [math.inf, 1.0, -math.inf, math.nan, None])

    assert faults == {"infinite": [0, 2]}


def test_large_finite_values_whose_sum_overflows_are_no_infinity() -> None:
    assert checked(field(F64), [1.7e308, 1.7e308]) == ([1.7e308, 1.7e308], {})


@pytest.mark.parametrize("type", [F32, F64, I32, I64, pa.int8()])
def test_both_ends_of_a_range_belong_to_it(type: pa.DataType) -> None:  # noqa: A002
    assert checked(field(type, minimum=0, maximum=6), [0, 6, 7, -1, 3])[1] == {"out_of_range": [2, 3]}
    assert checked(field(type, minimum=0), [7, -1])[1] == {"out_of_range": [1]}
    assert checked(field(type, maximum=6), [7, -1])[1] == {"out_of_range": [0]}
    assert checked(field(type, minimum=0), [7, 1])[1] == {}


@pytest.mark.parametrize("edge", [0.1, 0.7, 1 / 3])
def test_an_edge_is_compared_in_the_fields_type(edge: float) -> None:
    assert checked(field(F32, minimum=edge, maximum=edge), [edge])[1] == {}
    assert checked(field(F32, minimum=edge, maximum=edge), [np.nextafter(np.float32(edge), np.float32(1))])[1] != {}
    assert checked(field(F32, minimum=edge, maximum=edge), [np.nextafter(np.float32(edge), np.float32(0))])[1] != {}


def test_null_lies_in_every_range() -> None:
    assert checked(field(nullable=True, minimum=0, maximum=1), [None, 2.0])[1] == {"out_of_range": [1]}
    assert checked(field(nullable=True, minimum=0, maximum=1), [None])[1] == {}


def test_a_clipped_value_moves_to_the_edge_and_null_stays() -> None:
    both = field(nullable=True, minimum=0, maximum=1, clip=True)

    assert checked(both, [-5.0, 0.5, 5.0, None]) == ([0.0, 0.5, 1.0, None], {})
    assert checked(field(I64, minimum=1, clip=True), [0, 3]) == ([1, 3], {})
    assert checked(field(I64, maximum=1, clip=True), [0, 3]) == ([0, 1], {})
    assert checked(both, [math.inf])[1] == {"infinite": [0]}


def test_clipping_one_row_leaves_the_bits_of_the_others() -> None:
    got, _ = checked(field(maximum=0, clip=True), [1.0, -0.0])

    assert math.copysign(1, got[1]) == -1


def test_an_unknown_category_is_refused_or_becomes_the_other() -> None:
    assert checked(field(TEXT, categories=("a", "b")), ["a", "c", "b"])[1] == {"unknown_category": [1]}
    assert checked(field(TEXT, categories=("a", "b"), other="b"), ["a", "c"]) == (["a", "b"], {})
    assert checked(field(TEXT, categories=("a",), nullable=True), [None, "a"]) == ([None, "a"], {})
    assert checked(field(TEXT, categories=("a",)), [None])[1] == {"null_not_allowed": [0]}
    assert checked(field(TEXT, categories=()), ["a"])[1] == {"unknown_category": [0]}


def test_text_is_normalised_in_the_order_of_the_steps() -> None:
    assert checked(field(TEXT, normalise=("strip", "upper")), [" aä\t", None, ""])[0] == ["AÄ", None, ""]
    assert checked(field(TEXT, normalise=("lower",)), [" Aa"])[0] == [" aa"]
    assert checked(field(TEXT, normalise=("strip", "lower"), categories=("a",)), [" A ", "b"])[1] == {
        "unknown_category": [1]
    }


def test_one_row_may_break_several_rules_and_each_says_what_was_expected() -> None:
    _, faults = field(minimum=0, maximum=1).check(pa.array([math.inf, None, 2.0], F32))

    assert [(fault.code, fault.field, fault.expected, fault.rows.tolist()) for fault in faults] == [
        (FaultCode.INFINITE, "x", "a finite number", [0]),
        (FaultCode.NULL, "x", "a value", [1]),
        (FaultCode.RANGE, "x", "0 to 1", [0, 2]),
    ]
    (fault,) = field(maximum=1).check(pa.array([2.0], F32))[1]
    assert fault.expected == "any to 1"
    (fault,) = field(TEXT, categories=("a", "b")).check(pa.array(["c"]))[1]
    assert fault.expected == "one of 2 categories"


@pytest.mark.parametrize(
    "contract", [{}, {"nullable": True}, {"default": 1}, {"minimum": 0}, {"minimum": 0, "clip": True}]
)
def test_no_rows_are_no_fault(contract: dict[str, Any]) -> None:
    assert checked(field(**contract), []) == ([], {})


def test_a_slice_is_checked_where_it_lies() -> None:
    column = pa.array([9.0, None, 1.0, math.inf, 5.0, 9.0], F32).slice(1, 4)

    _, faults = field(minimum=0, maximum=4).check(column)

    assert {fault.code.value: fault.rows.tolist() for fault in faults} == {
        "null_not_allowed": [0],
        "infinite": [2],
        "out_of_range": [2, 3],
    }


def test_positions_of_a_sliced_mask() -> None:
    assert positions(pa.array([True, False, True, None, True]).slice(1)).tolist() == [1, 3]
    assert positions(pa.array([], pa.bool_())).tolist() == []


# --- Contracts that contradict themselves -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contract", "said"),
    [
        ({"nullable": True, "default": 1.0}, "is nullable and has a default"),
        ({"type": TEXT, "minimum": 0}, "has a range but is no number"),
        ({"type": TIMESTAMP, "maximum": 0}, "has a range but is no number"),
        ({"minimum": 2, "maximum": 1}, "has a minimum above its maximum"),
        ({"minimum": math.nan}, "has a range whose edges float cannot hold"),
        ({"maximum": math.inf}, "has a range whose edges float cannot hold"),
        ({"maximum": 1e300}, "has a range whose edges float cannot hold"),
        ({"type": I32, "minimum": 0.5}, "has a range whose edges int32 cannot hold"),
        ({"type": I32, "maximum": 2**40}, "has a range whose edges int32 cannot hold"),
        ({"clip": True}, "clips to a range it does not have"),
        ({"categories": ("a",)}, "has categories or normalises text, but is no string"),
        ({"normalise": ("upper",)}, "has categories or normalises text, but is no string"),
        ({"type": TEXT, "normalise": ("title",)}, "has an unknown normalisation; there are strip, upper, lower"),
        ({"type": TEXT, "categories": ("a", "a")}, "repeats a category"),
        ({"type": TEXT, "categories": ("a", 1)}, "has a category that is no text"),
        ({"type": TEXT, "categories": ("a", "B"), "normalise": ("upper",)}, "its own normalisation would change"),
        ({"type": TEXT, "categories": ("a",), "other": "b"}, "names an `other` that is not among its categories"),
        ({"type": TEXT, "other": "b"}, "names an `other` that is not among its categories"),
        ({"default": "1"}, "has a default that float cannot hold"),
        ({"default": True}, "has a default that float cannot hold"),
        ({"default": math.nan}, "has a default that float cannot hold"),
        ({"type": I32, "default": 0.5}, "has a default that int32 cannot hold"),
        ({"type": I32, "default": 2**40}, "has a default that int32 cannot hold"),
        ({"type": pa.bool_(), "default": 1}, "has a default that bool cannot hold"),
        ({"type": TEXT, "default": 1}, "has a default that string cannot hold"),
        ({"type": TIMESTAMP, "default": 1}, "has a default that timestamp[us, tz=UTC] cannot hold"),
        ({"default": 2, "maximum": 1}, "has a default that breaks its own contract"),
        ({"type": TEXT, "default": "b", "categories": ("a",)}, "has a default that breaks its own contract"),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused(contract: dict[str, Any], said: str) -> None:
    with pytest.raises(FeatureViewError) as caught:
        field(**contract)
    assert said in caught.value.what
    assert caught.value.what.startswith("field 'x' ")


def test_the_contract_is_stated_in_full_as_canonical_json() -> None:
    full = field(
        TEXT,
        default="a",
        categories=("a", "b"),
        other="b",
        normalise=("strip", "lower"),
        description="a letter",
    )

    assert full.contract() == {
        "name": "x",
        "type": "string",
        "nullable": False,
        "default": "a",
        "minimum": None,
        "maximum": None,
        "clip": False,
        "categories": ["a", "b"],
        "other": "b",
        "normalise": ["strip", "lower"],
        "description": "a letter",
    }
    assert digest.of_json(full.contract()) != digest.of_json(field(TEXT).contract())
    assert digest.canonical_json(field(minimum=0, maximum=0.5, clip=True).contract())
