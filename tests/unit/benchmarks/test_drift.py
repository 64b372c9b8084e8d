"""The study of the verdict on drift: its draws are what they claim, and without drift the verdict is quiet."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from benchmarks.drift_case import Case, cases, shift
from benchmarks.drift_picture import picture
from benchmarks.drift_population import LAWS, OUTPUTS, Population, make_population
from benchmarks.drift_rate import Power, agreement, power, quiet
from benchmarks.drift_share import Share
from scoretrail.monitor.distance import total_variation
from scoretrail.monitor.drift import judge
from scoretrail.monitor.histogram import CategoryBins
from scoretrail.monitor.threshold import Threshold

SEED = 1
LIMIT = 0.01


@pytest.fixture(scope="module")
def population() -> Population:
    return make_population(SEED)


def of_zero(population: Population) -> Population:
    """The same with thresholds that every effect reaches."""
    nothing = Threshold(warn=1e-300, drift=1e-300)
    columns = tuple(
        column.model_copy(update={"thresholds": dict.fromkeys(column.thresholds, nothing)})
        for column in population.baseline.columns
    )
    return replace(population, baseline=population.baseline.model_copy(update={"columns": columns}))


def found(population: Population, name: str, rows: int, draws: int = 20) -> Power:
    """What is said of one case."""
    case = next(one for one in (*cases(), shift(0.0)) if one.name == name)
    (result,) = power([population], [case], rows, draws, SEED)
    return result


def test_thirty_columns_are_watched_of_which_two_are_outputs(population: Population) -> None:
    bins = [column.bins for column in population.baseline.columns]
    groups = [column.group for column in population.baseline.columns]
    assert len(bins) == 30
    assert sum(isinstance(one, CategoryBins) for one in bins[:-2]) == 8
    assert groups == ["request"] * 28 + ["output"] * len(OUTPUTS)


@pytest.mark.parametrize("rows", [1_000, 10_000])
def test_without_drift_the_verdict_is_quiet(population: Population, rows: int) -> None:
    result = quiet([population], rows, 20, SEED)
    assert result.drift.value <= LIMIT
    assert result.raised.value <= LIMIT, result.checks


def test_a_verdict_with_thresholds_of_zero_raises_alarms(population: Population) -> None:
    """The negative control: the same draws, and whatever differs at all is drift."""
    decide = partial(judge, false_discoveries=1.0)
    result = quiet([of_zero(population)], 1_000, 20, SEED, decide=decide)
    assert result.drift == Share(20, 20)


def test_thresholds_alone_do_not_keep_the_verdict_quiet(population: Population) -> None:
    """On few rows chance alone reaches them somewhere in thirty columns: p-values are needed beside them."""
    result = quiet([population], 1_000, 20, SEED, decide=partial(judge, false_discoveries=1.0))
    assert result.raised.value > 0.5


def test_a_large_shift_is_found_and_none_is_not(population: Population) -> None:
    assert found(population, "shift by 1 sd", 1_000).drift == Share(20, 20)
    assert found(population, "20 % nulls", 1_000).drift == Share(20, 20)
    assert found(population, "shift by 0 sd", 1_000).raised == Share(0, 20)


@pytest.mark.parametrize("rows", [1_000, 1_000_000])
def test_one_outlier_is_no_drift(population: Population, rows: int) -> None:
    assert found(population, "one value of 1,000,000", rows).drift == Share(0, 20)


@pytest.mark.parametrize("name", LAWS)
def test_drawn_counts_are_those_of_drawn_values(population: Population, name: str) -> None:
    rng = np.random.default_rng(SEED)
    values, counts = (population.drawn_column(name, LAWS[name], rng, 200_000, exact=exact) for exact in (False, True))
    assert values.rows == counts.rows == values.present + values.missing == counts.present + counts.missing
    assert total_variation(values.bins, counts.bins) < 0.02
    assert abs(values.missing - counts.missing) < 1_500
    assert abs(values.below - counts.below) < 50
    assert abs(values.above - counts.above) < 50


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_a_shift_is_the_same_drawn_either_way(population: Population, case: Case) -> None:
    rng = np.random.default_rng(SEED)
    values, counts = (
        population.drawn_column(case.column, case.law, rng, 100_000, exact=exact) for exact in (False, True)
    )
    assert total_variation(values.bins, counts.bins) < 0.02
    assert abs(values.missing - counts.missing) < 1_000
    assert abs(values.above - counts.above) < 50
    assert case.law != LAWS[case.column]


def test_both_ways_agree_and_another_population_does_not(population: Population) -> None:
    values, counts = (quiet([population], 1_000, 20, SEED, exact=exact) for exact in (False, True))
    assert agreement(values, counts)[1] >= LIMIT
    others = replace(population, laws={**LAWS, "normal": shift(0.5).law})
    assert agreement(values, quiet([others], 1_000, 20, SEED, exact=True))[1] < LIMIT


@pytest.mark.parametrize(
    ("n", "of", "interval"),
    [(0, 20, (0.0, 0.1611)), (20, 20, (0.8389, 1.0)), (10, 1000, (0.0054, 0.0183)), (500, 1000, (0.4691, 0.5309))],
)
def test_the_interval_of_a_share_is_wilsons(n: int, of: int, interval: tuple[float, float]) -> None:
    assert Share(n, of).interval == pytest.approx(interval, abs=1e-4)


def test_the_picture_is_well_formed_and_says_what_it_shows() -> None:
    lines = {1_000: [(0.0, 0.0), (0.2, 0.95)], 10_000: [(0.0, 0.0), (0.2, 0.5)]}
    text = picture(lines, lines, 0.2)
    root = ET.fromstring(text)  # noqa: S314  # our own
    assert len(root.findall("{http://www.w3.org/2000/svg}polyline")) == 4
    assert "1,000 rows: 0.2; 10,000 rows: never" in text
