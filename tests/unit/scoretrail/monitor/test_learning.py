from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoretrail.monitor.baseline import BASELINE, SAMPLE, Baseline, Column
from scoretrail.monitor.histogram import CategoryBins, NumberBins
from scoretrail.monitor.learning import build, learn, of_table, pictured
from scoretrail.monitor.measure import measure
from scoretrail.monitor.threshold import Threshold
from tests.factory.watched import (
    DAY_US,
    DAYS,
    HOUR_US,
    REFERENCE_ROWS,
    START_US,
    learnt,
    readings,
    reference,
    watched_bundle,
)

ROWS = 2_000
RANDOM = np.random.default_rng(6)


def column_of(baseline: Baseline, name: str) -> Column:
    (found,) = [one for one in baseline.columns if one.name == name]
    return found


def learnt_of(name: str, values: Any) -> Column:
    return column_of(learnt(readings(len(values), **{name: values})), name)


def edges_of(values: Any) -> tuple[float, ...]:
    """Return the edges of a column of float64."""
    bins = learnt_of("amount", pa.array(values, pa.float64())).bins
    assert isinstance(bins, NumberBins)
    return bins.edges


def words_of(values: Any) -> CategoryBins:
    bins = learnt_of("word", pa.array(values, pa.string())).bins
    assert isinstance(bins, CategoryBins)
    return bins


# --- Bins of numbers --------------------------------------------------------------------------------------------------


def test_many_values_have_ten_bins_of_about_the_same_number() -> None:
    column = learnt_of("amount", pa.array(RANDOM.lognormal(0, 1, ROWS)))

    shares = np.array(column.counts.bins) / ROWS
    assert len(shares) == 10
    assert shares == pytest.approx(np.full(10, 0.1), abs=0.03)


def test_a_few_values_have_a_bin_each() -> None:
    assert edges_of(np.repeat([3.0, 1.0, 2.0, 2.5], 100)) == (1.0, 2.0, 2.5)
    assert len(edges_of(np.repeat(np.arange(20), 100))) == 19
    assert len(edges_of(np.repeat(np.arange(21), 100))) == 9


def test_edges_are_values_of_the_sample_and_exact_in_the_columns_type() -> None:
    x = RANDOM.normal(0, 1, ROWS).astype(np.float32)

    bins = learnt_of("x", pa.array(x)).bins

    assert isinstance(bins, NumberBins)
    assert {float(np.float32(edge)) for edge in bins.edges} == set(bins.edges)
    assert set(bins.edges) <= set(x[::2].tolist())


def test_a_value_that_most_rows_have_gets_a_bin_of_its_own_and_the_others_are_parted_evenly() -> None:
    random = np.random.default_rng(8)
    zeros = np.where(random.random(ROWS) < 0.92, 0.0, random.gamma(2, 1, ROWS))
    column = learnt_of("amount", pa.array(zeros))

    assert isinstance(column.bins, NumberBins)
    assert column.bins.edges[0] == 0.0
    first, *others = column.counts.bins
    assert first == np.count_nonzero(zeros == 0)
    assert len(others) == 9
    assert max(others) < 2 * sum(others) / len(others)


def test_so_does_a_largest_value() -> None:
    random = np.random.default_rng(8)
    full = np.where(random.random(ROWS) < 0.92, 100.0, random.uniform(0, 99, ROWS))
    column = learnt_of("amount", pa.array(full))

    *others, last = column.counts.bins
    assert last == np.count_nonzero(full >= full[::2][full[::2] < 100].max() + 1e-9)
    assert len(others) == 9


def test_a_constant_column_has_one_bin_and_no_deviation() -> None:
    column = learnt_of("amount", pa.array([4.5] * 600))

    assert column.bins == NumberBins(centres=(4.5,), minimum=4.5, maximum=4.5)
    assert (column.deviation, column.counts.bins) == (0.0, (600,))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("amount", pa.array([None] * 600, pa.float64())),
        ("amount", pa.array([np.nan] * 600, pa.float64(), from_pandas=False)),
        ("amount", pa.array([np.inf, -np.inf] * 300)),
        ("n", pa.array([None] * 600, pa.int64())),
    ],
)
def test_a_column_without_a_finite_value_has_one_bin_and_no_range(name: str, values: pa.Array) -> None:
    column = learnt_of(name, values)

    assert column.bins == NumberBins()
    assert (column.deviation, column.counts.bins) == (None, (0,))
    assert column.counts.missing + column.counts.infinite == 600


def test_one_far_value_of_the_sample_does_not_make_the_deviation_its_own() -> None:
    values = RANDOM.normal(0, 2, ROWS)
    values[0] = 1e9  # the first place of any sample

    deviation = learnt_of("amount", pa.array(values)).deviation

    assert deviation == pytest.approx(2, rel=0.05)
    assert values.std() > 1e6


def test_the_range_is_that_of_all_rows_and_the_deviation_that_of_the_sample() -> None:
    values = RANDOM.normal(0, 2, ROWS)
    values[1] = 1e9  # not among the even places of the sample

    column = learnt_of("amount", pa.array(values))

    assert isinstance(column.bins, NumberBins)
    assert (column.bins.minimum, column.bins.maximum) == (values.min(), 1e9)
    sample = values[::2]
    near = np.quantile(sample, [0.005, 0.995], method="nearest")
    assert column.deviation == pytest.approx(np.clip(sample, *near).std())


LARGEST = 1.7976931348623157e308


def test_the_largest_number_may_stand_for_a_missing_one() -> None:
    values = pa.array([1.0] * 600 + [LARGEST] * 300)

    baseline = learnt(readings(900, amount=values))

    column = column_of(baseline, "amount")
    assert (column.counts.bins, column.counts.high, column.deviation) == ((600, 300), LARGEST, None)
    assert Baseline.from_bytes(baseline.to_bytes()) == baseline
    assert {one.value for one in measure(column.reference, column.counts)} == {0.0}


def test_the_largest_numbers_of_both_signs_may_be_values() -> None:
    column = learnt_of("amount", pa.array([-LARGEST] * 300 + [1.0] * 300 + [LARGEST] * 300))

    assert (column.counts.bins, column.deviation) == ((300, 300, 300), None)


def test_the_largest_integers_may_be_values() -> None:
    baseline = learnt(readings(600, n=pa.array([2**63 - 2] * 300 + [2**63 - 1] * 300)))

    column = column_of(baseline, "n")
    assert isinstance(column.bins, NumberBins)
    assert (column.bins.edges, column.bins.minimum, column.bins.maximum) == ((2**63 - 2,), 2**63 - 2, 2**63 - 1)
    assert column.counts.bins == (300, 300)
    assert Baseline.from_bytes(baseline.to_bytes()).to_bytes() == baseline.to_bytes()


def test_the_edges_of_integers_are_integers() -> None:
    bins = learnt_of("n", pa.array(RANDOM.integers(2**60, 2**60 + 10_000, ROWS))).bins

    assert isinstance(bins, NumberBins)
    assert {type(edge) for edge in (*bins.edges, bins.minimum, bins.maximum)} == {int}
    assert len(bins.edges) == 9


def test_the_centre_of_a_bin_is_the_mean_of_its_values_in_the_sample() -> None:
    values = RANDOM.normal(0, 1, ROWS)
    sample = values[::2]

    bins = learnt_of("amount", pa.array(values)).bins

    assert isinstance(bins, NumberBins)
    places = np.searchsorted(bins.edges, sample)
    means = [float(sample[places == i].mean()) for i in range(10)]
    assert bins.centres[1:-1] == pytest.approx(means[1:-1])
    # In the first and the last bin the farthest values count as nearer ones.
    assert (means[0] < bins.centres[0] < means[0] + 0.2, means[-1] > bins.centres[-1] > means[-1] - 0.2) == (True, True)


def test_one_far_value_of_the_sample_does_not_make_a_centre_its_own() -> None:
    values = np.arange(ROWS, dtype=np.float64)
    near = learnt_of("amount", pa.array(values)).bins
    values[-2] = 1e12  # among the even places of the sample

    far = learnt_of("amount", pa.array(values)).bins

    assert isinstance(near, NumberBins)
    assert isinstance(far, NumberBins)
    assert far.centres == pytest.approx(near.centres)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.004])
def test_of_few_values_each_is_the_centre_of_its_bin(share: float) -> None:
    values = np.zeros(ROWS)
    values[: 2 * round(share * ROWS / 2)] = 1.0

    bins = learnt_of("amount", pa.array(values)).bins

    assert isinstance(bins, NumberBins)
    assert bins.centres == (0.0, 1.0)


# --- Bins of words ----------------------------------------------------------------------------------------------------


def test_words_are_named_by_how_frequent_they_are_and_then_by_the_alphabet() -> None:
    assert words_of(["D"] * 3 + ["B"] * 5 + ["C"] * 5 + [None]).names == ("B", "C", "D")


def test_words_are_learnt_in_the_spelling_of_their_contract() -> None:
    assert words_of([" a", "A", "b"] * 10).names == ("A", "B")


def test_a_hundred_words_are_named_and_the_others_known() -> None:
    given = [f"W{i:03d}" for i in range(150)]

    bins = words_of(given + given[:120])

    assert bins.names == tuple(given[:100])
    assert bins.others == tuple(given[100:])
    assert bins.is_complete


@functools.cache
def many(words: int) -> Column:
    return learnt_of("word", pa.array([f"W{i:05d}" for i in range(words)] * 2))


def test_ten_thousand_words_are_known() -> None:
    bins = many(10_000).bins

    assert isinstance(bins, CategoryBins)
    assert (len(bins.names), len(bins.others), bins.is_complete) == (100, 9_900, True)
    assert many(10_000).counts.bins == (*[2] * 100, 19_800, 0)


def test_more_than_ten_thousand_words_are_not_all_known_and_all_counted() -> None:
    bins = many(10_001).bins

    assert isinstance(bins, CategoryBins)
    assert (len(bins.names), len(bins.others), bins.is_complete) == (100, 9_900, False)
    assert many(10_001).counts.bins == (*[2] * 100, 19_802, 0)
    assert bins.count(pa.array(["W10000", "never"])).bins[-2:] == (2, 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "b"] * 50, 0.0),
        ([*["a"] * 98, "b", "c"], 0.02),
        ([*["a"] * 48, "b", "c", *[None] * 50], 0.04),
        ([f"w{i}" for i in range(100)], 1.0),
        ([None] * 100, 0.0),
    ],
)
def test_as_many_unseen_words_are_expected_as_came_once_of_the_rows_with_a_word(
    values: list[str | None], expected: float
) -> None:
    assert words_of(values).expected_unseen == pytest.approx(expected)


def test_the_expected_share_of_unseen_words_is_that_of_later_rows() -> None:
    """Good's estimate, tried: of words with a long tail, what share of other rows has a word that is not known."""
    shares = 1 / np.arange(1, 5_001)
    drawn = [f"W{i}" for i in np.random.default_rng(7).choice(5_000, 40_000, p=shares / shares.sum())]

    bins = words_of(drawn[:8_000])

    unseen = bins.count(pa.array(drawn[8_000:])).bins[-1] / 32_000
    assert bins.expected_unseen == pytest.approx(unseen, rel=0.1)
    assert unseen > 0.05


def test_flags_are_words() -> None:
    column = column_of(reference(), "flag")

    assert column.bins == CategoryBins(names=("false", "true"))
    assert column.deviation is None


# --- All of the reference ---------------------------------------------------------------------------------------------


def test_all_rows_are_counted_and_some_choose_the_edges() -> None:
    assert (reference().rows, reference().sample_rows) == (REFERENCE_ROWS, REFERENCE_ROWS // 2)
    assert {one.counts.rows for one in reference().columns} == {REFERENCE_ROWS}


def test_a_rejected_row_of_the_reference_is_in_its_request_columns_only() -> None:
    x = pa.array([99.0] * 5 + [0.5] * 395, pa.float32())

    baseline = learnt(readings(400, x=x))

    assert (column_of(baseline, "x").counts.rows, column_of(baseline, "score").counts.rows) == (400, 395)


@pytest.mark.parametrize("batch_rows", [997, 5_000])
def test_the_batches_of_the_reference_do_not_matter(batch_rows: int) -> None:
    assert learnt(readings(REFERENCE_ROWS), batch_rows=batch_rows).to_bytes() == reference().to_bytes()


def test_the_order_of_the_batches_does_not_matter() -> None:
    records = readings(REFERENCE_ROWS)
    sample = records.take(pa.array(np.arange(0, REFERENCE_ROWS, 2)))

    turned = build(watched_bundle(), sample, records.to_batches(3_000)[::-1])

    assert turned.to_bytes() == reference().to_bytes()


def test_another_value_is_another_baseline() -> None:
    records = readings(REFERENCE_ROWS)
    n = records.column("n").to_pylist()

    other = learnt(readings(REFERENCE_ROWS, n=pa.array([n[0] + 1, *n[1:]])))

    assert other.to_bytes() != reference().to_bytes()


def test_a_reference_without_rows_is_a_baseline_that_knows_nothing() -> None:
    baseline = learnt(readings(0))

    assert (baseline.rows, baseline.days) == (0, 0)
    assert {one.counts.rows for one in baseline.columns} == {0}


def test_each_threshold_says_where_it_comes_from() -> None:
    assert all(limit.source for one in reference().columns for limit in one.thresholds.values())
    assert all(0 < limit.warn <= limit.drift for one in reference().columns for limit in one.thresholds.values())
    assert column_of(reference(), "x").thresholds["population_stability"] == Threshold(
        warn=0.1, drift=0.25, source="Siddiqi, Credit Risk Scorecards (2006): below 0.1 stable, above 0.25 shifted"
    )


# --- Usual days -------------------------------------------------------------------------------------------------------


def test_days_begin_in_the_hour_in_which_nothing_happens() -> None:
    """Records come from six in the morning to ten in the evening; of several quiet hours the first is taken."""
    later = readings(REFERENCE_ROWS, start_us=START_US + 4 * HOUR_US)

    assert (reference().day_begins, reference().days) == (0, DAYS)
    assert (learnt(later).day_begins, learnt(later).days) == (2, DAYS)


def test_what_is_usual_is_the_most_that_a_day_had() -> None:
    usual = column_of(reference(), "word").usual

    assert usual.keys() == column_of(reference(), "word").thresholds.keys()
    assert 0.0 < usual["total_variation"] < 0.2
    assert (usual["missing"], usual["unseen"], usual["constant"]) == (0.0, 0.0, 0.0)


def test_one_day_of_null_is_usual_from_then_on() -> None:
    day = REFERENCE_ROWS // DAYS
    n = [None if 10 * day <= i < 11 * day else 20 + i % 3 for i in range(REFERENCE_ROWS)]

    column = column_of(learnt(readings(REFERENCE_ROWS, n=pa.array(n, pa.int64()))), "n")

    assert column.usual["missing"] == pytest.approx(1 - 1 / DAYS)


@pytest.mark.parametrize(("rows", "days"), [(REFERENCE_ROWS, 29), (199 * 30, 30)])
def test_too_few_days_or_rows_on_each_say_nothing_of_what_is_usual(rows: int, days: int) -> None:
    baseline = learnt(readings(rows, days=days))

    assert baseline.days == 0
    assert {len(one.usual) for one in baseline.columns} == {0}


def test_thirty_days_of_two_hundred_rows_are_enough() -> None:
    assert learnt(readings(200 * 30, days=30)).days == 30


@pytest.mark.parametrize("day", [0, -28, -40_000])
def test_days_before_1970_are_days(day: int) -> None:
    """Of 56 days half lie before midnight of 1970, from which times are counted, or all of them do."""
    early = readings(REFERENCE_ROWS, start_us=day * DAY_US)

    baseline = learnt(early)

    assert (baseline.day_begins, baseline.days) == (0, DAYS)
    assert [one.usual for one in baseline.columns] == [one.usual for one in reference().columns]


# --- Files of the bundle ----------------------------------------------------------------------------------------------


def test_records_in_memory_make_the_files_of_a_bundle() -> None:
    records = readings(REFERENCE_ROWS).append_column("late", pa.array([0] * REFERENCE_ROWS))

    files = of_table(records)(watched_bundle())

    assert Baseline.from_bytes(files[BASELINE]) == reference()


def test_times_of_another_unit_are_the_same_days() -> None:
    records = readings(REFERENCE_ROWS)
    at = records.schema.get_field_index("at")
    seconds = records.column("at").cast(pa.timestamp("s", "UTC"), safe=False)
    whole = records.set_column(at, "at", seconds.cast(pa.timestamp("us", "UTC")))

    found = [of_table(one)(watched_bundle())[BASELINE] for one in (whole, records.set_column(at, "at", seconds))]

    assert found[0] == found[1]
    assert Baseline.from_bytes(found[1]).days == DAYS


@pytest.mark.parametrize(
    "change",
    [
        {"n": pa.int16()},
        {"x": pa.float64()},
        {"word": pa.large_string(), "key": pa.large_string()},
        {"word": pa.string_view()},
        {"word": pa.dictionary(pa.int32(), pa.string())},
    ],
    ids=["narrow", "wide", "large", "view", "dictionary"],
)
def test_columns_of_another_type_are_the_same_files(change: dict[str, pa.DataType]) -> None:
    records = readings(REFERENCE_ROWS)
    other = records
    for name, given in change.items():
        place = other.schema.get_field_index(name)
        column = other.column(name)
        cast = column.dictionary_encode() if pa.types.is_dictionary(given) else column.cast(given)
        other = other.set_column(place, name, cast)
    assert not other.schema.equals(records.schema)

    assert of_table(other)(watched_bundle()) == of_table(records)(watched_bundle())


def test_records_in_many_pieces_are_the_same_files() -> None:
    records = readings(ROWS)
    pieces = pa.concat_tables([records.slice(start, 123) for start in range(0, ROWS, 123)])

    assert of_table(pieces)(watched_bundle()) == of_table(records)(watched_bundle())


def test_the_rows_for_pictures_are_as_many_of_each_tenth_of_the_scores() -> None:
    rows = pq.read_table(pa.BufferReader(pictured(watched_bundle(), readings(12_000))))

    every = learnt(readings(12_000))
    edges = np.quantile(rows.column("score"), np.arange(1, 10) / 10)
    bins = column_of(every, "score").bins
    assert rows.num_rows == 5_000
    assert rows.column_names == [one.name for one in every.columns]
    assert isinstance(bins, NumberBins)
    assert edges == pytest.approx(np.array(bins.edges), abs=0.01)


def test_of_few_rows_all_are_for_pictures() -> None:
    files = learn(watched_bundle(), readings(37), readings(37).to_batches())

    assert files.keys() == {BASELINE, SAMPLE}
    assert pq.read_table(pa.BufferReader(files[SAMPLE])).num_rows == 37
