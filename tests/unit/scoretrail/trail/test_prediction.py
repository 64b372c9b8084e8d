"""The columns of the tables, and the arrays that fill them."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from scoretrail.errors import OutputTableError
from scoretrail.feature.schema import TIMESTAMP
from scoretrail.model.bundle import Bundle
from scoretrail.scoring import score_batch
from scoretrail.trail.prediction import (
    TrailValues,
    class_columns,
    constant_arrays,
    prediction_arrays,
    prediction_columns,
    reject_arrays,
    reject_columns,
    to_schema,
    to_trail_text,
)
from tests.factory import example
from tests.factory.registered import load_example
from tests.factory.trip import trip_batch, trips_example
from tests.factory.workshop import with_values

TRAIL = TrailValues(
    "m",
    "1.0.0",
    "champion",
    "a" * 64,
    "b" * 64,
    "c" * 64,
    "ds=1/a.parquet",
    "d" * 64,
    "r1",
    datetime(2013, 12, 5, tzinfo=UTC),
)
STORED_COLUMNS = ["weather_age_s", "weather_outcome", "vehicle_age_s", "vehicle_outcome"]
EXAMPLES: dict[str, Any] = {"binary": example.trees, "classes": example.classes, "regression": example.ridge}


@pytest.fixture(params=EXAMPLES)
def bundle(request: pytest.FixtureRequest) -> Bundle:
    return load_example(EXAMPLES[request.param]())


def test_the_arrays_of_a_batch_fill_every_column(bundle: Bundle) -> None:
    batch = with_values("weight_kg", {2: -1.0, 5: None}, 20).combine_chunks().to_batches()[0]
    scored, rejected = score_batch(bundle, batch)
    source_row = np.arange(100, 120)
    for columns, arrays, kept in (
        (prediction_columns(bundle.manifest), prediction_arrays(bundle.manifest, scored, source_row), scored.rows),
        (reject_columns(bundle.manifest), reject_arrays(bundle.manifest, rejected, source_row), rejected.rows),
    ):
        every = {**constant_arrays(TRAIL, len(kept)), **arrays}
        assert set(every) == {column.name for column in columns}
        for column in columns:
            array = every[column.name]
            plain = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
            assert (plain, len(array)) == (column.type, len(kept)), column.name
            assert column.nullable or not array.null_count, column.name
        assert every["source_row"].to_pylist() == source_row[kept].tolist()
    assert rejected.rows.tolist() == [2, 5]


def test_every_class_has_a_column_of_its_own_in_the_order_of_the_contract() -> None:
    bundle = load_example(example.classes())
    names = [column.name for column in prediction_columns(bundle.manifest)]
    at = names.index("score")
    assert names[at : at + 5] == ["score", "score_express", "score_normal", "score_slow", "label"]
    batch = example.parcels().slice(0, 10).combine_chunks().to_batches()[0]
    scored, _ = score_batch(bundle, batch)
    arrays = prediction_arrays(bundle.manifest, scored, np.arange(10))
    best = np.max([np.array(arrays[name]) for name in names[at + 1 : at + 4]], axis=0)
    assert np.array_equal(np.array(arrays["score"]), best)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("-1", "0", "1"), ("score_1", "score_0", "score_1_2")),
        (("a b", "A-B", "a_b"), ("score_a_b", "score_a_b_1", "score_a_b_2")),
        (("x", "x_1", "X"), ("score_x", "score_x_1", "score_x_2")),
        (("a", "a_2", "A"), ("score_a", "score_a_2", "score_a_2_2")),
        (("", "é"), ("score_class", "score_class_1")),
    ],
)
def test_labels_that_read_alike_have_columns_of_their_own(labels: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert class_columns(labels) == names


def test_partition_columns_stand_behind_the_key_and_the_time(bundle: Bundle) -> None:
    partition = [("ds", pa.string()), ("n", pa.int16())]
    for columns in (prediction_columns(bundle.manifest, partition), reject_columns(bundle.manifest, partition)):
        assert [(column.name, column.type) for column in columns[:4]] == [
            ("parcel_id", pa.string()),
            ("sent_at", TIMESTAMP),
            *partition,
        ]
    assert [column.nullable for column in reject_columns(bundle.manifest, partition)[:2]] == [True, True]
    assert [column.nullable for column in prediction_columns(bundle.manifest, partition)[:2]] == [False, False]


@pytest.mark.parametrize("name", ["score", "Role", "RUN_ID", "label"])
def test_a_name_that_the_table_needs_is_refused(name: str) -> None:
    manifest = load_example(example.trees()).manifest
    with pytest.raises(OutputTableError, match=f"two columns called '{name.lower()}'"):
        prediction_columns(manifest, [(name, pa.string())])


def test_reasons_are_columns_of_the_rejects_only() -> None:
    manifest = load_example(example.trees()).manifest
    assert prediction_columns(manifest, [("reason", pa.string())])
    with pytest.raises(OutputTableError, match="two columns called 'reason'"):
        reject_columns(manifest, [("reason", pa.string())])


def test_the_schema_carries_the_comments_and_leaves_nullability_to_the_contract(bundle: Bundle) -> None:
    schema = to_schema(prediction_columns(bundle.manifest))
    assert all(field.nullable for field in schema)
    comments = {field.name: field.metadata[b"comment"].decode() for field in schema}
    assert all(comments.values())
    assert (
        comments["score"]
        == {
            "binary": "Score of class 1, after caps",
            "multiclass": "Highest class score, after caps",
            "regression": "Predicted value, after caps",
        }[bundle.manifest.output.task]
    )


def test_the_trail_is_the_same_in_every_row() -> None:
    arrays = constant_arrays(TRAIL, 3)
    assert {name: array.to_pylist() for name, array in arrays.items()} == {
        name: [value] * 3 for name, value in vars(TRAIL).items()
    }
    assert constant_arrays(TRAIL, 0)["run_id"].to_pylist() == []
    assert to_trail_text(TRAIL)["scored_at"] == "2013-12-05T00:00:00.000000Z"
    assert to_trail_text(TRAIL)["role"] == "champion"


# --- Stored features --------------------------------------------------------------------------------------------------


def test_stored_sets_add_their_columns_at_the_end_and_only_where_there_are_some(bundle: Bundle) -> None:
    manifest = load_example(trips_example()).manifest
    columns = prediction_columns(manifest)

    assert [column.name for column in columns][-5:] == ["scored_at", *STORED_COLUMNS]
    assert [(column.type, column.nullable) for column in columns[-2:]] == [(pa.int64(), True), (pa.string(), False)]
    assert prediction_columns(bundle.manifest)[-1].name == "scored_at"
    assert reject_columns(manifest)[-1].name == "scored_at"


def test_age_and_outcome_of_stored_values_are_on_each_prediction() -> None:
    stored = load_example(trips_example())
    batch = trip_batch(4, distance=pa.array([1, 2, -1, 4], pa.float32()))
    scored, _ = score_batch(stored, batch)

    arrays = prediction_arrays(stored.manifest, scored, np.arange(4))

    assert list(arrays)[-4:] == STORED_COLUMNS
    assert arrays["weather_age_s"].to_pylist() == [3600] * 3
    assert arrays["weather_outcome"].to_pylist() == ["fresh"] * 3
    for column in prediction_columns(stored.manifest):
        if column.name in STORED_COLUMNS:
            array = arrays[column.name]
            assert (array.type.value_type if pa.types.is_dictionary(array.type) else array.type) == column.type


def test_a_stored_set_may_not_take_a_column_that_is_there() -> None:
    manifest = load_example(trips_example()).manifest
    with pytest.raises(OutputTableError, match="two columns called 'weather_outcome'"):
        prediction_columns(manifest, [("weather_outcome", pa.string())])
