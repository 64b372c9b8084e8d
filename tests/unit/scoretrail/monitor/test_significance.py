from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from scoretrail.monitor.significance import adjusted, chi_square, chi_square_tail

DRAWS = 2_000
#: Kolmogorov's bound for so many draws at 1 in 1,000, and a hundredth for that counts are whole numbers.
TOLERANCE = 1.95 / math.sqrt(DRAWS) + 0.01


def p_values(shift: float = 0.0) -> list[float]:
    """Return the p-values of seeded draws of 1,000 rows against 20,000, over ten bins."""
    random = np.random.default_rng(20131202)
    shares = np.full(10, 0.1)
    moved = shares + np.linspace(-shift, shift, 10)
    return [
        chi_square(random.multinomial(20_000, shares).tolist(), random.multinomial(1_000, moved).tolist())
        for _ in range(DRAWS)
    ]


def distance_from_uniform(found: list[float]) -> float:
    return float(stats.kstest(found, "uniform").statistic)


# --- Chi-square -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "current"),
    [
        ([10, 10], [12, 8]),
        ([100, 200, 300], [110, 190, 310]),
        ([5_000, 4_000, 900, 100], [480, 400, 100, 20]),
        ([100_000, 100_000], [10_400, 9_600]),
        ([1_000, 1_000], [10, 900]),
        (list(range(50, 150)), list(range(150, 50, -1))),
    ],
)
def test_the_p_value_is_that_of_scipy(reference: list[int], current: list[int]) -> None:
    expected = stats.chi2_contingency([reference, current], correction=False).pvalue

    assert chi_square(reference, current) == pytest.approx(float(expected), rel=1e-9, abs=1e-300)


def test_bins_with_few_expected_values_count_as_one() -> None:
    reference, current = [10_000, 5_000, 30, 20, 10], [500, 240, 4, 3, 5]

    found = chi_square(reference, current)

    together = stats.chi2_contingency([[10_000, 5_000, 60], [500, 240, 12]], correction=False).pvalue
    apart = stats.chi2_contingency([reference, current], correction=False).pvalue
    assert found == pytest.approx(float(together))
    assert found != pytest.approx(float(apart), rel=0.01)


@pytest.mark.parametrize(
    ("reference", "current"),
    [([0, 0], [5, 5]), ([5, 5], [0, 0]), ([5], [900]), ([0, 7, 0], [0, 9, 0]), ([1, 1], [2, 1]), ([], [])],
)
def test_where_there_is_nothing_to_compare_chance_explains_it(reference: list[int], current: list[int]) -> None:
    assert chi_square(reference, current) == 1


def test_the_p_values_of_no_difference_are_uniform() -> None:
    assert distance_from_uniform(p_values()) < TOLERANCE


def test_the_p_values_of_a_difference_are_not_uniform() -> None:
    """The control: a change of each share by up to a hundredth is seen in the same way."""
    assert distance_from_uniform(p_values(0.01)) > 2 * TOLERANCE


def test_many_rare_words_make_no_small_p_values() -> None:
    random = np.random.default_rng(3)
    shares = 1 / np.arange(1, 401)
    shares /= shares.sum()

    found = [
        chi_square(random.multinomial(5_000, shares).tolist(), random.multinomial(500, shares).tolist())
        for _ in range(1_000)
    ]

    assert np.mean(np.asarray(found) <= 0.01) <= 0.02


def test_more_rows_make_the_same_difference_less_likely_to_be_chance() -> None:
    found = [chi_square([500 * n, 500 * n], [52 * n, 48 * n]) for n in (1, 10, 100, 1_000)]

    assert found == sorted(found, reverse=True)
    assert found[0] > 0.5
    assert found[-1] < 1e-10


# --- The tail of the distribution -------------------------------------------------------------------------------------


@pytest.mark.parametrize("freedom", [1, 2, 3, 9, 10, 99, 100, 9_999])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 1.0, 1.02, 1.1, 1.5, 3.0])
def test_the_tail_is_that_of_scipy(freedom: int, share: float) -> None:
    value = share * freedom

    assert chi_square_tail(value, freedom) == pytest.approx(float(stats.chi2.sf(value, freedom)), rel=1e-8, abs=1e-290)


def test_the_tail_ends_at_one_and_at_nothing() -> None:
    assert chi_square_tail(0.0, 5) == 1
    assert chi_square_tail(-1e-12, 5) == 1
    assert chi_square_tail(1e6, 5) == 0


# --- Many at once -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_p_values_are_adjusted_as_scipy_does(seed: int) -> None:
    random = np.random.default_rng(seed)
    given = random.beta(0.5, 2, random.integers(1, 60)).round(2)  # rounded: some are equal

    assert adjusted(given.tolist()) == pytest.approx(stats.false_discovery_control(given, method="bh").tolist())


def test_none_and_one_p_value_need_no_adjustment() -> None:
    assert adjusted([]) == []
    assert adjusted([0.3]) == [0.3]


def test_among_many_columns_without_a_difference_hardly_ever_is_one_discovered() -> None:
    """Of forty p-values one is below a hundredth every third time; adjusted, one time in a hundred."""
    random = np.random.default_rng(5)
    draws = random.random((2_000, 40))

    bare = np.mean([min(row) <= 0.01 for row in draws])
    held = np.mean([min(adjusted(row.tolist())) <= 0.01 for row in draws])

    assert bare > 0.25
    assert held <= 0.02
