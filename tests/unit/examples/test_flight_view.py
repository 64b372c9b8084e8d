"""The demo's feature view: what known flights become, what is refused, and that each row stands alone."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from examples.flights.prepare import PreparedFlights
from scoretrail.errors import SchemaMismatchError
from scoretrail.feature import FeatureView
from scoretrail.feature.schema import FaultCode
from tests.unit.examples.conftest import MakeRecord

NEW_YORK = ZoneInfo("America/New_York")


def inputs(view: FeatureView, batch: pa.RecordBatch) -> list[dict[str, Any]]:
    checked, faults = view.prepare(batch)
    assert faults == []
    made, faults = view.derive(checked)
    assert faults == []
    return made.to_pylist()  # type: ignore[no-any-return]


def refusals(view: FeatureView, batch: pa.RecordBatch) -> list[tuple[FaultCode, str, list[int]]]:
    checked, faults = view.prepare(batch)
    if not faults:
        _, faults = view.derive(checked)
    return [(fault.code, fault.field, fault.rows.tolist()) for fault in faults]


def test_a_known_flight(view: FeatureView, record: MakeRecord) -> None:
    assert inputs(view, record({})) == [
        {
            "carrier_code": 11.0,
            "origin_code": 0.0,
            "dest_code": 37.0,
            "dep_hour": 5.0,
            "dep_minute": 315.0,
            "day_of_week": 1.0,
            "distance": 1400.0,
            "clock_minutes": 184.0,
        }
    ]


@pytest.mark.parametrize(
    ("instant", "minute", "weekday"),
    [
        ("2013-03-10T06:59:00Z", 1 * 60 + 59, 6),  # the last minute of winter time
        ("2013-03-10T07:00:00Z", 3 * 60, 6),  # the clocks skip an hour
        ("2013-11-03T05:59:00Z", 1 * 60 + 59, 6),  # the last minute of summer time
        ("2013-11-03T06:00:00Z", 1 * 60, 6),  # the clocks repeat an hour
        ("2013-12-02T04:59:00Z", 23 * 60 + 59, 6),  # Monday in UTC, Sunday in New York
        ("2013-12-02T05:00:00Z", 0, 0),
        ("2013-07-01T03:59:00Z", 23 * 60 + 59, 6),  # the same at four hours' distance
        ("2013-07-01T04:00:00Z", 0, 0),
    ],
)
def test_the_clock_is_new_yorks(view: FeatureView, record: MakeRecord, instant: str, minute: int, weekday: int) -> None:
    at = datetime.fromisoformat(instant)
    (made,) = inputs(view, record({"sched_dep_at": at, "sched_arr_minute": (minute + 90) % 1440}))
    assert (made["dep_minute"], made["dep_hour"], made["day_of_week"]) == (minute, minute // 60, weekday)
    assert (at.astimezone(NEW_YORK).hour, at.astimezone(NEW_YORK).weekday()) == (minute // 60, weekday)


def test_an_arrival_after_midnight_counts_on(view: FeatureView, record: MakeRecord) -> None:
    late = {"sched_dep_at": datetime(2013, 1, 2, 4, 0, tzinfo=UTC), "sched_arr_minute": 3 * 60 + 20}
    assert inputs(view, record(late))[0]["clock_minutes"] == 4 * 60 + 20


def test_the_date_counts_by_its_weekday_only(view: FeatureView, record: MakeRecord) -> None:
    january, july = datetime(2013, 1, 8, 5, 15, tzinfo=NEW_YORK), datetime(2013, 7, 9, 5, 15, tzinfo=NEW_YORK)
    first, second = inputs(view, record({"sched_dep_at": january}, {"sched_dep_at": july}))
    assert first == second
    (other,) = inputs(view, record({"sched_dep_at": january.replace(day=9)}))
    assert other != first


def test_what_is_not_known_at_scheduled_departure_is_not_asked_for(view: FeatureView) -> None:
    asked = {"flight_id", "sched_dep_at", "carrier", "origin", "dest", "distance", "sched_arr_minute"}
    assert set(view.record_columns) == asked


def test_spelling_is_normalised(view: FeatureView, record: MakeRecord) -> None:
    plain, spelt = inputs(view, record({}, {"carrier": " ua", "origin": "ewr ", "dest": "Iah"}))
    assert spelt == plain


def test_an_unlisted_destination_is_the_other_one(view: FeatureView, record: MakeRecord) -> None:
    unlisted, other = inputs(view, record({"dest": "ZZZ"}, {"dest": "EYW"}))
    dest = next(field for field in view.request if field.name == "dest")
    assert dest.categories is not None
    assert unlisted["dest_code"] == other["dest_code"] == len(dest.categories) - 1
    assert dest.categories[-1] == dest.other


@pytest.mark.parametrize(
    ("different", "code", "field"),
    [
        ({"flight_id": None}, FaultCode.NULL, "flight_id"),
        ({"sched_dep_at": None}, FaultCode.NULL, "sched_dep_at"),
        ({"carrier": None}, FaultCode.NULL, "carrier"),
        ({"dest": None}, FaultCode.NULL, "dest"),
        ({"distance": None}, FaultCode.NULL, "distance"),
        ({"distance": float("nan")}, FaultCode.NULL, "distance"),
        ({"sched_arr_minute": None}, FaultCode.NULL, "sched_arr_minute"),
        ({"carrier": "ZZ"}, FaultCode.CATEGORY, "carrier"),
        ({"origin": "BOS"}, FaultCode.CATEGORY, "origin"),
        ({"distance": 0.0}, FaultCode.RANGE, "distance"),
        ({"distance": 6001.0}, FaultCode.RANGE, "distance"),
        ({"distance": float("inf")}, FaultCode.INFINITE, "distance"),
        ({"sched_arr_minute": -1}, FaultCode.RANGE, "sched_arr_minute"),
        ({"sched_arr_minute": 1440}, FaultCode.RANGE, "sched_arr_minute"),
        ({"sched_arr_minute": 5 * 60 + 15}, FaultCode.RANGE, "clock_minutes"),
        ({"sched_arr_minute": 5 * 60 + 14}, FaultCode.RANGE, "clock_minutes"),
    ],
)
def test_a_flight_that_cannot_be_is_refused(
    view: FeatureView, record: MakeRecord, different: dict[str, Any], code: FaultCode, field: str
) -> None:
    found = refusals(view, record({}, different))
    assert (code, field, [1]) in found
    assert all(rows == [1] for _, _, rows in found)


def test_a_real_day_is_accepted_as_it_was_written(view: FeatureView, prepared: PreparedFlights) -> None:
    table = ds.dataset(prepared.flights, partitioning="hive").to_table()
    view.match(table.schema)
    for batch in table.to_batches():
        assert refusals(view, batch) == []


def test_a_narrower_clock_is_not_accepted(view: FeatureView, record: MakeRecord) -> None:
    schema = record({}).schema
    at = schema.get_field_index("sched_arr_minute")
    with pytest.raises(SchemaMismatchError, match="sched_arr_minute"):
        view.match(schema.set(at, pa.field("sched_arr_minute", pa.int64())))


def test_company_changes_nothing(view: FeatureView, prepared: PreparedFlights) -> None:
    (batch,) = pq.read_table(prepared.training_file(3)).combine_chunks().to_batches()
    checked, _ = view.prepare(batch)
    together, _ = view.derive(checked)
    order = np.random.default_rng(7).permutation(batch.num_rows)
    permuted, _ = view.derive(checked.take(pa.array(order)))
    assert permuted.equals(together.take(pa.array(order)))
    for at in range(0, batch.num_rows, 97):
        alone, _ = view.derive(checked.slice(at, 1))
        assert alone.equals(together.slice(at, 1))


def test_every_input_is_an_integer_that_float32_holds(view: FeatureView, prepared: PreparedFlights) -> None:
    (batch,) = pq.read_table(prepared.training_file(7)).combine_chunks().to_batches()
    made, _ = view.derive(view.prepare(batch)[0])
    assert {column.type for column in made.columns} == {pa.float32()}
    matrix = np.column_stack([np.asarray(column) for column in made.columns])
    assert (matrix == np.rint(matrix)).all()
    assert np.abs(matrix).max() < 2**24


def test_every_field_is_described(view: FeatureView) -> None:
    assert [field.name for field in (*view.request, *view.derived) if not field.description.endswith(".")] == []
