from __future__ import annotations

import base64
import functools
import json
import math
import operator
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from scoretrail import digest
from scoretrail.errors import BundleError, TrailError
from scoretrail.feature.schema import TIMESTAMP
from scoretrail.monitor.histogram import Counts
from scoretrail.monitor.tally import Tally, added
from scoretrail.scoring import score_batch
from tests.factory.registered import load_example
from tests.factory.trip import HOUR_US, START_US, trip_batch, trips_example
from tests.factory.watched import by_name, counted, learnt, readings, reference, watched_bundle, without_digest


def counts_of(records: pa.Table) -> Any:
    return by_name(counted(reference(), records), reference())


def test_a_rejected_row_is_in_the_request_columns_and_not_in_what_the_model_says() -> None:
    x = pa.array([0.5, 99.0, math.inf, -0.5], pa.float32())

    found = counts_of(readings(4, x=x, word=pa.array(["A", "new", "B", None])))

    assert {name: counts.rows for name, counts in found.items()} == {
        "x": 4,
        "amount": 4,
        "n": 4,
        "word": 4,
        "flag": 4,
        "half": 2,
        "score": 2,
        "confidence": 2,
        "label": 2,
        "decision": 2,
    }
    assert (found["x"].infinite, found["x"].above, found["x"].high) == (1, 1, 99.0)
    assert (found["word"].missing, found["word"].bins[-1]) == (1, 1)


def test_a_default_takes_the_place_of_null_in_the_score_and_not_in_the_counts() -> None:
    found = counts_of(readings(3, x=pa.array([None, math.nan, 1.0], pa.float32(), from_pandas=False)))

    assert (found["x"].rows, found["x"].missing) == (3, 2)
    assert (found["half"].rows, found["half"].missing, found["half"].low) == (3, 0, 0.0)


def test_words_are_counted_as_their_contract_spells_them() -> None:
    found = counts_of(readings(4, word=pa.array([" a", "A", "b ", "D"])))

    assert found["word"].bins == (2, 1, 0, 1, 0, 0)


def test_a_column_of_a_narrower_type_is_counted_in_the_declared_one() -> None:
    wide = readings(3, n=pa.array([1, 200, None], pa.int64()))
    narrow = readings(3, n=pa.array([1, 200, None], pa.int16()))

    assert counted(reference(), narrow).digest == counted(reference(), wide).digest


def test_confidence_is_that_in_the_class_which_is_more_likely() -> None:
    found = counts_of(readings(2, x=pa.array([-2.0, 4.0], pa.float32())))

    sure = [1 / (1 + math.exp(-1.0)), 1 / (1 + math.exp(-2.0))]
    assert found["confidence"].low == pytest.approx(sure[0])
    assert found["confidence"].high == pytest.approx(sure[1])
    assert found["score"].low == pytest.approx(1 - sure[0])


def test_stored_columns_and_what_became_of_the_look_ups_are_counted() -> None:
    bundle = load_example(trips_example())
    baseline = learnt(pa.Table.from_batches([trip_batch(300)]), bundle)
    at = [START_US + i * HOUR_US for i in range(4)]
    late = pa.array([at[0], at[1] - 4 * HOUR_US, at[2] - 5 * HOUR_US, at[3] - 9 * HOUR_US], TIMESTAMP)
    given = trip_batch(4, weather__event_time=late, weather__available_at=late)

    found = by_name(counted(baseline, pa.Table.from_batches([given]), bundle), baseline)

    groups = {(one.group, one.name) for one in baseline.columns}
    assert {("stored", "wind"), ("derived", "chill"), ("lookup", "weather"), ("lookup", "vehicle")} <= groups
    # All look-ups of the reference were fresh; two here are stale and used, and the last is too old: its row has none.
    assert baseline.columns[[one.name for one in baseline.columns].index("weather")].bins.model_dump()["names"] == (
        "fresh",
    )
    assert found["weather"].bins == (1, 0, 2)
    assert found["vehicle"].bins == (3, 0, 0)
    assert (found["wind"].rows, found["distance"].rows) == (3, 4)


def test_the_times_are_those_of_the_scored_rows() -> None:
    x = pa.array([99.0, 0.0, 0.0, 99.0], pa.float32())
    at = pa.array([1, 30, 20, 99], TIMESTAMP)

    tally = counted(reference(), readings(4, x=x, at=at))

    assert (tally.first_us, tally.last_us) == (20, 30)


def test_rows_without_a_score_have_no_time() -> None:
    nothing = counted(reference(), readings(2, x=pa.array([99.0, 99.0], pa.float32())))

    assert (nothing.first_us, nothing.last_us, nothing.is_day) == (None, None, False)
    assert (nothing + counted(reference(), readings(2))).first_us == counted(reference(), readings(2)).first_us


@pytest.mark.parametrize(("hours", "is_day"), [(0, True), (24, True), (25, True), (25 + 1e-6, False), (48, False)])
def test_a_day_has_up_to_25_hours(hours: float, is_day: bool) -> None:
    tally = Tally("b", (), 7, 7 + round(hours * HOUR_US))

    assert tally.is_day == is_day


def test_the_parts_of_two_days_are_no_day() -> None:
    one, other = Tally("b", (), 0, 20 * HOUR_US), Tally("b", (), 30 * HOUR_US, 40 * HOUR_US)

    assert one.is_day
    assert other.is_day
    assert not (one + other).is_day


def test_counts_in_the_bins_of_another_baseline_are_refused() -> None:
    tally = counted(reference(), readings(5))

    with pytest.raises(BundleError, match="different baselines") as caught:
        tally + without_digest(tally, "other")
    assert (caught.value.expected, caught.value.got) == (tally.baseline, "other")


def test_a_tally_comes_back_from_its_text() -> None:
    tally = counted(reference(), readings(50))

    again = Tally.from_json(json.loads(digest.canonical_json(tally.to_json())))

    assert again == tally
    assert again.digest == tally.digest


def compressed(value: Any) -> str:
    return base64.b64encode(zlib.compress(json.dumps(value).encode())).decode()


@pytest.mark.parametrize(
    "make",
    [
        lambda: counted(reference(), readings(50)),
        lambda: counted(reference(), readings(0)),
        lambda: counted(reference(), readings(3, n=pa.array([-(2**63), 2**63 - 1, None], pa.int64()))),
        lambda: Tally("é", ()),
    ],
    ids=["rows", "no rows", "large integers", "no columns"],
)
def test_a_tally_comes_back_from_its_short_text(make: Callable[[], Tally]) -> None:
    tally = make()

    again = Tally.from_text(tally.to_text())

    assert again == tally
    assert again.digest == tally.digest
    assert again.to_text() == tally.to_text()


def test_a_short_text_is_one_word_of_ascii_and_shorter_than_json() -> None:
    tally = counted(reference(), readings(500))

    text = tally.to_text()

    assert text.isascii()
    assert text == "".join(text.split())
    assert len(text) < len(digest.canonical_json(tally.to_json())) * 0.7


def given(**changes: Any) -> str:
    return compressed({"baseline": "b", "columns": [], "first_us": None, "last_us": None} | changes)


def test_the_control_of_texts_that_are_no_counts() -> None:
    assert Tally.from_text(given()) == Tally("b", ())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "counts",
        "é",
        "A",
        base64.b64encode(b"counts").decode(),
        base64.b64encode(zlib.compress(b"{")).decode(),
        base64.b64encode(zlib.compress(b"\xff")).decode(),
        compressed({"baseline": "b"}),
        compressed(None),
        compressed(["baseline"]),
        given(columns=None),
        given(columns=[[]]),
        given(columns=[[1]]),
        given(columns=[[1, 2]]),
        given(columns=[[1, [1], 0, 0, 0, 0, None, None, 1]]),
        counted(reference(), readings(5)).to_text()[:-8],
    ],
)
def test_a_text_that_is_no_counts_is_refused(text: str) -> None:
    with pytest.raises(TrailError, match="counts cannot be read"):
        Tally.from_text(text)


# --- Many parts -------------------------------------------------------------------------------------------------------


def parts(n: int, seed: int = 1) -> list[Tally]:
    """Return counts of so many parts, in which anything may be missing, and integers may be large."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        rows, *other = random.integers(0, 2**50, 12).tolist()
        low, high = sorted(random.integers(-(2**63), 2**63 - 1, 2).tolist())
        first, last = sorted(random.integers(-(2**50), 2**50, 2).tolist())
        number = Counts(rows, tuple(other[:3]), other[3], other[4], other[5], other[6], low, high)
        if random.random() < 0.3:
            number = Counts(rows, (0, 0, 0), missing=rows)
        if random.random() < 0.3:
            first = last = None
        found.append(Tally("b", (number, Counts(rows, tuple(other[7:9]), missing=other[9])), first, last))
    return found


@pytest.mark.parametrize("n", [1, 2, 999, 1_000, 1_001, 2_345])
def test_many_parts_are_added_as_one_to_the_next(n: int) -> None:
    given_parts = parts(n)

    found = added(iter(given_parts))

    assert found == functools.reduce(operator.add, given_parts)
    assert found is not None
    assert found.digest == functools.reduce(operator.add, given_parts).digest
    assert added(given_parts[::-1]) == found


def test_of_many_parts_each_counts() -> None:
    """The control: without the last of them the counts are others."""
    assert added(parts(1_001)) != added(parts(1_001)[:-1])


def test_parts_without_a_time_or_a_value_have_neither_together() -> None:
    nothing = Tally("b", (Counts(2, (0,), missing=2),))

    assert added([nothing] * 3) == Tally("b", (Counts(6, (0,), missing=6),))
    assert added([Tally("b", ())] * 2) == Tally("b", ())


def test_scored_parts_are_added_as_the_whole_is_counted() -> None:
    records = readings(300).combine_chunks()

    found = added(counted(reference(), records.slice(start, 7)) for start in range(0, 300, 7))

    assert found == counted(reference(), records)


def test_no_parts_have_no_counts() -> None:
    assert added([]) is None
    assert added(iter(())) is None


@pytest.mark.parametrize("place", [1, 999, 1_000, 1_500])
def test_parts_of_different_baselines_are_not_added(place: int) -> None:
    several = parts(1_501)
    several[place] = without_digest(several[place], "other")

    with pytest.raises(BundleError, match="different baselines") as caught:
        added(several)
    assert {caught.value.expected, caught.value.got} == {"b", "other"}


OTHER_BINS = [Tally("b", (Counts(1, (1, 0)),)), Tally("b", (Counts(1, (1, 0, 0)),))]


def test_a_part_with_other_bins_is_not_added() -> None:
    with pytest.raises(BundleError, match="counts of other bins"):
        functools.reduce(operator.add, OTHER_BINS)


def test_many_parts_with_other_bins_are_refused_as_two_are() -> None:
    with pytest.raises(BundleError, match="counts of other bins"):
        added(OTHER_BINS)


# --- Gathering --------------------------------------------------------------------------------------------------------


def test_the_digest_tells_one_value_in_another_bin() -> None:
    words = ["A"] * 50
    tally = counted(reference(), readings(50, word=pa.array(words)))

    assert counted(reference(), readings(50, word=pa.array(words))).digest == tally.digest
    assert counted(reference(), readings(50, word=pa.array(["B", *words[1:]]))).digest != tally.digest


def test_nothing_gathered_is_a_tally_of_no_rows() -> None:
    tally = counted(reference(), readings(0))

    assert {counts.rows for counts in tally.columns} == {0}
    assert tally + counted(reference(), readings(9)) == counted(reference(), readings(9))


def test_a_tally_does_not_change_when_more_is_gathered() -> None:
    bundle, baseline = watched_bundle(), reference()
    gatherer = baseline.gatherer(bundle.view, bundle.manifest)
    (batch,) = readings(40).to_batches()
    scored, _ = score_batch(bundle, batch)

    gatherer.add(batch, scored)
    first = gatherer.tally()
    gatherer.add(batch, scored)

    assert {counts.rows for counts in first.columns} == {40}
    assert gatherer.tally() == first + first
    assert np.sum(first.columns[0].bins) == 40
