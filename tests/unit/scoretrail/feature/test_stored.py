from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from scoretrail.errors import FeatureViewError
from scoretrail.feature import DEFAULT, REJECT, Field, Stored
from scoretrail.feature.schema import TIMESTAMP, Fault
from scoretrail.feature.stored import OUTCOMES, Judged, StoredUse, apply, judge, use

HOUR = 3_600_000_000
F32 = pa.float32()
WIND = Field(name="wind", type=F32, nullable=True)
RAIN = Field(name="rain", type=F32, default=0.5, minimum=0)


def stored(**changes: Any) -> Stored:
    fields: dict[str, Any] = {"key": "place", "fields": [WIND, RAIN], "max_age": "3h", "when_missing": DEFAULT}
    return Stored("weather", **(fields | changes))


def times(*values: int | None) -> pa.Array:
    return pa.array(values, TIMESTAMP)


def judged(chosen: Stored, *rows: tuple[int | None, int | None, int | None]) -> Judged:
    """Judge rows of (record's event time, value's event time, available at)."""
    return judge(chosen, *(times(*column) for column in zip(*rows, strict=True)))


def words(result: Judged) -> list[str]:
    return [str(OUTCOMES[code]) for code in result.outcome]


def summary(faults: Any) -> list[tuple[str, str, list[int]]]:
    return [(fault.field, str(fault.code), fault.rows.tolist()) for fault in faults]


# --- Judging ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "value", "available", "outcome", "age_s"),
    [
        (10 * HOUR, 10 * HOUR, 10 * HOUR, "fresh", 0),
        (10 * HOUR, 7 * HOUR, 8 * HOUR, "fresh", 3 * 3600),
        (10 * HOUR, 7 * HOUR - 1, 8 * HOUR, "default", 3 * 3600),
        (10 * HOUR, 7 * HOUR - 1_000_000, 8 * HOUR, "default", 3 * 3600 + 1),
        (10 * HOUR, 9 * HOUR, 10 * HOUR, "fresh", 3600),
        (10 * HOUR, 9 * HOUR, 10 * HOUR + 1, "default", None),
        (10 * HOUR, 11 * HOUR, 9 * HOUR, "fresh", -3600),
        (10 * HOUR, 10 * HOUR + 1, 9 * HOUR, "fresh", -1),
        (10 * HOUR, None, None, "default", None),
        (10 * HOUR, None, 9 * HOUR, "default", None),
        (10 * HOUR, 9 * HOUR, None, "default", None),
        (None, 9 * HOUR, 9 * HOUR, "default", None),
        (2**63 - 1, -(2**63), 0, "default", (2**63 - 2) // 1_000_000),
    ],
    ids=[
        "now",
        "just-fresh",
        "just-stale",
        "stale",
        "just-available",
        "future",
        "forecast",
        "forecast-rounds-down",
        "missing",
        "no-event-time",
        "never-available",
        "record-without-time",
        "no-overflow",
    ],
)
def test_a_value_is_judged_by_the_times_of_record_and_value_alone(
    record: int | None, value: int | None, available: int | None, outcome: str, age_s: int | None
) -> None:
    result = judged(stored(), (record, value, available))

    assert words(result) == [outcome]
    assert result.has_value.tolist() == [age_s is not None]
    assert result.age_s.tolist() == [age_s or 0]
    assert result.is_used.tolist() == [outcome == "fresh"]
    assert result.faults == ()


def test_a_stale_value_is_used_up_to_an_age() -> None:
    chosen = stored(stale_ok="6h", when_stale=REJECT)
    result = judged(chosen, *((10 * HOUR, (10 - age) * HOUR, 0) for age in (3, 4, 6, 7)))

    assert words(result) == ["fresh", "stale", "stale", "reject"]
    assert result.is_used.tolist() == [True, True, True, False]
    assert summary(result.faults) == [("weather", "stored_stale", [3])]
    assert result.faults[0].expected == "a value of at most 6h"


@pytest.mark.parametrize(
    ("when_missing", "when_stale", "outcomes"),
    [
        (DEFAULT, None, ["default", "default", "default"]),
        (REJECT, None, ["reject", "reject", "reject"]),
        (DEFAULT, REJECT, ["default", "default", "reject"]),
        (REJECT, DEFAULT, ["reject", "reject", "default"]),
    ],
)
def test_what_happens_is_what_the_set_says(when_missing: Any, when_stale: Any, outcomes: list[str]) -> None:
    chosen = stored(when_missing=when_missing, when_stale=when_stale)

    result = judged(chosen, (10 * HOUR, None, None), (10 * HOUR, 9 * HOUR, 11 * HOUR), (10 * HOUR, HOUR, HOUR))

    assert words(result) == outcomes
    every = ["stored_missing", "stored_future", "stored_stale"]
    assert [(str(fault.code), fault.rows.tolist()) for fault in result.faults] == [
        (code, [row]) for row, code in enumerate(every) if outcomes[row] == "reject"
    ]
    assert chosen.has_fallback == (when_missing == DEFAULT)


def test_without_a_greatest_age_a_value_is_never_stale() -> None:
    assert words(judged(stored(max_age=None), (2**60, 0, 0))) == ["fresh"]


def test_nothing_is_judged_in_an_empty_batch_and_slices_are_fine() -> None:
    assert judged(stored(), (0, 0, 0)).outcome.dtype == np.int8
    assert len(judge(stored(), times(), times(), times()).outcome) == 0
    at, value = times(None, 10 * HOUR, 10 * HOUR).slice(1), times(0, 9 * HOUR, None).slice(1)
    assert words(judge(stored(), at, value, value)) == ["fresh", "default"]


# --- The record -------------------------------------------------------------------------------------------------------


def record(*rows: tuple[float | None, float | None, int | None, int | None], **columns: Any) -> pa.RecordBatch:
    """Return a batch of (wind, rain, event time, available at)."""
    wind, rain, event, available = zip(*rows, strict=True)
    made = {
        "wind": pa.array(wind, F32),
        "rain": pa.array(rain, F32),
        "weather__event_time": times(*event),
        "weather__available_at": times(*available),
    }
    return pa.record_batch(made | columns)


def applied(chosen: Stored, batch: pa.RecordBatch, at: int = 10 * HOUR) -> tuple[pa.RecordBatch, list[Fault]]:
    columns, faults = apply(chosen, batch, times(*[at] * batch.num_rows))
    return pa.RecordBatch.from_arrays(columns, list(chosen.columns)), faults


GIVEN = record(
    (1.0, 2.0, 9 * HOUR, 9 * HOUR),
    (3.0, 4.0, 9 * HOUR, 11 * HOUR),
    (5.0, 6.0, HOUR, HOUR),
    (None, None, None, None),
    (None, None, 9 * HOUR, 9 * HOUR),
)


def test_a_value_that_does_not_count_gives_way_to_defaults_and_nulls() -> None:
    got, faults = applied(stored(), GIVEN)

    assert faults == []
    assert got.column("wind").to_pylist() == [1.0, None, None, None, None]
    assert got.column("rain").to_pylist() == [2.0, 0.5, 0.5, 0.5, 0.5]
    assert got.column("weather__event_time").equals(GIVEN.column("weather__event_time"))
    assert got.column("weather__available_at").equals(GIVEN.column("weather__available_at"))


def test_the_checked_columns_stay_as_they_are_when_checked_again() -> None:
    once, _ = applied(stored(stale_ok="12h"), GIVEN)
    twice, faults = applied(stored(stale_ok="12h"), once)

    assert twice.equals(once)
    assert faults == []
    assert once.column("wind").to_pylist() == [1.0, None, 5.0, None, None]


def test_a_refused_row_has_one_reason_and_a_bad_value_its_own() -> None:
    seats = Field(name="rain", type=F32, minimum=0)
    chosen = stored(fields=[WIND, seats], when_missing=REJECT)

    _, faults = applied(
        chosen, record((1.0, -1.0, HOUR, 11 * HOUR), (1.0, None, None, None), (1.0, -2.0, 9 * HOUR, 9 * HOUR))
    )

    assert summary(faults) == [
        ("weather", "stored_missing", [1]),
        ("weather", "stored_future", [0]),
        ("rain", "out_of_range", [2]),
    ]


def test_a_null_in_a_value_that_counts_follows_the_fields_contract() -> None:
    bare = stored(fields=[Field(name="rain", type=F32), WIND], when_missing=REJECT)

    got, faults = applied(bare, record((1.0, None, 9 * HOUR, 9 * HOUR)))

    assert summary(faults) == [("rain", "null_not_allowed", [0])]
    assert got.column("wind").to_pylist() == [1.0]


def test_what_narrows_to_the_declared_type_is_widened() -> None:
    batch = record((1.0, 2.0, 0, 0), wind=pa.array([3], pa.int16()), rain=pa.array([4.0], F32).dictionary_encode())
    got, _ = applied(stored(max_age=None), batch)
    assert got.to_pylist()[0]["wind"] == 3.0


def test_the_use_says_what_became_of_each_row() -> None:
    got, _ = applied(stored(stale_ok="12h"), GIVEN)

    found = use(stored(stale_ok="12h"), got, times(*[10 * HOUR] * 5))

    assert found.outcome.to_pylist() == ["fresh", "default", "stale", "default", "fresh"]
    assert found.age_s.to_pylist() == [3600, None, 9 * 3600, None, 3600]
    assert found.age_s.type == pa.int64()
    taken = found.take(np.array([2, 3]))
    assert isinstance(taken, StoredUse)
    assert (taken.outcome.to_pylist(), taken.age_s.to_pylist()) == (["stale", "default"], [9 * 3600, None])


# --- The declaration --------------------------------------------------------------------------------------------------


def test_the_contract_states_what_decides_and_ages_in_seconds() -> None:
    chosen = stored(max_age="90m", stale_ok="2d", when_stale=REJECT, description="hourly")

    assert chosen.contract() == {
        "name": "weather",
        "key": "place",
        "fields": [WIND.contract(), RAIN.contract()],
        "max_age_s": 5400,
        "when_missing": "default",
        "when_stale": "reject",
        "stale_ok_s": 172_800,
        "description": "hourly",
    }
    assert stored(max_age=None).contract() | {"fields": None} == {
        "name": "weather",
        "key": "place",
        "fields": None,
        "max_age_s": None,
        "when_missing": "default",
        "when_stale": "default",
        "stale_ok_s": None,
        "description": "",
    }


def test_its_columns_are_the_fields_and_both_times() -> None:
    assert stored().columns == ("wind", "rain", "weather__event_time", "weather__available_at")
    assert [field.type for field in stored().record_fields] == [F32, F32, TIMESTAMP, TIMESTAMP]
    assert stored().layout.schema.names == ["wind", "rain"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_age": "3 hours"}, "has an age that is none"),
        ({"max_age": "0h"}, "has an age that is none"),
        ({"stale_ok": "-1h"}, "has an age that is none"),
        ({"max_age": "6h", "stale_ok": "6h"}, "stale_ok that is not above its max_age"),
        ({"max_age": None, "stale_ok": "6h"}, "has no max_age"),
        ({"max_age": None, "when_stale": REJECT}, "has no max_age"),
        ({"fields": [Field(name="wind", type=F32)]}, "falls back to defaults, and 'wind' has none"),
        (
            {"fields": [Field(name="wind", type=F32)], "when_missing": REJECT, "when_stale": DEFAULT},
            "falls back to defaults, and 'wind' has none",
        ),
        ({"when_missing": "drop"}, "neither of default, reject"),
        ({"fields": []}, "a packed row needs fields"),
        ({"fields": [WIND, WIND]}, "each once"),
    ],
)
def test_a_set_that_contradicts_itself_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(FeatureViewError, match=said):
        stored(**changes)


@pytest.mark.parametrize("name", ["Weather", "origin weather", "a:b", "", "9a"])
def test_a_name_becomes_part_of_columns_and_keys(name: str) -> None:
    with pytest.raises(FeatureViewError, match="needs a name"):
        Stored(name, key="place", fields=[WIND], max_age="3h", when_missing=DEFAULT)
