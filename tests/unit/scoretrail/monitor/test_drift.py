from __future__ import annotations

import functools
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats  # type: ignore[import-untyped]

from scoretrail import digest
from scoretrail.errors import BundleError
from scoretrail.monitor.baseline import Baseline
from scoretrail.monitor.drift import Check, ColumnVerdict, Level, Verdict, judge
from scoretrail.monitor.threshold import Threshold
from tests.factory.watched import (
    DAY_US,
    REFERENCE_ROWS,
    START_US,
    counted,
    judged,
    learnt,
    readings,
    reference,
    watched_bundle,
    with_column,
    without_digest,
)

ROWS = 2_000
QUIET = {"data": Level.OK, "prediction": Level.OK, "upstream": Level.OK}


def random() -> np.random.Generator:
    return np.random.default_rng(99)


def column_of(verdict: Verdict, name: str) -> ColumnVerdict:
    (found,) = [one for one in verdict.columns if one.name == name]
    return found


def check_of(verdict: Verdict, name: str, measure: str) -> Check:
    (found,) = [one for one in column_of(verdict, name).checks if one.measure == measure]
    return found


def raised(verdict: Verdict) -> dict[str, set[str]]:
    """Return the columns and measures that are not well."""
    bad = {one.name: {c.measure for c in one.checks if c.level is not Level.OK} for one in verdict.columns}
    return {name: measures for name, measures in bad.items() if measures}


def some(share: float, special: Any, usual: Any, rows: int = ROWS) -> list[Any]:
    """Return a column of which a share of the rows, spread over it, has a special value."""
    every = round(1 / share)
    return [special if i % every == 0 else usual[i] for i in range(rows)]


def verdict_of(baseline: Baseline, name: str, values: Any) -> Verdict:
    """Return the verdict on rows of which one request column is counted from other values."""
    tally = counted(baseline, readings(ROWS, seed=2))
    columns = [
        one.bins.count(pa.array(values)) if one.name == name else counts
        for one, counts in zip(baseline.columns, tally.columns, strict=True)
    ]
    return judge(baseline, replace(tally, columns=tuple(columns)))


# --- No difference ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2, 12))
def test_rows_of_the_same_distribution_are_ok(seed: int) -> None:
    verdict = judged(readings(ROWS, seed=seed))

    assert (verdict.level, verdict.kinds) == (Level.OK, QUIET)
    assert (verdict.raised, raised(verdict)) == ((), {})
    assert verdict.rows == ROWS


def test_the_reference_itself_is_ok() -> None:
    assert judged(readings(REFERENCE_ROWS)).kinds == QUIET


def test_twice_the_same_rows_have_the_same_verdict() -> None:
    records = readings(ROWS, seed=2)

    one, other = judged(records), judged(pa.Table.from_batches(records.to_batches(300)[::-1]))

    assert one == other
    assert one.tally_sha256 == counted(reference(), records).digest
    assert one.baseline_sha256 == digest.of_bytes(reference().to_bytes())


# --- Data drift -------------------------------------------------------------------------------------------------------


@functools.cache
def of_a_bell() -> Baseline:
    """Return a baseline of which the amounts are normal, with the standard deviation 1."""
    return learnt(readings(REFERENCE_ROWS, amount=pa.array(random().normal(0, 1, REFERENCE_ROWS))))


@pytest.mark.parametrize(
    ("shift", "level"), [(0.0, Level.OK), (0.12, Level.WARN), (0.3, Level.DRIFT), (2.0, Level.DRIFT)]
)
def test_a_shift_of_a_number_is_told_by_its_size(shift: float, level: Level) -> None:
    verdict = judged(readings(5_000, seed=2, amount=pa.array(random().normal(shift, 1, 5_000))), of_a_bell())

    assert column_of(verdict, "amount").level is level
    assert verdict.kinds == QUIET | {"data": level}
    assert set(raised(verdict)) <= {"amount"}


def test_a_shift_of_skewed_numbers_is_told_by_its_size() -> None:
    """A gamma distribution that moves by 0.12 standard deviations is to be warned of, not drift."""
    amount = random().gamma(2, 50, 5_000) + 0.12 * 50 * math.sqrt(2)

    assert column_of(judged(readings(5_000, seed=2, amount=pa.array(amount))), "amount").level is Level.WARN


def test_what_the_model_takes_moves_what_it_says() -> None:
    verdict = judged(readings(ROWS, seed=2, x=pa.array(random().normal(1, 1, ROWS), pa.float32())))

    assert verdict.kinds == {"data": Level.DRIFT, "prediction": Level.DRIFT, "upstream": Level.OK}
    assert {"x", "half", "score", "label", "decision"} <= set(raised(verdict))


def test_a_model_that_says_something_else_of_the_same_data_is_prediction_drift() -> None:
    verdict = judged(readings(ROWS, seed=2), scored_by=watched_bundle("Abs"))

    assert verdict.kinds == {"data": Level.OK, "prediction": Level.DRIFT, "upstream": Level.OK}
    assert column_of(verdict, "score").level is Level.DRIFT
    assert not {"x", "half"} & set(raised(verdict))


def test_other_shares_of_words_are_drift() -> None:
    word = random().choice(["A", "B", "C", "D"], ROWS, p=[0.2, 0.4, 0.3, 0.1])

    verdict = judged(readings(ROWS, seed=2, word=pa.array(word)))

    assert raised(verdict) == {"word": {"population_stability", "total_variation"}}
    assert verdict.kinds == QUIET | {"data": Level.DRIFT}


@pytest.mark.parametrize(("share", "level"), [(1 / 2_000, Level.OK), (0.01, Level.WARN), (0.04, Level.DRIFT)])
def test_an_unseen_word_is_told_by_its_share(share: float, level: Level) -> None:
    word = some(share, "NEW", readings(ROWS, seed=2).column("word").to_pylist())

    verdict = judged(readings(ROWS, seed=2, word=pa.array(word)))

    assert check_of(verdict, "word", "unseen").level is level
    assert verdict.kinds == QUIET | {"data": level}


def test_one_outlier_among_ten_thousand_rows_is_no_drift() -> None:
    amount = random().gamma(2, 50, 10_000)
    amount[17] = 1e12

    verdict = judged(readings(10_000, seed=2, amount=pa.array(amount)))

    assert verdict.level is Level.OK
    found = check_of(verdict, "amount", "out_of_range")
    assert found.value >= 1e-4
    assert found.detail.endswith("to 1e+12")


def test_many_values_out_of_range_are_drift() -> None:
    """The control: what one value does not do, one in twenty does, though the distances hardly see it."""
    amount = some(0.05, 1e12, random().gamma(2, 50, ROWS))

    verdict = judged(readings(ROWS, seed=2, amount=pa.array(amount)))

    assert check_of(verdict, "amount", "out_of_range").level is Level.DRIFT


@functools.cache
def heavy() -> Baseline:
    """Return a baseline whose amounts have a long tail: the last bin is hundreds of times as wide as the others."""
    return learnt(readings(REFERENCE_ROWS, amount=pa.array(random().lognormal(0, 2, REFERENCE_ROWS))))


def test_a_long_tail_does_not_make_a_small_shift_of_many_rows_drift() -> None:
    then = random().lognormal(0, 2, REFERENCE_ROWS)
    now = np.random.default_rng(1).lognormal(0, 2, 300_000) * 1.1

    assert stats.wasserstein_distance(then, now) / then.std() < 0.06
    assert column_of(verdict_of(heavy(), "amount", now), "amount").level is Level.OK


def test_a_long_tail_alone_is_ok() -> None:
    """The control: the same rows without a shift."""
    now = np.random.default_rng(1).lognormal(0, 2, 300_000)

    assert column_of(verdict_of(heavy(), "amount", now), "amount").level is not Level.DRIFT


def test_one_outlier_of_the_reference_does_not_make_a_small_shift_drift() -> None:
    amount = random().normal(0, 1, REFERENCE_ROWS)
    amount[1] = 1e6
    baseline = learnt(readings(REFERENCE_ROWS, amount=pa.array(amount)))

    verdict = verdict_of(baseline, "amount", np.random.default_rng(1).normal(0.06, 1, 300_000))

    assert check_of(verdict, "amount", "population_stability").value < 0.01
    assert column_of(verdict, "amount").level is Level.OK


def test_a_column_that_leaves_its_largest_value_is_drift() -> None:
    drawn = random()
    full = np.where(drawn.random(REFERENCE_ROWS) < 0.92, 100.0, drawn.uniform(0, 100, REFERENCE_ROWS))
    baseline = learnt(readings(REFERENCE_ROWS, amount=pa.array(full)))

    verdict = judged(readings(ROWS, seed=2, amount=pa.array(random().uniform(0, 100, ROWS))), baseline)

    assert column_of(verdict, "amount").level is Level.DRIFT


def test_a_column_that_leaves_its_least_value_is_drift() -> None:
    """The control: the same turned round."""
    drawn = random()
    empty = np.where(drawn.random(REFERENCE_ROWS) < 0.92, 0.0, drawn.uniform(0, 100, REFERENCE_ROWS))
    baseline = learnt(readings(REFERENCE_ROWS, amount=pa.array(empty)))

    verdict = judged(readings(ROWS, seed=2, amount=pa.array(random().uniform(0, 100, ROWS))), baseline)

    assert column_of(verdict, "amount").level is Level.DRIFT


# --- Upstream drift ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "level"), [(0.01, Level.OK), (1 / 30, Level.WARN), (0.1, Level.DRIFT)])
@pytest.mark.parametrize("name", ["n", "word"])
def test_a_burst_of_nulls_is_upstream_drift(name: str, share: float, level: Level) -> None:
    records = readings(ROWS, seed=2)
    column = pa.array(some(share, None, records.column(name).to_pylist()), records.schema.field(name).type)

    verdict = judged(readings(ROWS, seed=2, **{name: column}))

    assert raised(verdict) == ({} if level is Level.OK else {name: {"missing"}})
    assert verdict.kinds == QUIET | {"upstream": level}


@pytest.mark.parametrize("name", ["amount", "n", "word", "flag"])
def test_an_all_null_column_is_upstream_drift(name: str) -> None:
    given = readings(1).schema.field(name).type

    verdict = judged(readings(ROWS, seed=2, **{name: pa.array([None] * ROWS, given)}))

    assert raised(verdict) == {name: {"missing"}}
    assert verdict.kinds == QUIET | {"upstream": Level.DRIFT}
    assert check_of(verdict, name, "missing").value == 1


def test_a_column_that_was_all_null_may_stay_so() -> None:
    empty = pa.array([None] * REFERENCE_ROWS, pa.int64())
    baseline = learnt(readings(REFERENCE_ROWS, n=empty))

    assert judged(readings(ROWS, seed=2, n=empty[:ROWS]), baseline).kinds == QUIET


@pytest.mark.parametrize("before", [0.5, 1.0])
def test_a_column_that_is_suddenly_filled_is_upstream_drift(before: float) -> None:
    n = [None if i < before * REFERENCE_ROWS else 20 + i % 30 for i in random().permutation(REFERENCE_ROWS)]
    baseline = learnt(readings(REFERENCE_ROWS, n=pa.array(n, pa.int64())))
    now = pa.array([20 + i % 30 for i in range(ROWS)], pa.int64())

    assert judged(readings(ROWS, seed=2, n=now), baseline).kinds["upstream"] is Level.DRIFT


def test_a_constant_column_is_upstream_drift() -> None:
    verdict = judged(readings(ROWS, seed=2, n=pa.array([20] * ROWS)))

    assert verdict.kinds["upstream"] is Level.DRIFT
    assert check_of(verdict, "n", "constant").detail == "always 20"
    assert set(raised(verdict)) == {"n"}


def test_a_column_that_was_constant_may_stay_so_but_not_change() -> None:
    baseline = learnt(readings(REFERENCE_ROWS, n=pa.array([7] * REFERENCE_ROWS)))

    assert judged(readings(ROWS, seed=2, n=pa.array([7] * ROWS)), baseline).kinds == QUIET
    assert judged(readings(ROWS, seed=2, n=pa.array([8] * ROWS)), baseline).kinds["data"] is Level.DRIFT


def test_a_vanished_word_is_upstream_drift_and_is_named() -> None:
    word = random().choice(["A", "B", "D"], ROWS, p=[0.58, 0.36, 0.06])

    verdict = judged(readings(ROWS, seed=2, word=pa.array(word)))

    found = check_of(verdict, "word", "vanished")
    assert (found.level, found.detail) == (Level.DRIFT, "C")
    assert found.value == pytest.approx(0.15, abs=0.01)
    assert verdict.kinds["upstream"] is Level.DRIFT


@pytest.mark.parametrize("rows", [500, 1_000])
def test_rare_words_that_few_rows_lack_have_not_vanished(rows: int) -> None:
    names = [f"W{i:02d}" for i in range(100)]
    shares = [0.703, *[0.003] * 99]
    baseline = learnt(readings(REFERENCE_ROWS, word=pa.array(random().choice(names, REFERENCE_ROWS, p=shares))))
    now = np.random.default_rng(1)

    levels = [
        column_of(judged(readings(rows, seed=i, word=pa.array(now.choice(names, rows, p=shares))), baseline), "word")
        for i in range(10)
    ]

    assert sum(one.level is not Level.OK for one in levels) <= 1


def test_infinities_are_upstream_drift_and_do_not_move_the_distribution() -> None:
    amount = some(0.01, math.inf, random().gamma(2, 50, ROWS))

    verdict = judged(readings(ROWS, seed=2, amount=pa.array(amount)))

    assert raised(verdict) == {"amount": {"infinite"}}
    assert verdict.kinds == QUIET | {"upstream": Level.DRIFT}
    assert column_of(verdict, "score").rows == ROWS - ROWS // 100


# --- Many words -------------------------------------------------------------------------------------------------------


@functools.cache
def of_many_words(words: int) -> Baseline:
    return learnt(readings(3 * words, word=pa.array([f"W{i:05d}" for i in range(words)] * 3)))


def many_words(words: int, new: float = 0.0) -> pa.Array:
    drawn = [f"W{i:05d}" for i in random().integers(0, words, 10_000)]
    return pa.array(some(new, "NEW", drawn, 10_000) if new else drawn)


@pytest.mark.parametrize("words", [10_000, 12_000])
def test_ten_thousand_words_and_more_are_ok(words: int) -> None:
    verdict = judged(readings(10_000, seed=2, word=many_words(words)), of_many_words(words))

    assert column_of(verdict, "word").level is Level.OK


def test_an_unseen_word_is_told_from_ten_thousand() -> None:
    verdict = judged(readings(10_000, seed=2, word=many_words(10_000, new=0.04)), of_many_words(10_000))

    assert check_of(verdict, "word", "unseen").level is Level.DRIFT
    assert set(raised(verdict)) == {"word"}


def test_among_more_words_than_are_listed_none_is_called_unseen() -> None:
    verdict = judged(readings(10_000, seed=2, word=many_words(12_000, new=0.04)), of_many_words(12_000))

    assert check_of(verdict, "word", "unseen").value == 0


def test_words_as_rare_as_many_of_the_reference_are_not_drift() -> None:
    """Of a vocabulary with a long tail every sample has words of its own (Good, 1953): so had the reference's days."""
    shares = 1 / np.arange(1, 50_001)
    drawn = random().choice(50_000, 8_000 + ROWS, p=shares / shares.sum())
    word = pa.array([f"W{i:05d}" for i in drawn])
    baseline = learnt(readings(8_000, word=word[:8_000]))

    verdict = judged(readings(ROWS, seed=2, word=word[8_000:]), baseline)

    assert check_of(verdict, "word", "unseen").level is Level.OK


# --- Not enough data --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "level"), [(0, Level.UNKNOWN), (499, Level.UNKNOWN), (500, Level.OK)])
def test_with_few_rows_nothing_is_said(rows: int, level: Level) -> None:
    verdict = judged(readings(rows, seed=2))

    assert (verdict.level, set(verdict.kinds.values())) == (level, {level})
    assert verdict.rows == rows
    assert verdict.raised == ()


def test_few_rows_that_differ_wholly_are_not_enough_either() -> None:
    far = pa.array([40.0] * 499, pa.float32())

    assert judged(readings(499, x=far)).level is Level.UNKNOWN
    assert judge(reference(), counted(reference(), readings(499, x=far)), minimum_rows=100).level is Level.DRIFT


def test_where_most_rows_were_rejected_nothing_is_said_of_the_scores() -> None:
    x = pa.array([99.0 if i % 5 else 0.0 for i in range(ROWS)], pa.float32())

    verdict = judged(readings(ROWS, seed=2, x=x))

    assert column_of(verdict, "score").level is Level.UNKNOWN
    assert column_of(verdict, "score").rows == ROWS // 5
    assert (verdict.kinds["prediction"], verdict.kinds["data"]) == (Level.UNKNOWN, Level.DRIFT)


# --- Rows of a day ----------------------------------------------------------------------------------------------------


def weekdays(records: pa.Table) -> pa.Table:
    """Return records of which ``n`` is the day of the week."""
    day = records.column("at").cast(pa.int64()).to_numpy() // DAY_US
    return records.set_column(records.schema.get_field_index("n"), "n", pa.array((day + 3) % 7))


@functools.cache
def with_weekdays() -> Baseline:
    return learnt(weekdays(readings(REFERENCE_ROWS)))


def on(day: int, days: int = 1, rows: int = ROWS, **columns: Any) -> Verdict:
    """Return the verdict on rows of some days, numbered from the reference's first on."""
    given = readings(rows, seed=2, days=days, start_us=START_US + day * DAY_US, **columns)
    return judged(weekdays(given), with_weekdays())


@pytest.mark.parametrize("day", [70, 74, 76])
def test_a_day_has_but_one_day_of_the_week(day: int) -> None:
    verdict = on(day)

    assert verdict.is_day
    assert verdict.kinds == QUIET
    found = check_of(verdict, "n", "population_stability")
    assert found.usual is not None
    assert found.drift < found.value <= found.usual


def test_two_days_are_held_against_the_thresholds_alone() -> None:
    verdict = on(70, days=2)

    assert not verdict.is_day
    assert raised(verdict)["n"] >= {"population_stability"}
    assert check_of(verdict, "n", "population_stability").usual is None
    assert set(raised(verdict)) == {"n"}


def test_a_week_has_all_its_days() -> None:
    assert on(70, days=7).kinds == QUIET


def test_a_day_beyond_all_usual_days_is_drift() -> None:
    x = pa.array(random().normal(1, 1, ROWS), pa.float32())

    verdict = on(70, x=x)

    assert verdict.is_day
    assert column_of(verdict, "x").level is Level.DRIFT
    assert column_of(verdict, "n").level is Level.OK


def test_where_no_day_is_usual_a_day_is_held_against_the_thresholds() -> None:
    baseline = with_column(with_weekdays(), "n", usual={})

    verdict = judged(weekdays(readings(ROWS, seed=2, days=1)), baseline)

    assert verdict.is_day
    assert column_of(verdict, "n").level is Level.DRIFT


# --- Many columns -----------------------------------------------------------------------------------------------------

COLUMNS = [f"c{i:02d}" for i in range(40)]
MORE = "\n".join(f'Request("{name}", pa.float64(), nullable=True),' for name in COLUMNS)


def wide(rows: int, seed: int, **columns: Any) -> pa.Table:
    drawn = np.random.default_rng(seed).normal(0, 1, (40, rows))
    return readings(rows, seed, **(dict(zip(COLUMNS, map(pa.array, drawn), strict=True)) | columns))


@functools.cache
def of_forty() -> Baseline:
    return learnt(wide(10_000, 1), watched_bundle(more=MORE))


def of_the_same(rows: int, draws: int) -> list[dict[str, set[str]]]:
    """Return what is raised of so many draws of all columns from the reference's distribution."""
    bundle = watched_bundle(more=MORE)
    return [raised(judged(wide(rows, seed), of_forty(), bundle=bundle)) for seed in range(100, 100 + draws)]


def test_of_forty_columns_without_a_difference_none_is_raised() -> None:
    assert of_the_same(2_000, 20) == [{}] * 20


def test_of_forty_columns_of_few_rows_without_a_difference_none_is_raised() -> None:
    assert of_the_same(1_000, 20) == [{}] * 20


def test_of_forty_columns_the_one_that_moved_is_raised() -> None:
    moved = pa.array(random().normal(0.5, 1, 1_000))

    verdict = judged(wide(1_000, 100, c17=moved), of_forty(), bundle=watched_bundle(more=MORE))

    assert set(raised(verdict)) == {"c17"}
    assert [one.name for one in verdict.raised] == ["c17"]


def test_chance_is_ruled_out_after_adjustment_for_all_checks() -> None:
    """A p-value that one check alone would pass is not enough among hundreds."""
    bundle = watched_bundle(more=MORE)
    verdict = judged(wide(1_000, 100), of_forty(), bundle=bundle)

    lone = [one.p_value for column in verdict.columns for one in column.checks if one.measure == "wasserstein"]
    tally = counted(of_forty(), wide(1_000, 100), bundle)
    bare = [
        stats.chi2_contingency([one.counts.bins, counts.bins], correction=False).pvalue
        for one, counts in zip(of_forty().columns, tally.columns, strict=True)
        if one.deviation is not None
    ]
    assert min(bare) < 0.05
    assert all(held > alone for held, alone in zip(lone, bare, strict=True))


# --- Effects, chance and thresholds -----------------------------------------------------------------------------------


def test_an_effect_that_chance_explains_is_not_raised() -> None:
    records = readings(600, seed=2, word=pa.array(random().choice(["A", "B", "C", "D"], 600, p=[0.45, 0.3, 0.2, 0.05])))
    strict = Threshold(warn=1e-9, drift=1e-8)
    column = column_of_baseline("word")
    touchy = with_column(reference(), "word", thresholds=column.thresholds | {"total_variation": strict})

    assert check_of(judged(records, touchy), "word", "total_variation").level is Level.DRIFT
    same = readings(600, seed=3)
    found = check_of(judged(same, touchy), "word", "total_variation")
    assert (found.level, found.value > strict.drift, found.p_value > 0.01) == (Level.OK, True, True)


def column_of_baseline(name: str) -> Any:
    (found,) = [one for one in reference().columns if one.name == name]
    return found


def test_a_difference_that_is_certain_and_small_is_not_raised() -> None:
    """Effects decide: enough rows make the p-value of a small shift as small as you like."""
    verdict = verdict_of(of_a_bell(), "amount", np.random.default_rng(1).normal(0.06, 1, 200_000))

    assert check_of(verdict, "amount", "wasserstein").p_value < 1e-6
    assert 0.03 < check_of(verdict, "amount", "wasserstein").value < 0.1
    assert verdict.level is Level.OK


def test_a_column_has_its_own_thresholds() -> None:
    records = readings(ROWS, seed=2, word=pa.array(some(0.04, "NEW", ["A", "B"] * (ROWS // 2))))
    patient = Threshold(warn=0.5, drift=0.9, source="the owner")
    baseline = with_column(reference(), "word", thresholds=column_of_baseline("word").thresholds | {"unseen": patient})

    assert check_of(judged(records), "word", "unseen").level is Level.DRIFT
    found = check_of(judged(records, baseline), "word", "unseen")
    assert (found.level, found.warn, found.drift, found.source) == (Level.OK, 0.5, 0.9, "the owner")


def test_nothing_is_certain_where_no_false_discovery_is_allowed() -> None:
    tally = counted(reference(), readings(ROWS, seed=2, word=pa.array(some(0.04, "NEW", ["A", "B"] * (ROWS // 2)))))

    assert judge(reference(), tally).level is Level.DRIFT
    assert judge(reference(), tally, false_discoveries=0.0).level is Level.OK


# --- The verdict ------------------------------------------------------------------------------------------------------


def drifting() -> Verdict:
    records = readings(ROWS, seed=2)
    return judged(
        readings(
            ROWS,
            seed=2,
            n=pa.array([None] * ROWS, pa.int64()),
            amount=pa.array(np.asarray(records.column("amount")) + 35),
            word=pa.array(some(0.01, "NEW", records.column("word").to_pylist())),
        )
    )


def test_the_columns_that_raise_the_verdict_come_with_the_worst_first() -> None:
    verdict = drifting()

    assert verdict.level is Level.DRIFT
    assert [one.name for one in verdict.raised] == ["n", "amount"]
    assert column_of(verdict, "word").level is Level.WARN


def test_the_worst_check_is_the_one_farthest_beyond_its_threshold() -> None:
    verdict = drifting()

    worst = column_of(verdict, "n").worst
    assert worst is not None
    assert worst.measure == "missing"
    raised_of_amount = [one for one in column_of(verdict, "amount").checks if one.level is Level.DRIFT]
    farthest = max(raised_of_amount, key=lambda one: one.value / one.drift)
    assert column_of(verdict, "amount").worst == farthest
    assert column_of(judged(readings(3)), "n").worst is None


def test_the_verdict_of_all_is_the_worst_of_the_columns_and_of_the_kinds() -> None:
    verdict = drifting()

    order = list(Level)
    assert verdict.level is max((one.level for one in verdict.columns), key=order.index)
    assert verdict.level is max(verdict.kinds.values(), key=order.index)
    assert order == [Level.UNKNOWN, Level.OK, Level.WARN, Level.DRIFT]


@pytest.mark.parametrize("make", [drifting, lambda: judged(readings(0)), lambda: judged(readings(ROWS, seed=2))])
def test_a_verdict_is_json(make: Any) -> None:
    verdict = make()

    found = json.loads(digest.canonical_json(verdict.to_json()))

    assert found["level"] == verdict.level
    assert found["kinds"] == verdict.kinds
    assert [one["name"] for one in found["columns"]] == [one.name for one in verdict.columns]


# --- Refusals ---------------------------------------------------------------------------------------------------------


def test_counts_in_the_bins_of_another_baseline_are_refused() -> None:
    tally = counted(reference(), readings(ROWS, seed=2))

    with pytest.raises(BundleError, match="the counts are not of this baseline") as caught:
        judge(reference(), without_digest(tally, "0" * 64))
    assert (caught.value.expected, caught.value.got) == (digest.of_bytes(reference().to_bytes()), "0" * 64)


def test_counts_of_another_models_columns_are_refused() -> None:
    bundle = watched_bundle(more=MORE)
    tally = counted(of_forty(), wide(1_000, 100), bundle)

    with pytest.raises(BundleError, match="the counts are not of this baseline"):
        judge(reference(), tally)
