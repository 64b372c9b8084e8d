"""Counts are exact: those of any parts, added in any order, are those of the whole, value by value."""

from __future__ import annotations

import functools
import json
import math
import operator
from bisect import bisect_left
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoretrail import digest
from scoretrail.monitor.histogram import CategoryBins, Counts, NumberBins
from scoretrail.monitor.tally import Tally
from tests.factory.watched import counted, readings, reference

INT64 = (-(2**63), 2**63 - 1)
FLOATS = {
    "float32": (pa.float32(), st.floats(width=32)),
    "float64": (pa.float64(), st.floats() | st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf])),
}
INTEGERS = {
    "int32": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "int64": (pa.int64(), st.integers(*INT64) | st.integers(-50, 50) | st.sampled_from([*INT64, 0])),
}
WORDS = st.sampled_from(["a", "b", "c", "d", "", "é", " a"])
WORD_TYPES = {
    "plain": pa.string(),
    "large": pa.large_string(),
    "view": pa.string_view(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
    "large dictionary": pa.dictionary(pa.int8(), pa.large_string()),
}
CUTS = st.lists(st.integers(0, 60), max_size=6)


def added(column: pa.Array, bins: NumberBins | CategoryBins, cuts: list[int], order: int) -> Counts:
    """Return the counts of a column that is cut into slices, which are added in a shuffled order."""
    ends = [0, *sorted(min(cut, len(column)) for cut in cuts), len(column)]
    parts = [bins.count(column.slice(start, stop - start)) for start, stop in pairwise(ends)]
    np.random.default_rng(order).shuffle(parts)
    return functools.reduce(operator.add, parts)


def naive(bins: NumberBins, values: list[Any]) -> Counts:
    """Return the counts, one value at a time."""
    there = [value for value in values if value is not None and not math.isnan(value)]
    finite = [value for value in there if math.isfinite(value)]
    places = Counter(bisect_left(bins.edges, value) for value in finite)
    return Counts(
        rows=len(values),
        bins=tuple(places[i] for i in range(bins.size)),
        missing=len(values) - len(there),
        infinite=len(there) - len(finite),
        below=sum(bins.minimum is not None and value < bins.minimum for value in finite),
        above=sum(bins.maximum is not None and value > bins.maximum for value in finite),
        low=min(finite, default=None),
        high=max(finite, default=None),
    )


@st.composite
def number_bins(draw: st.DrawFn, edges: st.SearchStrategy[float], ends: st.SearchStrategy[float]) -> NumberBins:
    low, high = (draw(st.none() | ends) for _ in range(2))
    if low is not None and high is not None:
        low, high = min(low, high), max(low, high)
    return NumberBins(
        edges=tuple(sorted({edge + 0 for edge in draw(st.lists(edges, max_size=12))})), minimum=low, maximum=high
    )


@st.composite
def floats(draw: st.DrawFn, width: int, values: st.SearchStrategy[float]) -> tuple[NumberBins, list[float | None]]:
    """Draw bins and values, some of which are edges."""
    finite = st.floats(allow_nan=False, allow_infinity=False, width=32 if width == 32 else 64)
    bins = draw(number_bins(finite | st.integers(-5, 5).map(float), finite))
    some = values | st.integers(-6, 6).map(float)
    if bins.edges:
        some |= st.sampled_from(bins.edges)
    return bins, draw(st.lists(st.none() | some, max_size=60))


@st.composite
def integers(draw: st.DrawFn, values: st.SearchStrategy[int], limit: int) -> tuple[NumberBins, list[int | None]]:
    """Draw bins, whose edges and ends are any integers of the type, and values, some of which are edges."""
    whole = st.integers(-limit, limit - 1) | st.integers(-100, 100)
    bins = draw(number_bins(whole, whole))
    some = values | st.integers(-101, 101)
    if bins.edges:
        some |= st.sampled_from([int(edge) for edge in bins.edges])
    return bins, draw(st.lists(st.none() | some, max_size=60))


@pytest.mark.parametrize("name", FLOATS)
@given(data=st.data(), cuts=CUTS, order=st.integers(0, 99))
def test_floats(name: str, data: st.DataObject, cuts: list[int], order: int) -> None:
    given_type, strategy = FLOATS[name]
    bins, values = data.draw(floats(given_type.bit_width, strategy))
    column = pa.array(values, given_type, from_pandas=False)

    whole = bins.count(column)

    assert whole == naive(bins, column.to_pylist())
    assert added(column, bins, cuts, order).to_json() == whole.to_json()
    assert [math.copysign(1, end) for end in (whole.low, whole.high) if end == 0] == [1.0] * (
        (whole.low == 0) + (whole.high == 0)
    )


@pytest.mark.parametrize("name", INTEGERS)
@given(data=st.data(), cuts=CUTS, order=st.integers(0, 99))
def test_integers(name: str, data: st.DataObject, cuts: list[int], order: int) -> None:
    given_type, strategy = INTEGERS[name]
    bins, values = data.draw(integers(strategy, 2 ** (given_type.bit_width - 1)))
    column = pa.array(values, given_type)

    whole = bins.count(column)

    assert whole == naive(bins, values)
    assert added(column, bins, cuts, order).to_json() == whole.to_json()
    assert {type(end) for end in (whole.low, whole.high)} <= {int, type(None)}


@pytest.mark.parametrize("name", WORD_TYPES)
@given(
    values=st.lists(st.none() | WORDS, max_size=60),
    names=st.lists(WORDS, unique=True, max_size=5),
    listed=st.integers(0, 5),
    is_complete=st.booleans(),
    cuts=CUTS,
    order=st.integers(0, 99),
)
def test_words(
    name: str,
    values: list[str | None],
    names: list[str],
    listed: int,
    is_complete: bool,
    cuts: list[int],
    order: int,
) -> None:
    named, others = names[:listed], names[listed:]
    bins = CategoryBins(names=tuple(named), others=tuple(others), is_complete=is_complete)
    column = pa.array(values, pa.string()).cast(WORD_TYPES[name])

    whole = bins.count(column)

    there = [value for value in values if value is not None]
    unknown = sum(value not in names for value in there)
    rest = sum(value in others for value in there)
    last = (rest, unknown) if is_complete else (rest + unknown, 0)
    assert whole == Counts(len(values), (*(there.count(one) for one in named), *last), len(values) - len(there))
    assert added(column, bins, cuts, order) == whole


@given(values=st.lists(st.none() | st.booleans(), max_size=60), cuts=CUTS, order=st.integers(0, 99))
def test_booleans(values: list[bool | None], cuts: list[int], order: int) -> None:
    bins, column = CategoryBins(names=("true",), others=("false",)), pa.array(values, pa.bool_())

    whole = bins.count(column)

    assert whole == Counts(len(values), (values.count(True), values.count(False), 0), values.count(None))
    assert added(column, bins, cuts, order) == whole


# --- What is counted of scored batches --------------------------------------------------------------------------------

ROWS = 240


@functools.cache
def awkward() -> pa.Table:
    """Return records with everything that may be wrong with them; some have no score."""
    random = np.random.default_rng(8)
    numbers = [0.0, -0.0, 1.5, 49.0, 51.0, math.nan, math.inf, -math.inf, None]
    return readings(
        ROWS,
        x=pa.array(random.choice(np.array(numbers, object), ROWS).tolist(), pa.float32(), from_pandas=False),
        amount=pa.array(random.choice(np.array([*numbers, 1e308], object), ROWS).tolist(), from_pandas=False),
        n=pa.array(random.choice(np.array([*INT64, 0, 20, None], object), ROWS).tolist(), pa.int64()),
        word=pa.array(random.choice(np.array(["A", " a", "new", "", None], object), ROWS).tolist()),
    )


@functools.cache
def whole() -> Tally:
    return counted(reference(), awkward().combine_chunks())


@given(cuts=st.lists(st.integers(0, ROWS), max_size=5), order=st.permutations(range(6)), as_dictionary=st.booleans())
def test_the_digest_is_that_of_the_whole(cuts: list[int], order: list[int], as_dictionary: bool) -> None:
    records = awkward()
    if as_dictionary:
        at = records.schema.get_field_index("word")
        records = records.set_column(at, "word", records.column("word").dictionary_encode())
    ends = [0, *sorted(cuts), ROWS]
    parts = [counted(reference(), records.slice(start, stop - start)) for start, stop in pairwise(ends)]

    tally = functools.reduce(operator.add, [parts[i] for i in order if i < len(parts)])

    assert tally == whole()
    assert tally.digest == whole().digest
    assert Tally.from_json(json.loads(digest.canonical_json(tally.to_json()))).digest == whole().digest


@given(row=st.integers(0, ROWS - 1))
def test_a_row_less_is_another_digest(row: int) -> None:
    """The control: a digest of nothing would be equal, too."""
    rest = pa.concat_tables([awkward().slice(0, row), awkward().slice(row + 1)])

    assert counted(reference(), rest.combine_chunks()).digest != whole().digest


@given(seed=st.integers(0, 999))
def test_another_order_of_rows_is_the_same_digest(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(ROWS)

    assert counted(reference(), awkward().take(pa.array(order)).combine_chunks()).digest == whole().digest
