from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats  # type: ignore[import-untyped]

from scoretrail.monitor.histogram import CategoryBins, Counts, NumberBins
from scoretrail.monitor.measure import Measured, Reference, indications, measure

RANDOM = np.random.default_rng(11)
THEN = RANDOM.normal(0, 1, 10_000)
EDGES = np.quantile(THEN, np.arange(1, 10) / 10, method="lower")
BINS = NumberBins(
    edges=tuple(EDGES.tolist()),
    centres=tuple(THEN[np.searchsorted(EDGES, THEN) == i].mean() for i in range(10)),
    minimum=float(THEN.min()),
    maximum=float(THEN.max()),
)
WORDS = CategoryBins(names=("a", "b", "c", "d"), others=("e",))
WORDS_THEN = ["a"] * 5_000 + ["b"] * 3_000 + ["c"] * 1_400 + ["d"] * 500 + ["e"] * 100


def numbers(values: Any = THEN, bins: NumberBins = BINS, **changes: Any) -> Reference:
    fields: dict[str, Any] = {
        "counts": bins.count(pa.array(values, pa.float64())),
        "deviation": 1.0,
        "is_output": False,
    }
    return Reference(bins, **(fields | changes))


def words(given: list[str | None] | None = None, **changes: Any) -> Reference:
    counts = WORDS.count(pa.array(given or WORDS_THEN, pa.string()))
    return Reference(WORDS, **({"counts": counts, "deviation": None, "is_output": False} | changes))


def measured(then: Reference, now: Any, given: pa.DataType | None = None) -> dict[str, Measured]:
    counts = now if isinstance(now, Counts) else then.bins.count(pa.array(now, given, from_pandas=False))
    found = list(measure(then, counts))
    assert len({one.measure for one in found}) == len(found)
    return {one.measure: one for one in found}


# --- Every column -----------------------------------------------------------------------------------------------------


def test_numbers_and_words_are_measured_by_what_fits_them() -> None:
    every = {"missing", "constant", "population_stability"}

    assert set(measured(numbers(), THEN)) == every | {"infinite", "out_of_range", "wasserstein"}
    assert set(measured(words(), WORDS_THEN)) == every | {"unseen", "vanished", "total_variation"}


@pytest.mark.parametrize("then", [numbers(), words()], ids=["numbers", "words"])
def test_the_reference_against_itself_has_no_effect_at_all(then: Reference) -> None:
    assert {one.value for one in measure(then, then.counts)} == {0.0}


@pytest.mark.parametrize("then", [numbers(), words()], ids=["numbers", "words"])
def test_what_is_not_found_is_no_discovery(then: Reference) -> None:
    """Benjamini and Hochberg allow the more chance the more discoveries there are: each must be one."""
    assert {one.measure: one.p_value for one in measure(then, then.counts) if one.p_value < 1} == {}


INFINITE_THEN = numbers([*([math.inf] * 900), *THEN[:9_100]])
UNLISTED = CategoryBins(names=("a",), expected_unseen=0.1, is_complete=False)


@pytest.mark.parametrize(
    ("then", "now", "name"),
    [
        (INFINITE_THEN, THEN, "infinite"),
        (Reference(UNLISTED, Counts(9_000, (5_000, 4_000, 0)), None, is_output=False), ["a", "x"] * 2_000, "unseen"),
    ],
    ids=["fewer infinities", "a list of words that is not complete"],
)
def test_what_shrank_and_may_is_no_discovery(then: Reference, now: Any, name: str) -> None:
    found = measured(then, now)[name]

    assert found.value == 0
    assert found.p_value > 0.05


@pytest.mark.parametrize(("is_output", "kind"), [(False, "data"), (True, "prediction")])
def test_a_change_of_values_is_of_the_data_or_of_what_the_model_says(is_output: bool, kind: str) -> None:
    upstream = {"missing", "infinite", "constant", "vanished"}

    for found in (measured(numbers(is_output=is_output), THEN), measured(words(is_output=is_output), WORDS_THEN)):
        assert {one.kind for name, one in found.items() if name not in upstream} == {kind}
        assert {one.kind for name, one in found.items() if name in upstream} == {"upstream"}


# --- Missing values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "change"), [(70, 0.2), (30, 0.2), (0, 0.5), (100, 0.5), (50, 0.0)])
def test_missing_is_by_how_much_the_share_changed_either_way(n: int, change: float) -> None:
    then = numbers([*([None] * 500), *THEN[:500]])

    found = measured(then, [*([None] * n), *THEN[: 100 - n]], pa.float64())["missing"]

    assert found.value == pytest.approx(change)
    expected = stats.chi2_contingency([[500, 500], [n, 100 - n]], correction=False).pvalue
    assert found.p_value == pytest.approx(float(expected), rel=1e-9)


def test_of_infinities_and_unseen_words_only_growth_counts() -> None:
    then = numbers([math.inf, *THEN[:9]])

    assert measured(then, THEN[:10])["infinite"].value == 0
    assert measured(expecting(0.1), ["a"] * 10)["unseen"].value == 0


def test_nan_is_missing_as_null_is() -> None:
    assert measured(numbers(), [math.nan, None, 0.0, 1.0])["missing"].value == pytest.approx(0.5)


@pytest.mark.parametrize("then", [numbers(), words()], ids=["numbers", "words"])
def test_an_all_null_column_is_missing_and_nothing_else(then: Reference) -> None:
    given = pa.float64() if isinstance(then.bins, NumberBins) else pa.string()
    found = measured(then, [None] * 600, given)

    assert found["missing"].value == 1
    assert found["missing"].p_value < 1e-100
    assert {one.value for name, one in found.items() if name != "missing"} <= {0.0}
    assert not {"population_stability", "wasserstein", "total_variation"} & set(found)


# --- Numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [0.2, 0.5, 1.0])
def test_wasserstein_of_a_shift_is_about_the_shift_in_standard_deviations(shift: float) -> None:
    scaled = NumberBins(
        edges=tuple(50 * edge for edge in BINS.edges), centres=tuple(50 * centre for centre in BINS.centres)
    )
    then = numbers(50 * THEN, scaled, deviation=50.0)

    found = measured(then, 50 * (THEN + shift))["wasserstein"]

    assert 0.9 * shift < found.value < shift
    assert found.value == pytest.approx(measured(numbers(), THEN + shift)["wasserstein"].value, rel=0.01)
    assert found.p_value < 1e-10


def test_infinities_are_a_share_of_all_rows() -> None:
    found = measured(numbers(), [math.inf, -math.inf, *THEN[:97], None])

    assert found["infinite"].value == pytest.approx(0.02)
    assert found["out_of_range"].value == 0


def test_out_of_range_says_from_where_to_where() -> None:
    found = measured(numbers(), [-1e6, 1e6, *THEN[:98]])["out_of_range"]

    assert found.value == pytest.approx(0.02)
    assert found.detail == "-1e+06 to 1e+06"


def test_one_outlier_among_ten_thousand_is_out_of_range_and_hardly_moves_the_distribution() -> None:
    now = [1e9, *RANDOM.normal(0, 1, 9_999)]

    found = measured(numbers(), now)

    assert found["out_of_range"].value >= 1e-4
    assert found["population_stability"].value < 0.01
    assert found["wasserstein"].value < 0.05
    assert stats.wasserstein_distance(THEN, now) > 1e4


def test_a_constant_column_is_one_that_was_none() -> None:
    assert measured(numbers(), [3.0] * 500)["constant"].value == 1
    assert measured(numbers(), [3.0] * 500)["constant"].detail == "always 3.0"
    assert measured(numbers(), [3] * 500)["constant"].detail == "always 3"
    assert measured(numbers(), [3.0] * 500)["constant"].p_value == 0
    assert measured(numbers(), [3.0] * 499 + [2.0])["constant"].value == 0
    assert measured(numbers(), [3.0] * 499 + [2.0])["constant"].p_value == 1


def test_a_column_that_was_constant_may_stay_so_and_any_other_value_is_out_of_range() -> None:
    then = numbers([7.0] * 900, NumberBins(centres=(7.0,), minimum=7.0, maximum=7.0), deviation=0.0)

    assert {one.value for one in measured(then, [7.0] * 500).values()} == {0.0}
    assert measured(then, [8.0] * 500)["out_of_range"].value == 1
    assert "wasserstein" not in measured(then, [8.0] * 500)


def test_what_nearly_all_rows_had_may_be_all_there_is() -> None:
    rain = NumberBins(edges=(0.0,), centres=(0.0, 2.0), minimum=0.0, maximum=9.0)
    wet, dry = numbers([0.0] * 940 + [2.0] * 60, rain), numbers([0.0] * 960 + [2.0] * 40, rain)
    assert measured(wet, [0.0] * 500)["constant"].value == 1
    assert measured(dry, [0.0] * 500)["constant"].value == 0
    assert measured(dry, [2.0] * 500)["constant"].value == 1
    mostly: list[str | None] = [*["a"] * 960, *["b"] * 40]
    assert measured(words(mostly), ["a"] * 500)["constant"].value == 0
    assert measured(words(mostly), ["b"] * 500)["constant"].value == 1
    assert measured(words(), ["a"] * 500)["constant"].value == 1


# --- Words ------------------------------------------------------------------------------------------------------------


def test_unseen_is_the_share_of_words_that_the_reference_never_had() -> None:
    found = measured(words(), ["a"] * 45 + ["e"] * 53 + ["new", "newer"] + [None] * 300)

    assert found["unseen"].value == pytest.approx(0.02)  # of the rows with a word


def expecting(share: float) -> Reference:
    """Return a reference of which a share of later words is expected to be new."""
    bins = CategoryBins(names=("a", "b"), others=("c",), expected_unseen=share)
    return Reference(bins, Counts(1_000, (500, 200, 300, 0)), None, is_output=False)


def chance(n: int) -> float:
    """Return how often chance makes so many of 1,000 of a hundred that are expected."""
    return float(stats.chi2_contingency([[100, 900], [n, 1_000 - n]], correction=False).pvalue)


@pytest.mark.parametrize(("n", "growth"), [(0, 0.0), (50, 0.0), (100, 0.0), (150, 0.05), (300, 0.2)])
def test_unseen_is_the_growth_over_what_a_sample_lets_expect(n: int, growth: float) -> None:
    found = measured(expecting(0.1), Counts(1_000, (500, 200, 300 - n, n)))["unseen"]

    assert found.value == pytest.approx(growth)
    if growth:
        assert found.p_value == pytest.approx(chance(n))


def test_unseen_is_held_against_what_is_expected_of_the_rows_with_a_word() -> None:
    """Nine rows in ten are missing, before and now; of the words that are there one in ten is expected to be new."""
    bins = CategoryBins(names=("a",), expected_unseen=0.1)
    then = Reference(bins, Counts(10_000, (1_000, 0, 0), missing=9_000), None, is_output=False)

    found = measured(then, Counts(10_000, (0, 0, 1_000), missing=9_000))["unseen"]

    assert found.value > 0.02
    assert found.p_value < 1e-10


def test_distances_of_words_do_not_tell_unseen_from_other_words() -> None:
    """That a rare word is a new one is the check of unseen words; the distances would tell it twice."""
    known = measured(expecting(0.0), Counts(1_000, (500, 300, 200, 0)))
    new = measured(expecting(0.0), Counts(1_000, (500, 300, 50, 150)))

    for name in ("population_stability", "total_variation"):
        assert known[name] == new[name]
    assert known["unseen"].value == 0
    assert new["unseen"].value == pytest.approx(0.15)
    then = expecting(0.0)
    assert indications(then, Counts(9, (3, 3, 0, 3))) == indications(then, Counts(9, (3, 3, 3, 0)))


def test_vanished_is_what_share_of_the_reference_is_no_longer_there_and_names_it() -> None:
    found = measured(words(), ["a"] * 700 + ["b"] * 300)["vanished"]

    assert found.value == pytest.approx(0.19)
    assert found.detail == "c, d"
    # Of each of the four names alone: c has 14 % of the rows, d has 5 %, and the likelier absence is the smaller one's.
    assert found.p_value == pytest.approx(4 * 0.86**1_000, rel=1e-9, abs=0)


def test_a_rare_word_that_few_rows_lack_may_be_chance() -> None:
    found = measured(words(), ["a"] * 5 + ["b"] * 3 + ["c"] * 2)["vanished"]

    assert (found.value, found.p_value, found.detail) == (0.0, 1.0, "")


@pytest.mark.parametrize(("rows", "gone"), [(116, False), (117, True)])
def test_a_word_has_vanished_once_its_absence_is_not_chance(rows: int, gone: bool) -> None:
    """One of four words with a share of 5 %: 4 * 0.95^n is at most 1 % from 117 rows on."""
    found = measured(words(), ["a"] * (rows - 50) + ["b"] * 30 + ["c"] * 20)["vanished"]

    assert found.value == pytest.approx(0.05 * gone)
    assert found.detail == "d" * gone
    assert found.p_value == pytest.approx(4 * 0.95**rows if gone else 1.0)


def test_only_the_words_whose_absence_is_not_chance_count_as_vanished() -> None:
    """Beside a word with 14 % of the rows, one with 5 % is absent of 60 rows, which is chance."""
    found = measured(words(), ["a"] * 40 + ["b"] * 20)["vanished"]

    assert found.value == pytest.approx(0.14)
    assert found.detail == "c"


def test_that_some_of_many_rare_words_are_absent_is_chance() -> None:
    """Ninety-nine words of 0.3 %: of 1,000 rows of the same distribution, five of them are absent on average."""
    names = tuple(f"w{i:02d}" for i in range(100))
    shares = np.array([0.703, *[0.003] * 99])
    bins = CategoryBins(names=names)
    then = Reference(bins, Counts(100_000, (*(shares * 100_000).astype(int).tolist(), 0, 0)), None, is_output=False)
    random = np.random.default_rng(4)

    found = [
        measured(then, Counts(1_000, (*random.multinomial(1_000, shares).tolist(), 0, 0)))["vanished"].p_value
        for _ in range(200)
    ]

    assert np.mean(np.asarray(found) <= 0.01) <= 0.03


def test_one_word_alone_is_a_constant_column() -> None:
    assert measured(words(), ["b"] * 500 + [None])["constant"].value == 1
    assert measured(words(), ["b"] * 500 + ["a"])["constant"].value == 0
    assert measured(words(["b"] * 900), ["b"] * 500)["constant"].value == 0


def test_total_variation_and_stability_of_words_share_a_p_value() -> None:
    now = ["a"] * 300 + ["b"] * 500 + ["c"] * 150 + ["d"] * 40 + ["e"] * 10

    found = measured(words(), now)

    assert found["total_variation"].value == pytest.approx(0.21)
    expected = stats.chi2_contingency([[5_000, 3_000, 1_400, 500, 100], [300, 500, 150, 40, 10]]).pvalue
    assert found["total_variation"].p_value == found["population_stability"].p_value
    assert found["total_variation"].p_value == pytest.approx(float(expected))


# --- What else is looked at -------------------------------------------------------------------------------------------


def test_indications_of_numbers_bound_kolmogorov_smirnov_from_below() -> None:
    now = THEN[:2_000] + 0.3

    found = indications(numbers(), BINS.count(pa.array([*now, None])))

    assert set(found) == {"missing_share", "jensen_shannon", "kolmogorov_smirnov_at_least"}
    assert found["missing_share"] == pytest.approx(1 / 2_001)
    of_values = float(stats.ks_2samp(THEN, now).statistic)
    assert 0.8 * of_values < found["kolmogorov_smirnov_at_least"] <= of_values


def test_indications_of_words_and_of_nothing() -> None:
    assert set(indications(words(), words().counts)) == {"missing_share", "jensen_shannon"}
    assert indications(words(), Counts(0, (0,) * WORDS.size)) == {"missing_share": 0.0}
    assert indications(numbers(), Counts(5, (0,) * BINS.size, missing=5)) == {"missing_share": 1.0}
