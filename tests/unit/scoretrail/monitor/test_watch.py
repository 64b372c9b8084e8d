from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from scoretrail.model.bundle import Bundle
from scoretrail.model.manifest import Abstention, Output
from scoretrail.monitor.watch import Watched, columns_of, rows_of, watched
from scoretrail.scoring import score_batch
from tests.factory.example import SPEEDS, Example
from tests.factory.onnx_graph import sigmoid_network
from tests.factory.registered import load_example
from tests.factory.trip import trip_batch, trips_example
from tests.factory.watched import readings, watched_bundle

SAID = {
    "binary": ["score", "confidence", "label", "decision"],
    "multiclass": ["score", "label", "decision"],
    "regression": ["score"],
}


def names(bundle: Bundle, group: str) -> list[str]:
    return [one.name for one in watched(bundle.view, bundle.manifest) if one.group == group]


def several() -> Bundle:
    """Return a classifier of three classes."""
    chosen = Example(name="speed", onnx=sigmoid_network(columns=3), task="multiclass", classes=SPEEDS)
    output = Output(task="multiclass", name="scores", form="matrix", classes=SPEEDS)
    return load_example(chosen, output=output)


@pytest.mark.parametrize("make", [watched_bundle, several, lambda: load_example(trips_example())])
def test_what_a_model_says_depends_on_its_task(make: Callable[[], Bundle]) -> None:
    bundle = make()

    assert names(bundle, "output") == SAID[bundle.manifest.output.task]


def test_the_decision_of_a_regressor_is_watched_where_it_may_abstain() -> None:
    band = Abstention(low=0.0, high=20.0, decision="ask")
    bundle = load_example(trips_example(), abstention=band)
    batch = trip_batch(9)
    scored, _ = score_batch(bundle, batch)

    found = {one.name: column for one, column in columns_of(watched(bundle.view, bundle.manifest), batch, scored)}

    assert names(bundle, "output") == ["score", "decision"]
    asked = ["ask" if 0 <= score < 20 else None for score in scored.score.to_pylist()]
    assert found["decision"].to_pylist() == asked
    assert "ask" in asked


def test_request_features_are_watched_once_and_derived_inputs_too() -> None:
    bundle = several()

    assert names(bundle, "request") == ["weight_kg", "distance_km", "height_m"]
    assert names(bundle, "derived") == ["density"]


def test_request_features_that_the_model_does_not_take_are_watched() -> None:
    assert names(watched_bundle(), "request") == ["x", "amount", "n", "word", "flag"]
    assert "word" not in watched_bundle().view.inputs


def test_stored_inputs_and_what_became_of_their_sets_are_watched() -> None:
    bundle = load_example(trips_example())

    assert names(bundle, "stored") == ["wind", "rain", "seats"]
    assert names(bundle, "lookup") == ["weather", "vehicle"]
    assert names(bundle, "derived") == ["chill"]


def test_times_are_not_watched() -> None:
    bundle = watched_bundle(more='Request("seen_at", pa.timestamp("us", tz="UTC")),')

    assert names(bundle, "request") == names(watched_bundle(), "request")


@pytest.mark.parametrize(
    ("given", "is_number"),
    [(pa.float32(), True), (pa.int64(), True), (pa.bool_(), False), (pa.string(), False)],
)
def test_numbers_have_bins_of_numbers(given: pa.DataType, is_number: bool) -> None:
    assert Watched("request", "x", given).is_number is is_number


def test_request_columns_come_of_all_rows_and_the_rest_of_the_scored_rows() -> None:
    bundle = watched_bundle()
    (batch,) = readings(3, x=pa.array([1.0, 99.0, 2.0], pa.float32())).to_batches()
    scored, _ = score_batch(bundle, batch)

    found = {one.name: column for one, column in columns_of(watched(bundle.view, bundle.manifest), batch, scored)}

    assert list(found) == [one.name for one in watched(bundle.view, bundle.manifest)]
    assert found["x"].to_pylist() == [1.0, 99.0, 2.0]
    assert found["half"].to_pylist() == [0.5, 1.0]
    assert found["score"].equals(scored.score)
    assert len(found["label"]) == 2


def test_the_rows_for_pictures_are_the_scored_ones_in_the_spelling_of_the_contract() -> None:
    bundle = watched_bundle()
    x, word = pa.array([1.0, 99.0, 2.0], pa.float32()), pa.array([" a", "b", None])
    (batch,) = readings(3, x=x, word=word, flag=pa.array([True, None, False])).to_batches()
    scored, _ = score_batch(bundle, batch)

    rows = rows_of(watched(bundle.view, bundle.manifest), batch, scored)

    assert rows.column("x").to_pylist() == [1.0, 2.0]
    assert rows.column("word").to_pylist() == ["A", None]
    assert rows.column("flag").to_pylist() == ["true", "false"]
    assert rows.column("label").to_pylist() == ["yes", "yes"]
    assert rows.schema.field("label").type == pa.string()


def test_look_ups_are_among_the_rows_for_pictures() -> None:
    bundle = load_example(trips_example())
    batch = trip_batch(4)
    scored, _ = score_batch(bundle, batch)

    assert rows_of(watched(bundle.view, bundle.manifest), batch, scored).column("weather").to_pylist() == ["fresh"] * 4
