from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from scoretrail import digest
from scoretrail.errors import FeatureViewError, SchemaMismatchError
from scoretrail.feature import DEFAULT, REJECT, Derived, FeatureView, Field, Request, Stored, training_inputs
from scoretrail.feature.schema import TIMESTAMP, Fault
from scoretrail.feature.source import load_view
from scoretrail.feature.view import faulty_rows
from tests.factory.trip import FEATURES, HOUR_US, INPUTS, START_US, trip_batch, trip_records

F32, TEXT = pa.float32(), pa.string()


def speed(record: pa.RecordBatch) -> pa.Array:
    return pc.divide(record.column("distance"), record.column("hours"))


def half(record: pa.RecordBatch) -> pa.Array:
    return pc.multiply(record.column("speed"), pa.scalar(0.5, F32))


def view(**changes: Any) -> FeatureView:
    return FeatureView(
        **{
            "name": "trips",
            "entity_key": "trip_id",
            "event_time": "left_at",
            "request": [
                Request("carrier", TEXT, categories=("A", "B"), normalise=("upper",)),
                Request("distance", F32, minimum=0, description="in km"),
                Request("hours", F32, default=1.0),
            ],
            "derived": [Derived("speed", F32, of=speed, maximum=1000), Derived("half", F32, of=half)],
            "inputs": ["half", "carrier", "distance"],
        }
        | changes
    )


def records(**columns: Any) -> pa.RecordBatch:
    made: dict[str, pa.Array] = {
        "left_at": pa.array([0, 1, 2], TIMESTAMP),
        "distance": pa.array([10, 20, 30], F32),
        "carrier": pa.array(["a", "B", "A"]),
        "hours": pa.array([1, None, 2], F32),
        "trip_id": pa.array(["t0", "t1", "t2"]),
        "price": pa.array([1.0, 2.0, 3.0]),
    }
    return pa.record_batch({key: value for key, value in (made | columns).items() if value is not None})


def summary(faults: list[Fault]) -> list[tuple[str, str, list[int]]]:
    return [(fault.field, fault.code.value, fault.rows.tolist()) for fault in faults]


# --- The schema -------------------------------------------------------------------------------------------------------


def test_further_columns_and_another_order_are_fine() -> None:
    view().match(records().schema)


@pytest.mark.parametrize(("given", "near"), [("distence", "distance"), ("DISTANCE", "distance"), ("trip", None)])
def test_a_missing_column_names_the_nearest(given: str, near: str | None) -> None:
    schema = pa.schema([(given if name == "distance" else name, type_) for name, type_ in columns(records())])

    with pytest.raises(SchemaMismatchError, match="column 'distance' is missing") as caught:
        view().match(schema, "a.parquet")

    assert caught.value.where == "a.parquet"
    assert caught.value.expected == "distance float"
    assert caught.value.fix == (f"did you mean {given!r}?" if near else "write the column once, under this name")
    assert given in str(caught.value.got)


def columns(batch: pa.RecordBatch) -> list[tuple[str, pa.DataType]]:
    return [(field.name, field.type) for field in batch.schema]


@pytest.mark.parametrize("name", ["trip_id", "left_at", "carrier"])
def test_keys_and_times_are_columns_that_must_be_there(name: str) -> None:
    with pytest.raises(SchemaMismatchError, match=f"column '{name}' is missing"):
        view().match(records(**{name: None}).schema)


def test_a_column_that_is_there_twice_is_refused() -> None:
    schema = pa.schema([*columns(records()), ("hours", F32)])

    with pytest.raises(SchemaMismatchError, match="column 'hours' is there more than once"):
        view().match(schema)


def test_an_empty_schema_is_refused() -> None:
    with pytest.raises(SchemaMismatchError) as caught:
        view().match(pa.schema([]))
    assert caught.value.got == "no columns"


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("distance", pa.float64()),
        ("distance", TEXT),
        ("distance", pa.int32()),
        ("carrier", pa.int64()),
        ("left_at", pa.timestamp("us")),
        ("left_at", TEXT),
        ("trip_id", pa.int64()),
    ],
)
def test_a_type_that_would_narrow_is_refused(name: str, given: pa.DataType) -> None:
    schema = pa.schema([(key, given if key == name else type_) for key, type_ in columns(records())])

    with pytest.raises(SchemaMismatchError, match=f"column '{name}' has a type that cannot be widened") as caught:
        view().match(schema)
    assert caught.value.got == str(given)


def test_the_entity_key_may_have_another_type() -> None:
    chosen = view(entity_key_type=pa.int64())
    batch = records(trip_id=pa.array([1, 2, 3], pa.int32()))

    chosen.match(batch.schema)

    assert chosen.prepare(batch)[0].column("trip_id").type == pa.int64()
    assert chosen.contract()["entity_key"] == {"name": "trip_id", "type": "int64"}


# --- Records and inputs -----------------------------------------------------------------------------------------------


def test_the_record_has_the_declared_columns_in_order_normalised() -> None:
    record, faults = view().prepare(
        records(carrier=pa.array(["a", "B", "A"]).dictionary_encode(), distance=pa.array([10, 20, 30], pa.int16()))
    )

    assert faults == []
    assert record.schema.names == list(view().record_columns) == ["trip_id", "left_at", "carrier", "distance", "hours"]
    assert record.to_pydict() | {"left_at": None} == {
        "trip_id": ["t0", "t1", "t2"],
        "left_at": None,
        "carrier": ["A", "B", "A"],
        "distance": [10.0, 20.0, 30.0],
        "hours": [1.0, 1.0, 2.0],
    }


def test_rows_that_break_the_contract_are_named_and_stay_in_place() -> None:
    record, faults = view().prepare(
        records(
            trip_id=pa.array(["t0", None, "t2"]),
            left_at=pa.array([None, 1, 2], TIMESTAMP),
            carrier=pa.array(["A", "C", None]),
            distance=pa.array([-1, 1, np.nan], F32),
        )
    )

    assert record.num_rows == 3
    assert summary(faults) == [
        ("trip_id", "null_not_allowed", [1]),
        ("left_at", "null_not_allowed", [0]),
        ("carrier", "null_not_allowed", [2]),
        ("carrier", "unknown_category", [1]),
        ("distance", "null_not_allowed", [2]),
        ("distance", "out_of_range", [0]),
    ]
    assert faulty_rows(faults).tolist() == [0, 1, 2]


def test_no_faults_have_no_rows() -> None:
    assert faulty_rows([]).tolist() == []


def test_a_time_with_nanoseconds_that_would_be_lost_is_refused() -> None:
    batch = records(left_at=pa.array([0, 1, 2], pa.timestamp("ns", "UTC")))

    view().match(batch.schema)
    with pytest.raises(SchemaMismatchError, match="column 'left_at' cannot be cast without loss"):
        view().prepare(batch)


def test_the_inputs_are_in_the_declared_order_and_derived_features_see_earlier_ones() -> None:
    record, _ = view().prepare(records())

    features, faults = view().derive(record)

    assert faults == []
    assert features.schema.names == ["half", "carrier", "distance"]
    assert features.to_pydict() == {
        "half": [5.0, 10.0, 7.5],
        "carrier": ["A", "B", "A"],
        "distance": [10.0, 20.0, 30.0],
    }


def test_a_derived_feature_is_held_to_its_contract() -> None:
    record, _ = view().prepare(records(hours=pa.array([0.001, 0, 0], F32), distance=pa.array([10, 20, 0], F32)))

    _, faults = view().derive(record)

    assert summary(faults) == [
        ("speed", "infinite", [1]),
        ("speed", "null_not_allowed", [2]),
        ("speed", "out_of_range", [0, 1]),
        ("half", "infinite", [1]),
        ("half", "null_not_allowed", [2]),
    ]


def test_no_rows_give_no_rows() -> None:
    record, faults = view().prepare(records().slice(0, 0))

    assert faults == []
    assert view().derive(record)[0].num_rows == 0


def test_a_derived_feature_may_return_a_narrower_type_or_chunks() -> None:
    derived = [
        Derived("one", F32, of=lambda record: pa.array([1] * record.num_rows, pa.int8())),
        Derived("two", F32, of=lambda record: pa.chunked_array([record.column("distance")])),
    ]
    chosen = view(derived=derived, inputs=["one", "two"])

    features, _ = chosen.derive(chosen.prepare(records())[0])

    assert features.to_pydict() == {"one": [1.0] * 3, "two": [10.0, 20.0, 30.0]}


@pytest.mark.parametrize(
    ("of", "got"),
    [
        (lambda record: record.column("distance").cast(pa.float64()), "double, 3 rows"),
        (lambda record: record.column("distance").slice(1), "float, 2 rows"),
        (lambda record: record.column("carrier"), "string, 3 rows"),
        (lambda record: np.zeros(record.num_rows, np.float32), "a ndarray"),
        (lambda record: 5, "a int"),
    ],
)
def test_a_derived_feature_with_the_wrong_shape_or_type_is_refused(of: Any, got: str) -> None:
    chosen = view(derived=[Derived("speed", F32, of=of)], inputs=["speed"])

    with pytest.raises(FeatureViewError, match="derived feature 'speed' has the wrong shape or type") as caught:
        chosen.derive(chosen.prepare(records())[0])
    assert (caught.value.expected, caught.value.got) == ("float, 3 rows", got)


def test_a_derived_feature_that_fails_is_named() -> None:
    chosen = view(derived=[Derived("speed", F32, of=lambda record: record.column("colour"))], inputs=["speed"])

    with pytest.raises(FeatureViewError, match="the function of derived feature 'speed' failed") as caught:
        chosen.derive(chosen.prepare(records())[0])
    assert "colour" in str(caught.value.got)


# --- Views that contradict themselves ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"inputs": []}, "view 'trips' needs inputs, each once"),
        ({"inputs": ["half", "half"]}, "view 'trips' needs inputs, each once"),
        ({"entity_key": "left_at"}, "view 'trips' uses a name twice"),
        ({"event_time": "distance"}, "view 'trips' uses a name twice"),
        ({"derived": [Derived("hours", F32, of=speed)]}, "view 'trips' uses a name twice"),
        ({"inputs": ["halv"]}, "did you mean half?"),
        ({"inputs": ["zzz"]}, "declare the feature"),
        ({"inputs": ["left_at"]}, "view 'trips' has an input that is no feature"),
        ({"request": [Request("when", TIMESTAMP)], "derived": [], "inputs": ["when"]}, "has a type no model takes"),
        ({"request": [Request("n", pa.int16())], "derived": [], "inputs": ["n"]}, "has a type no model takes"),
        (
            {"request": [Request("n", pa.int64(), nullable=True)], "derived": [], "inputs": ["n"]},
            "only floats have a NaN to say so",
        ),
    ],
)
def test_a_view_that_contradicts_itself_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(FeatureViewError) as caught:
        view(**changes)
    assert said in str(caught.value)


def test_what_is_no_input_may_be_of_any_type_and_null() -> None:
    chosen = view(request=[*view().request, Request("when", pa.date32(), nullable=True)])

    record, faults = chosen.prepare(records(when=pa.array([None, 1, 2], pa.date32())))

    assert faults == []
    assert record.column("when").null_count == 1


def test_the_contract_states_everything_but_the_functions() -> None:
    contract = view().contract()

    assert contract == view().contract()
    assert digest.of_json(contract) != digest.of_json(view(inputs=["half", "distance", "carrier"]).contract())
    assert {key: contract[key] for key in ("name", "entity_key", "event_time", "inputs")} == {
        "name": "trips",
        "entity_key": {"name": "trip_id", "type": "string"},
        "event_time": "left_at",
        "inputs": ["half", "carrier", "distance"],
    }
    assert [field.name for field in view().input_fields] == ["half", "carrier", "distance"]


# --- Stored features --------------------------------------------------------------------------------------------------

STORED = load_view(FEATURES, "trips")
GUST = Field(name="gust", type=F32, nullable=True)


def weather(**changes: Any) -> Stored:
    fields: dict[str, Any] = {"key": "carrier", "fields": [GUST], "max_age": "3h", "when_missing": DEFAULT}
    return Stored(changes.pop("name", "weather"), **(fields | changes))


def test_a_record_has_the_columns_of_its_stored_sets_after_those_that_come_with_it() -> None:
    assert [field.name for field in STORED.request_fields] == ["trip_id", "left_at", "place", "distance"]
    assert list(STORED.record_columns) == [
        *("trip_id", "left_at", "place", "distance"),
        *("wind", "rain", "weather__event_time", "weather__available_at"),
        *("seats", "vehicle__event_time", "vehicle__available_at"),
    ]
    STORED.match(trip_records().schema)
    with pytest.raises(SchemaMismatchError, match="column 'weather__available_at' is missing"):
        STORED.match(trip_records().drop_columns(["weather__available_at"]).schema)
    assert view().request_fields == view().record_fields


def test_stored_features_are_inputs_and_derived_ones_read_them() -> None:
    record, faults = STORED.prepare(trip_batch())
    features, more = STORED.derive(record)

    assert (faults, more) == ([], [])
    assert record.schema.names == list(STORED.record_columns)
    assert features.schema.names == list(INPUTS)
    assert features.column("chill").to_pylist() == [5.0, 5.5, 6.0, 6.5]
    assert STORED.prepare(record)[0].equals(record), "golden rows are checked again at each load"


def test_each_set_has_its_own_say_on_what_is_missing() -> None:
    known = [START_US, START_US + 2 * HOUR_US, None, START_US + 3 * HOUR_US]
    given = trip_batch(
        weather__available_at=pa.array(known, TIMESTAMP),
        vehicle__available_at=pa.array([0, 0, 0, None], TIMESTAMP),
        distance=pa.array([1, -1, 1, 1], F32),
    )
    record, faults = STORED.prepare(given)

    assert summary(faults) == [("distance", "out_of_range", [1]), ("vehicle", "stored_missing", [3])]
    assert record.column("wind").to_pylist() == [10.0, None, None, 13.0]
    assert record.column("rain").to_pylist() == [0.5, 0.0, 0.0, 0.5]
    uses = STORED.stored_use(record)
    assert uses["weather"].outcome.to_pylist() == ["fresh", "default", "default", "fresh"]
    assert uses["weather"].age_s.to_pylist() == [3600, None, None, 3600]
    assert uses["vehicle"].outcome.to_pylist()[:3] == ["fresh"] * 3
    assert view().stored_use(view().prepare(records())[0]) == {}


def test_an_entity_is_looked_up_by_its_checked_key() -> None:
    chosen = view(
        request=[*view().request, Request("plane", pa.int32(), nullable=True)],
        stored=[weather(), weather(name="age", key="plane", fields=[Field(name="years", type=F32, default=0.0)])],
    )
    batch = records(plane=pa.array([7, None, -1], pa.int16()), carrier=pa.array(["a", "B", None]).dictionary_encode())
    by_carrier, by_plane = (chosen.entities(one, batch) for one in chosen.stored)

    assert by_carrier.to_pylist() == ["A", "B", None]
    assert by_plane.to_pylist() == ["7", None, "-1"]
    assert by_carrier.type == by_plane.type == TEXT
    assert STORED.entities(STORED.stored[1], trip_batch()).to_pylist() == ["t0", "t1", "t2", "t3"]


def test_only_a_view_with_stored_sets_states_them() -> None:
    assert "stored" not in view().contract()
    assert view(stored=[weather()]).contract()["stored"] == [weather().contract()]
    rest = {key: value for key, value in view(stored=[weather()]).contract().items() if key != "stored"}
    assert rest == view().contract()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stored": [weather(key="carier")]}, "did you mean carrier?"),
        ({"stored": [weather(key="left_at")]}, "neither a request feature nor the entity key"),
        ({"stored": [weather(key="speed")]}, "neither a request feature nor the entity key"),
        ({"stored": [weather(key="distance")]}, "a key of a type that names no entity"),
        ({"stored": [weather(fields=[Field(name="hours", type=F32, default=1.0)])]}, "uses a name twice"),
        ({"stored": [weather(), weather(fields=[Field(name="rain", type=F32, default=1.0)])]}, "uses a name twice"),
        ({"stored": [weather(fields=[Field(name="speed", type=F32, default=1.0)])]}, "uses a name twice"),
        ({"stored": [weather()], "name": "a:b"}, "a colon in its name"),
        (
            {
                "stored": [weather(fields=[Field(name="n", type=pa.int64(), nullable=True)], when_missing=REJECT)],
                "inputs": ["n"],
            },
            "only floats have a NaN",
        ),
    ],
)
def test_a_stored_set_that_does_not_fit_its_view_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(FeatureViewError) as caught:
        view(**changes)
    assert said in str(caught.value)


# --- Training ---------------------------------------------------------------------------------------------------------


def test_the_training_matrix_is_what_scoring_sees_without_the_refused_rows() -> None:
    bad = records(carrier=pa.array(["a", "C", "A"]), hours=pa.array([1, 1, 0], F32))
    table = pa.Table.from_batches([records(), bad, records()])

    inputs, kept = training_inputs(view(), table)

    assert kept.tolist() == [0, 1, 2, 3, 6, 7, 8]
    assert inputs.schema == pa.schema([("half", F32), ("carrier", TEXT), ("distance", F32)])
    seen = view().derive(view().prepare(records())[0])[0]
    assert inputs.slice(0, 3).combine_chunks().to_batches()[0].equals(seen)
    assert inputs["distance"].to_pylist() == table["distance"].take(pa.array(kept)).to_pylist()


def test_no_training_data_give_no_matrix_and_wrong_ones_are_refused() -> None:
    inputs, kept = training_inputs(view(), pa.Table.from_batches([], records().schema))
    assert (inputs.num_rows, inputs.schema.names, kept.tolist()) == (0, ["half", "carrier", "distance"], [])

    with pytest.raises(SchemaMismatchError) as caught:
        training_inputs(view(), pa.table({"trip_id": ["a"]}))
    assert caught.value.where == "training data"
