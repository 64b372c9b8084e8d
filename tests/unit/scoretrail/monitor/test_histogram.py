from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from scoretrail import digest
from scoretrail.errors import BundleError
from scoretrail.feature.schema import Field
from scoretrail.monitor.histogram import CategoryBins, Counts, NumberBins

BINS = NumberBins(edges=(0.0, 10.0), minimum=-5.0, maximum=20.0)
WORDS = CategoryBins(names=("b", "a"), others=("c", "d"))


# --- Numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [pa.float32(), pa.float64(), pa.int32(), pa.int64()])
def test_a_bin_ends_with_its_edge(given: pa.DataType) -> None:
    assert BINS.count(pa.array([-1, 0, 1, 10, 11], given)).bins == (2, 2, 1)


@pytest.mark.parametrize("given", [pa.float32(), pa.float64(), pa.int32(), pa.int64()])
def test_what_is_outside_the_range_is_told_and_is_in_the_end_bins_too(given: pa.DataType) -> None:
    counts = BINS.count(pa.array([-6, -5, 20, 21, 22], given))

    assert (counts.below, counts.above) == (1, 2)
    assert counts.bins == (2, 0, 3)
    assert (counts.low, counts.high) == (-6.0, 22.0)


def test_null_and_nan_are_missing_and_infinities_are_told() -> None:
    counts = BINS.count(pa.array([1.0, None, math.nan, math.inf, -math.inf, 2.0], from_pandas=False))

    assert counts == Counts(rows=6, bins=(0, 2, 0), missing=2, infinite=2, low=1.0, high=2.0)
    assert counts.present == 2


def test_an_infinity_is_not_out_of_range() -> None:
    assert BINS.count(pa.array([1.0, math.inf])).above == 0
    assert BINS.count(pa.array([1.0, 1e300])).above == 1


@pytest.mark.parametrize(
    "column",
    [
        pa.array([None, None], pa.float32()),
        pa.array([None, None], pa.int64()),
        pa.array([math.nan, None], pa.float64(), from_pandas=False),
    ],
)
def test_a_column_without_a_value_has_neither_ends_nor_bins(column: pa.Array) -> None:
    assert BINS.count(column) == Counts(rows=2, bins=(0, 0, 0), missing=2)


def test_no_rows_are_no_counts() -> None:
    assert BINS.count(pa.array([], pa.float32())) == Counts(rows=0, bins=(0, 0, 0))
    assert WORDS.count(pa.array([], pa.string())) == Counts(rows=0, bins=(0, 0, 0, 0))


def test_without_edges_there_is_one_bin_and_without_a_range_nothing_is_outside() -> None:
    assert NumberBins().count(pa.array([1.0, 1e9])) == Counts(rows=2, bins=(2,), low=1.0, high=1e9)


def test_a_negative_zero_is_counted_and_read_as_zero() -> None:
    counts = NumberBins(edges=(0.0,), minimum=0.0, maximum=0.0).count(pa.array([-0.0, 0.0]))

    assert (counts.bins, counts.below) == ((2, 0), 0)
    assert math.copysign(1, counts.low or 0.0) == math.copysign(1, counts.high or 0.0) == 1


def test_the_smallest_steps_of_a_type_are_told_apart() -> None:
    """An edge that is exact in float32 parts it from the next float32, which rounding would not."""
    edge = np.float32(0.1)
    column = pa.array([edge, np.nextafter(edge, np.float32(1))], pa.float32())

    assert NumberBins(edges=(float(edge),)).count(column).bins == (1, 1)


def test_large_integers_are_compared_as_integers() -> None:
    """As floats, 2**53 and 2**53 + 1 are equal."""
    bins = NumberBins(edges=(2**53,), minimum=2**53 - 1, maximum=2**53)

    counts = bins.count(pa.array([2**53 - 2, 2**53, 2**53 + 1]))

    assert (counts.bins, counts.below, counts.above) == ((2, 1), 1, 1)
    assert (counts.low, counts.high) == (2**53 - 2, 2**53 + 1)


@pytest.mark.parametrize("edge", [2**53 + 1, 2**63 - 1, -(2**63), 0.1, 7.0])
def test_an_edge_is_the_same_number_of_the_same_kind_in_its_text(edge: float) -> None:
    bins = NumberBins(edges=(edge,), minimum=edge, maximum=edge)

    again = NumberBins.model_validate_json(digest.canonical_json(bins.model_dump(mode="json")))

    assert again == bins
    assert {type(end) for end in (*again.edges, again.minimum, again.maximum)} == {type(edge)}


@pytest.mark.parametrize(("given", "kind"), [(pa.int32(), int), (pa.int64(), int), (pa.float64(), float)])
def test_the_ends_are_numbers_of_the_columns_kind(given: pa.DataType, kind: type) -> None:
    counts = BINS.count(pa.array([1, 2], given))

    assert (type(counts.low), type(counts.high)) == (kind, kind)


def test_the_least_and_the_largest_integer_are_counted() -> None:
    counts = NumberBins(edges=(0.0,), minimum=-1.0, maximum=1.0).count(pa.array([-(2**63), 2**63 - 1]))

    assert (counts.bins, counts.below, counts.above) == ((1, 1), 1, 1)


@pytest.mark.parametrize("largest", [2**63 - 1, 2.0**63], ids=["itself", "the float next to it"])
def test_an_edge_may_be_the_largest_integer(largest: float) -> None:
    column = pa.array([5, 2**63 - 1])

    assert NumberBins(edges=(largest,)).count(column).bins == (2, 0)
    assert NumberBins(minimum=largest).count(column).below >= 1
    assert NumberBins(maximum=largest).count(column).above == 0


def test_how_many_large_integers_are_outside_does_not_depend_on_the_split() -> None:
    bins, column = NumberBins(maximum=2**53), pa.array([2**53 + 1, 2**53 + 4])

    assert bins.count(column[:1]) + bins.count(column[1:]) == bins.count(column)
    assert bins.count(column).above == 2


def test_a_slice_is_counted_without_its_surroundings() -> None:
    column = pa.array([99, None, 1, 5, None, 99], pa.int32()).slice(1, 4)

    assert BINS.count(column) == Counts(rows=4, bins=(0, 2, 0), missing=2, low=1.0, high=5.0)


# --- Words ------------------------------------------------------------------------------------------------------------

PLAIN = pa.array(["a", "b", None, "c", "d", "x", "b"])
SPELLINGS: dict[str, pa.Array] = {
    "plain": PLAIN,
    "large": PLAIN.cast(pa.large_string()),
    "dictionary": PLAIN.dictionary_encode(),
    "large dictionary": PLAIN.cast(pa.large_string()).dictionary_encode(),
    "slice": pa.concat_arrays([pa.array(["x", None]), PLAIN]).slice(2),
    "slice of a dictionary": pa.concat_arrays([pa.array(["x", None]), PLAIN]).dictionary_encode().slice(2),
    "words that nobody uses": pa.DictionaryArray.from_arrays(
        pa.array([1, 2, None, 3, 4, 5, 2], pa.int8()), pa.array(["unused", "a", "b", "c", "d", "x"])
    ),
    "wide codes": pa.DictionaryArray.from_arrays(
        pa.array([0, 1, None, 2, 3, 4, 1], pa.uint64()), pa.array(["a", "b", "c", "d", "x"])
    ),
    "a word twice": pa.DictionaryArray.from_arrays(
        pa.array([0, 1, None, 2, 3, 4, 5], pa.int32()), pa.array(["a", "b", "c", "d", "x", "b"])
    ),
}


@pytest.mark.parametrize("column", SPELLINGS.values(), ids=SPELLINGS)
def test_words_are_counted_by_name_others_and_unseen_in_every_layout(column: pa.Array) -> None:
    assert WORDS.count(column) == Counts(rows=7, bins=(2, 1, 2, 1), missing=1)


def test_words_are_counted_in_a_view_of_strings() -> None:
    assert WORDS.count(PLAIN.cast(pa.string_view())) == WORDS.count(PLAIN)
    assert WORDS.count(PLAIN.cast(pa.string_view()).slice(2, 3)) == WORDS.count(PLAIN.slice(2, 3))


def test_a_null_of_the_dictionary_is_missing() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int8()), pa.array(["a", None]))

    assert WORDS.count(column).missing == WORDS.count(column.dictionary_decode()).missing == 2


def test_where_not_all_words_are_listed_none_is_unseen() -> None:
    bins = CategoryBins(names=("b", "a"), others=("c", "d"), is_complete=False)

    assert bins.count(PLAIN).bins == (2, 1, 3, 0)


def test_words_are_counted_in_the_spelling_of_their_contract() -> None:
    spell = Field(name="word", type=pa.string(), normalise=("strip", "lower")).conform
    column = pa.array([" A", "a ", "B", "C", "X"])

    assert WORDS.count(column, spell).bins == (1, 2, 1, 1)
    assert WORDS.count(column.dictionary_encode(), spell).bins == (1, 2, 1, 1)
    assert WORDS.count(column).bins == (0, 0, 0, 5)


def test_an_empty_word_is_a_word() -> None:
    assert CategoryBins(names=("",)).count(pa.array(["", None, ""])).bins == (2, 0, 0)


@pytest.mark.parametrize("encoded", [False, True])
def test_booleans_are_counted_as_the_words_true_and_false(encoded: bool) -> None:
    column = pa.array([True, None, True, False])

    counts = CategoryBins(names=("true", "false")).count(column.dictionary_encode() if encoded else column)

    assert counts == Counts(rows=4, bins=(2, 1, 0, 0), missing=1)


# --- Counts -----------------------------------------------------------------------------------------------------------


def test_counts_add_up() -> None:
    a = Counts(5, (1, 2), missing=1, infinite=1, below=1, above=0, low=-1.0, high=3.0)
    b = Counts(4, (0, 3), missing=1, infinite=0, below=0, above=2, low=0.5, high=9.0)

    assert a + b == b + a == Counts(9, (1, 5), missing=2, infinite=1, below=1, above=2, low=-1.0, high=9.0)


def test_what_has_no_ends_does_not_change_those_of_the_other() -> None:
    a, nothing = Counts(1, (1,), low=0.0, high=0.0), Counts(1, (0,), missing=1)

    assert (a + nothing).low == (nothing + a).high == 0.0
    assert (nothing + nothing).low is None


def test_counts_of_another_number_of_bins_are_refused() -> None:
    with pytest.raises(BundleError, match="counts of other bins cannot be added") as caught:
        Counts(1, (1, 0)) + Counts(1, (1, 0, 0))
    assert (caught.value.expected, caught.value.got) == ("2", "3")


@pytest.mark.parametrize(
    "counts", [BINS.count(pa.array([-9.5, 0.1, None, math.inf, 1e300])), WORDS.count(PLAIN), Counts(0, ())]
)
def test_counts_come_back_from_their_text(counts: Counts) -> None:
    assert Counts.from_json(json.loads(digest.canonical_json(counts.to_json()))) == counts


# --- Bins -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (NumberBins, {"edges": [math.nan]}),
        (NumberBins, {"maximum": math.inf}),
        (NumberBins, {"names": ["a"]}),
        (NumberBins, {"kind": "category"}),
        (CategoryBins, {"edges": [1.0]}),
        (CategoryBins, {"names": [1]}),
    ],
)
def test_bins_that_are_none_are_refused(kind: type[NumberBins | CategoryBins], fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind.model_validate(fields)


def test_a_number_of_bins_is_what_counts_have() -> None:
    assert BINS.size == len(BINS.count(pa.array([1.0])).bins) == 3
    assert WORDS.size == len(WORDS.count(PLAIN).bins) == 4
