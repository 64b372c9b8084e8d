from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats  # type: ignore[import-untyped]
from scipy.spatial.distance import jensenshannon  # type: ignore[import-untyped]

from scoretrail.monitor.distance import (
    jensen_shannon,
    kolmogorov_smirnov,
    population_stability,
    total_variation,
    wasserstein,
)
from scoretrail.monitor.histogram import NumberBins

HISTOGRAMS = [
    ([50, 50], [50, 50]),
    ([50, 50], [5, 95]),
    ([10, 20, 30, 40], [400, 300, 200, 100]),
    ([1, 0, 7, 0], [0, 3, 2, 0]),
    ([1_000_000, 3, 0], [999_000, 0, 4]),
    ([1, 0], [0, 1]),
]
DISTANCES: list[Callable[[Sequence[int], Sequence[int]], float]] = [
    population_stability,
    jensen_shannon,
    total_variation,
    kolmogorov_smirnov,
]


def shares(counts: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray(counts, np.float64) / sum(counts)


def deciles(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> NumberBins:
    """Return ten bins, each with the mean of its values, of which the farthest one in a hundred are drawn in."""
    edges = np.quantile(values, np.arange(1, 10) / 10, method="lower")
    near = np.clip(values, *np.quantile(values, [0.005, 0.995]))
    places = np.searchsorted(edges, values)
    return NumberBins(edges=tuple(edges.tolist()), centres=tuple(near[places == i].mean() for i in range(10)))


def moved(
    bins: NumberBins,
    then: np.ndarray[tuple[int], np.dtype[np.float64]],
    now: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> float:
    counts = [bins.count(pa.array(values)).bins for values in (then, now)]
    return wasserstein(counts[0], counts[1], bins.centres)


# --- Every distance ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", DISTANCES)
def test_equal_shares_are_no_distance_apart_however_many_rows(distance: Callable[..., float]) -> None:
    assert distance([1, 3, 0, 6], [7, 21, 0, 42]) == pytest.approx(0, abs=1e-9)
    assert distance([1, 3, 0, 6], [7, 21, 1, 42]) > 1e-3


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize(("a", "b"), HISTOGRAMS)
def test_a_distance_is_the_same_both_ways(distance: Callable[..., float], a: Sequence[int], b: Sequence[int]) -> None:
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("distance", DISTANCES)
def test_the_more_rows_change_bins_the_larger_the_distance(distance: Callable[..., float]) -> None:
    found = [distance([100, 100, 100], [100 - i, 100, 100 + i]) for i in range(0, 101, 5)]

    assert found == sorted(found)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("distance", DISTANCES[1:])
def test_no_common_bin_is_the_largest_distance(distance: Callable[..., float]) -> None:
    assert distance([3, 4, 0, 0], [0, 0, 5, 1]) == pytest.approx(1)


# --- Against scipy ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), HISTOGRAMS)
def test_jensen_shannon_is_that_of_scipy(a: Sequence[int], b: Sequence[int]) -> None:
    assert jensen_shannon(a, b) == pytest.approx(float(jensenshannon(shares(a), shares(b), base=2)), abs=1e-9)


def test_population_stability_is_the_sum_of_both_relative_entropies() -> None:
    a, b = [10, 20, 30, 40], [400, 300, 200, 100]

    both = stats.entropy(shares(a), shares(b)) + stats.entropy(shares(b), shares(a))

    assert population_stability(a, b) == pytest.approx(float(both))


def test_an_empty_bin_counts_as_one_in_ten_thousand_for_population_stability() -> None:
    expected = (0.5 - 1e-4) * math.log(0.5 / 1e-4) + (1 - 0.5) * math.log(1 / 0.5)

    assert population_stability([1, 0], [1, 1]) == pytest.approx(expected)
    assert population_stability([1, 0], [1, 1]) == population_stability([99, 0], [99, 99])


def test_total_variation_is_half_of_what_the_shares_differ_by() -> None:
    assert total_variation([10, 20, 70], [40, 20, 40]) == pytest.approx(0.3)


def test_kolmogorov_smirnov_is_that_of_scipy_where_each_value_has_a_bin() -> None:
    random = np.random.default_rng(1)
    then, now = random.integers(0, 6, 900), random.integers(0, 5, 400)

    found = kolmogorov_smirnov(np.bincount(then, minlength=6).tolist(), np.bincount(now, minlength=6).tolist())

    assert found == pytest.approx(float(stats.ks_2samp(then, now).statistic))


@pytest.mark.parametrize("seed", range(20))
def test_kolmogorov_smirnov_of_the_values_is_never_less_than_that_of_the_bins(seed: int) -> None:
    random = np.random.default_rng(seed)
    then, now = random.normal(0, 1, 2_000), random.normal(random.uniform(0, 1), random.uniform(0.5, 2), 500)
    bins = deciles(then)

    found = kolmogorov_smirnov(bins.count(pa.array(then)).bins, bins.count(pa.array(now)).bins)
    of_values = float(stats.ks_2samp(then, now).statistic)

    assert of_values / 2 < found <= of_values + 1e-12


CENTRES = [(0.0, 1.0, 2.0, 3.0), (-5.0, -4.9, 10.0, 1e6), (7.0, 7.0, 7.5, 7.5)]


@pytest.mark.parametrize("centres", CENTRES)
@pytest.mark.parametrize(("a", "b"), HISTOGRAMS)
def test_wasserstein_is_that_of_scipy_for_values_that_are_their_bins_centres(
    a: Sequence[int], b: Sequence[int], centres: Sequence[float]
) -> None:
    values = centres[: len(a)]

    expected = float(stats.wasserstein_distance(values, values, a, b))

    assert wasserstein(a, b, values) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert wasserstein(b, a, values) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_wasserstein_is_that_of_scipy_for_any_counts(seed: int) -> None:
    random = np.random.default_rng(seed)
    size = int(random.integers(2, 30))
    centres = np.sort(random.lognormal(0, 3, size)).tolist()
    a, b = (random.multinomial(n, random.dirichlet(np.ones(size))).tolist() for n in (20_000, 700))

    expected = float(stats.wasserstein_distance(centres, centres, a, b))

    assert wasserstein(a, b, centres) == pytest.approx(expected, rel=1e-9)


def test_wasserstein_does_not_cancel_where_values_move_both_ways() -> None:
    """Half of the rows go up by one and half go down by one: the mean stays, and each moved by one."""
    assert wasserstein([4, 0, 4], [0, 8, 0], [1.0, 2.0, 3.0]) == 1


@pytest.mark.parametrize(
    ("shift", "ratio"), [(0.05, 0.953), (0.1, 0.953), (0.2, 0.951), (0.5, 0.939), (1.0, 0.897), (2.0, 0.744)]
)
def test_wasserstein_of_a_bell_in_deciles_understates_a_shift_by_a_twentieth_and_a_large_one_by_more(
    shift: float, ratio: float
) -> None:
    """The ratios are those of the normal distribution itself; what moves within a bin is not seen."""
    then = np.random.default_rng(2).normal(0, 1, 20_000)

    assert stats.wasserstein_distance(then, then + shift) == pytest.approx(shift)
    assert moved(deciles(then), then, then + shift) / shift == pytest.approx(ratio, abs=0.02)


@pytest.mark.parametrize("shift", [0.1, 0.2, 0.5])
def test_wasserstein_of_two_samples_of_a_bell_is_within_a_tenth_of_that_of_their_values(shift: float) -> None:
    random = np.random.default_rng(3)
    then, now = random.normal(0, 1, 20_000), random.normal(shift, 1, 20_000)

    ratio = moved(deciles(then), then, now) / float(stats.wasserstein_distance(then, now))

    assert 0.9 < ratio < 1.0


@pytest.mark.parametrize("seed", range(5))
def test_a_farther_shift_never_has_a_smaller_wasserstein(seed: int) -> None:
    random = np.random.default_rng(seed)
    then = random.gamma(2, 1, 3_000)
    bins = deciles(then)

    found = [moved(bins, then, then + shift) for shift in np.linspace(0, 10, 60)]

    assert found == sorted(found)
    assert found[0] == 0
    assert found[-1] >= found[30] > found[10] > found[1] > 0


def test_wasserstein_is_in_the_unit_of_the_values() -> None:
    a, b = [5, 3, 2], [2, 3, 5]

    assert wasserstein(a, b, [5.0, 15.0, 25.0]) == pytest.approx(10 * wasserstein(a, b, [0.5, 1.5, 2.5]))


def test_wasserstein_does_not_depend_on_where_zero_is() -> None:
    a, b = [5, 3, 2], [2, 3, 5]

    assert wasserstein(a, b, [-1.0, 0.0, 1.0]) == wasserstein(a, b, [99.0, 100.0, 101.0]) == pytest.approx(0.6)


def test_how_far_out_a_value_lies_does_not_change_wasserstein() -> None:
    then = np.arange(1_000, dtype=np.float64)
    bins = deciles(then)
    near, far = (np.append(then, outlier) for outlier in (999.0, 1e12))

    assert moved(bins, then, far) == moved(bins, then, near)
    assert moved(bins, then, far) < 1
    assert stats.wasserstein_distance(then, far) > 1e8


def test_one_bin_says_nothing() -> None:
    assert wasserstein([5], [9], [1.0]) == 0
    assert [distance([5], [9]) for distance in DISTANCES] == [0, 0, 0, 0]
