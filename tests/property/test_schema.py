"""A column's contract against the same contract written row by row in plain Python."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from scoretrail.errors import FeatureViewError
from scoretrail.feature.schema import FaultCode, Field

FLOAT32 = st.floats(width=32)
EDGES = st.none() | st.floats(-10, 10, width=32)


def bits(value: Any) -> Any:
    return np.float64(value).tobytes() if isinstance(value, float) else value


def expected_number(field: Field, value: float | None) -> tuple[float | None, set[FaultCode]]:
    """Return what one number becomes, and why it is refused."""
    faults = set()
    if value is None or math.isnan(value):
        value = field.default  # type: ignore[assignment]
        if value is None:
            return None, set() if field.nullable else {FaultCode.NULL}
    if math.isinf(value):
        faults.add(FaultCode.INFINITE)
    low = -math.inf if field.minimum is None else field.minimum
    high = math.inf if field.maximum is None else field.maximum
    if field.clip:
        value = min(max(value, low), high)
    elif not low <= value <= high:
        faults.add(FaultCode.RANGE)
    return float(np.float32(value)), faults


def checked(field: Field, column: pa.Array) -> tuple[list[Any], list[set[FaultCode]]]:
    column, faults = field.check(field.conform(column))
    codes: list[set[FaultCode]] = [set() for _ in range(len(column))]
    for fault in faults:
        assert fault.rows.tolist() == sorted(set(fault.rows.tolist()))
        for row in fault.rows:
            codes[row].add(fault.code)
    return column.to_pylist(), codes


def numbers(**contract: Any) -> Field | None:
    """Return the field, or None where the contract contradicts itself."""
    try:
        return Field(name="x", type=pa.float32(), **contract)
    except FeatureViewError:
        return None


@given(
    values=st.lists(st.none() | FLOAT32, max_size=30),
    minimum=EDGES,
    maximum=EDGES,
    clip=st.booleans(),
    nullable=st.booleans(),
    default=st.none() | st.floats(-10, 10, width=32),
    start=st.integers(0, 5),
)
def test_numbers(values: list[float | None], start: int, **contract: Any) -> None:
    field = numbers(**contract)
    if field is None:
        return

    got, codes = checked(field, pa.array(values, pa.float32(), from_pandas=False).slice(start))

    wanted = [expected_number(field, value) for value in values[start:]]
    assert codes == [faults for _, faults in wanted]
    # Where a row is refused, what stands in it does not matter.
    good = [i for i, (_, faults) in enumerate(wanted) if not faults]
    assert [bits(got[i]) for i in good] == [bits(wanted[i][0]) for i in good]


WORDS = st.sampled_from(["a", "b", "A", " a", "b ", "c", "", "ä", "Ä "])


@given(
    values=st.lists(st.none() | WORDS, max_size=30),
    categories=st.none() | st.lists(st.sampled_from(["a", "b", "A", "B", "ä"]), unique=True).map(tuple),
    steps=st.lists(st.sampled_from(["strip", "upper", "lower"]), max_size=3).map(tuple),
    other=st.none() | st.sampled_from(["a", "B"]),
    default=st.none() | st.sampled_from(["a", "B", "zz"]),
)
def test_text(
    values: list[str | None],
    categories: tuple[str, ...] | None,
    steps: tuple[str, ...],
    other: str | None,
    default: str | None,
) -> None:
    try:
        field = Field(name="x", type=pa.string(), categories=categories, normalise=steps, other=other, default=default)
    except FeatureViewError:
        return

    got, codes = checked(field, pa.array(values, pa.large_string()))

    for value, seen, found in zip(values, got, codes, strict=True):
        wanted = value
        for step in steps:
            wanted = getattr(str, step)(wanted) if wanted is not None else None
        wanted = default if wanted is None else wanted
        unknown = wanted is not None and categories is not None and wanted not in categories
        if unknown and other is not None:
            wanted, unknown = other, False
        assert found == ({FaultCode.NULL} if wanted is None else {FaultCode.CATEGORY} if unknown else set())
        assert found or seen == wanted


@given(values=st.lists(st.none() | FLOAT32, min_size=1, max_size=20))
def test_a_row_is_judged_alone_as_among_others(values: list[float | None]) -> None:
    field = Field(name="x", type=pa.float32(), minimum=-1, maximum=1)
    column = pa.array(values, pa.float32(), from_pandas=False)

    together, codes = checked(field, column)

    for i in range(len(values)):
        alone, code = checked(field, column.slice(i, 1))
        assert (bits(alone[0]), code[0]) == (bits(together[i]), codes[i])


TYPES = [
    pa.int8(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
    pa.uint8(),
    pa.uint16(),
    pa.uint32(),
    pa.uint64(),
    pa.float16(),
    pa.float32(),
    pa.float64(),
]


@given(data=st.data(), given_type=st.sampled_from(TYPES), wanted=st.sampled_from(TYPES))
def test_an_accepted_type_keeps_every_value(data: st.DataObject, given_type: pa.DataType, wanted: pa.DataType) -> None:
    field = Field(name="x", type=wanted)
    if not field.accepts(given_type):
        return
    if pa.types.is_floating(given_type):
        values: list[Any] = data.draw(st.lists(st.floats(width=given_type.bit_width, allow_nan=False)))
        column = pa.array(np.array(values, dtype=given_type.to_pandas_dtype()))
    else:
        info = np.iinfo(given_type.to_pandas_dtype())
        values = data.draw(st.lists(st.integers(int(info.min), int(info.max))))
        column = pa.array(values, given_type)

    assert field.conform(column).to_pylist() == values
