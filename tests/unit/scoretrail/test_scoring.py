from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from onnx import helper, numpy_helper

from scoretrail.errors import FeatureViewError, SchemaMismatchError
from scoretrail.feature.schema import TIMESTAMP
from scoretrail.model.bundle import Bundle
from scoretrail.model.manifest import Abstention, Guards, Output
from scoretrail.scoring import Rejected, Scored, count_by_reason, score_batch, score_features
from tests.factory import example
from tests.factory.example import Example
from tests.factory.onnx_graph import matrix_in, model_bytes, scores_out
from tests.factory.registered import load_example
from tests.factory.trip import HOUR_US, INPUTS, START_US, trip_batch, trips_example

VIEW = b"""
import pyarrow as pa
import pyarrow.compute as pc

from scoretrail.feature import Derived, FeatureView, Request

view = FeatureView(
    name="numbers",
    entity_key="key",
    event_time="at",
    request=[Request("x", pa.float32(), minimum=-100, maximum=100), Request("y", pa.float32(), default=1.0)],
    derived=[Derived("ratio", pa.float32(), of=lambda record: pc.divide(record.column("x"), record.column("y")))],
    inputs=["ratio"],
)
"""


def numbers(operator: str = "Identity", **changes: Any) -> Bundle:
    """Return a regressor whose score is one operator of ``x / y``."""
    data = model_bytes([helper.make_node(operator, ["ratio"], ["scores"])], [matrix_in(1, "ratio")], [scores_out(1)])
    return load_example(Example(name="numbers", onnx=data, features=VIEW, view_name="view"), **changes)


def chances(**changes: Any) -> Bundle:
    """Return a binary classifier whose second class has the score ``x / y``."""
    output = Output(task="binary", name="scores", form="matrix", classes=("no", "yes"))
    return numbers(output=output, **changes)


def three(**changes: Any) -> Bundle:
    """Return a classifier whose classes a, b and c have the scores ``x / y``, 0.5 and 0."""
    rest = numpy_helper.from_array(np.array([[1, 0, 0]], np.float32), "rest")
    more = numpy_helper.from_array(np.array([[0, 0.5, 0]], np.float32), "more")
    nodes = [helper.make_node("MatMul", ["ratio", "rest"], ["z"]), helper.make_node("Add", ["z", "more"], ["scores"])]
    data = model_bytes(nodes, [matrix_in(1, "ratio")], [scores_out(3)], [rest, more])
    output = Output(task="multiclass", name="scores", form="matrix", classes=("a", "b", "c"))
    chosen = Example(name="three", onnx=data, features=VIEW, view_name="view")
    return load_example(chosen, output=output, **changes)


def batch(x: list[float | None], y: list[float | None] | None = None, **more: Any) -> pa.RecordBatch:
    columns: dict[str, Any] = {
        "key": pa.array([f"k{i}" for i in range(len(x))], pa.string()),
        "at": pa.array(range(len(x)), TIMESTAMP),
        "x": pa.array(x, pa.float32()),
        "y": pa.array(y if y is not None else [1.0] * len(x), pa.float32()),
    }
    return pa.record_batch(columns | more)


def score(bundle: Bundle, *columns: Any) -> tuple[Scored, Rejected]:
    scored, rejected = score_batch(bundle, batch(*columns))
    assert sorted([*scored.rows, *rejected.rows]) == list(range(len(columns[0]))), "each row is in exactly one of them"
    return scored, rejected


# --- Scores, labels and decisions -------------------------------------------------------------------------------------


def test_a_regressor_has_a_score_and_neither_label_nor_decision() -> None:
    scored, rejected = score(numbers(), [1, -2.5], [2, 1])

    assert scored.score.to_pylist() == [0.5, -2.5]
    assert scored.score.type == pa.float64()
    assert (scored.label.to_pylist(), scored.decision.to_pylist()) == ([None, None], [None, None])
    assert scored.guard.to_pylist() == [None, None]
    assert scored.class_scores == ()
    assert scored.entity_key.to_pylist() == ["k0", "k1"]
    assert scored.event_time.cast(pa.int64()).to_pylist() == [0, 1]
    assert len(rejected.rows) == 0


def test_a_binary_classifier_decides_for_its_second_class_from_the_threshold_on() -> None:
    scored, _ = score(chances(threshold=0.25), [0.0, 0.25, 0.2499999, 1.0])

    assert scored.label.to_pylist() == scored.decision.to_pylist() == ["no", "yes", "no", "yes"]
    assert scored.class_scores == ()


def test_a_classifier_of_several_classes_names_the_highest_score_and_states_all() -> None:
    scored, _ = score(three(), [0.25, 0.75])

    assert scored.label.to_pylist() == scored.decision.to_pylist() == ["b", "a"]
    assert scored.score.to_pylist() == [0.5, 0.75]
    assert [column.to_pylist() for column in scored.class_scores] == [[0.25, 0.75], [0.5, 0.5], [0, 0]]


def test_inside_the_band_a_rule_decides_and_the_label_stays_the_models() -> None:
    band = Abstention(low=0.4, high=0.6, decision="ask")

    scored, _ = score(chances(abstention=band), [0.39, 0.4, 0.59, 0.6])
    assert scored.label.to_pylist() == ["no", "no", "yes", "yes"]
    assert scored.decision.to_pylist() == ["no", "ask", "ask", "yes"]


def test_a_regressor_with_a_band_decides_only_inside_it() -> None:
    scored, _ = score(numbers(abstention=Abstention(low=0, high=1, decision="ask")), [-1.0, 0.0, 0.5, 1.0])

    assert scored.decision.to_pylist() == [None, "ask", "ask", None]
    assert scored.label.to_pylist() == [None] * 4


def test_no_rows_give_no_rows_of_the_same_types() -> None:
    for bundle in (numbers(), chances(), three()):
        some, _ = score(bundle, [0.5])
        none, rejected = score_batch(bundle, batch([]))
        assert len(none.rows) == len(rejected.rows) == 0
        for name in ("score", "label", "decision", "guard", "entity_key", "event_time"):
            assert getattr(none, name).type == getattr(some, name).type
            assert len(getattr(none, name)) == 0


# --- Guards -----------------------------------------------------------------------------------------------------------


def test_a_cap_changes_the_score_says_so_and_decides() -> None:
    capped = chances(guards=Guards(cap_minimum=0.25, cap_maximum=0.75), threshold=0.8)

    scored, _ = score(capped, [0.0, 0.25, 0.5, 0.75, 1.0])

    assert scored.score.to_pylist() == [0.25, 0.25, 0.5, 0.75, 0.75]
    assert scored.guard.to_pylist() == ["capped", None, None, None, "capped"]
    assert scored.label.to_pylist() == ["no"] * 5


@pytest.mark.parametrize(
    ("guards", "expected"),
    [(Guards(cap_maximum=0.5), [-1.0, 0.5]), (Guards(cap_minimum=0.5), [0.5, 2.0]), (Guards(), [-1.0, 2.0])],
)
def test_either_cap_may_stand_alone(guards: Guards, expected: list[float]) -> None:
    assert score(numbers(guards=guards), [-1.0, 2.0])[0].score.to_pylist() == expected


def test_a_score_out_of_bounds_rejects_its_row_even_where_a_cap_would_mend_it() -> None:
    bundle = numbers(guards=Guards(minimum=0, maximum=1, cap_minimum=0, cap_maximum=1))

    scored, rejected = score(bundle, [-0.5, 0.0, 1.0, 1.5])

    assert scored.rows.tolist() == [1, 2]
    assert rejected.rows.tolist() == [0, 3]
    assert rejected.reason.to_pylist() == ["score_out_of_bounds"] * 2
    assert rejected.expected.to_pylist() == ["0 to 1"] * 2
    assert score(numbers(guards=Guards(minimum=0)), [-0.5, 9])[1].expected.to_pylist() == ["0 to inf"]


def test_bounds_hold_for_the_score_people_read_not_for_the_other_classes() -> None:
    scored, rejected = score(chances(guards=Guards(minimum=0.25)), [1.0, 0.1])

    assert (scored.rows.tolist(), rejected.rows.tolist()) == ([0], [1])


def test_a_score_that_is_not_finite_rejects_its_row() -> None:
    scored, rejected = score(numbers("Log"), [1.0, 0.0, -1.0, math.e])

    assert scored.rows.tolist() == [0, 3]
    assert rejected.rows.tolist() == [1, 2]
    assert rejected.reason.to_pylist() == ["score_not_finite"] * 2
    assert rejected.field.to_pylist() == ["score"] * 2


# --- Rejects ----------------------------------------------------------------------------------------------------------


def test_each_stage_rejects_its_rows_and_the_rest_is_scored_in_place() -> None:
    x = [1.0, None, 2.0, 500.0, 0.5, -1.0, 0.0, 3.0]
    y = [1.0, 1.0, 0.0, None, math.inf, 1.0, 0.0, None]

    scored, rejected = score(numbers("Sqrt"), x, y)

    assert scored.rows.tolist() == [0, 7]
    assert scored.entity_key.to_pylist() == ["k0", "k7"]
    assert scored.score.to_pylist() == [1.0, float(np.sqrt(np.float32(3)))]
    assert dict(zip(rejected.rows.tolist(), rejected.reasons.to_pylist(), strict=True)) == {
        1: "null_not_allowed:x",
        2: "infinite:ratio",
        3: "out_of_range:x",
        4: "infinite:y",
        5: "score_not_finite:score",
        6: "null_not_allowed:ratio",
    }
    assert rejected.entity_key.to_pylist() == ["k1", "k2", "k3", "k4", "k5", "k6"]
    assert rejected.event_time.cast(pa.int64()).to_pylist() == [1, 2, 3, 4, 5, 6]
    assert count_by_reason(rejected) == {
        "null_not_allowed": 2,
        "infinite": 2,
        "out_of_range": 1,
        "score_not_finite": 1,
    }


def test_a_row_that_breaks_several_rules_has_the_first_as_its_reason_and_lists_all() -> None:
    given = batch([None, 500.0], [math.inf, math.inf], key=pa.array([None, "k1"]))

    _, rejected = score_batch(numbers(), given)

    assert rejected.reason.to_pylist() == ["null_not_allowed", "out_of_range"]
    assert rejected.field.to_pylist() == ["key", "x"]
    assert rejected.reasons.to_pylist() == [
        "null_not_allowed:key,null_not_allowed:x,infinite:y",
        "out_of_range:x,infinite:y",
    ]
    assert rejected.entity_key.to_pylist() == [None, "k1"]


def test_a_batch_may_be_rejected_wholly() -> None:
    scored, rejected = score(chances(), [None, 500.0])

    assert (len(scored.rows), rejected.rows.tolist()) == (0, [0, 1])
    assert scored.label.type == score(chances(), [0.5])[0].label.type


def test_further_columns_and_dictionaries_are_fine() -> None:
    given = batch([0.5, 1.0], key=pa.array(["a", "b"]).dictionary_encode(), other=pa.array([1, 2]))

    assert score_batch(numbers(), given)[0].entity_key.to_pylist() == ["a", "b"]


def test_what_is_wrong_with_the_whole_batch_is_an_error() -> None:
    with pytest.raises(SchemaMismatchError):
        score_batch(numbers(), batch([1.0], at=pa.array([1], pa.timestamp("ns", "UTC"))))

    failing = VIEW.replace(b'record.column("y")', b'record.column("z")')
    data = model_bytes([helper.make_node("Identity", ["ratio"], ["scores"])], [matrix_in(1, "ratio")], [scores_out(1)])
    broken = load_example(Example(name="numbers", onnx=data, features=failing, view_name="view"))
    with pytest.raises(FeatureViewError, match="the function of derived feature 'ratio' failed"):
        score_batch(broken, batch([1.0]))


def test_more_classes_than_a_byte_can_number_keep_their_names() -> None:
    names = tuple(f"class {i}" for i in range(200))
    spread = numpy_helper.from_array(np.arange(200, dtype=np.float32)[np.newaxis], "spread")
    data = model_bytes(
        [helper.make_node("MatMul", ["ratio", "spread"], ["scores"])],
        [matrix_in(1, "ratio")],
        [scores_out(200)],
        [spread],
    )
    output = Output(task="multiclass", name="scores", form="matrix", classes=names)
    bundle = load_example(Example(name="many", onnx=data, features=VIEW, view_name="view"), output=output)

    assert score(bundle, [1.0, -1.0])[0].label.to_pylist() == ["class 199", "class 0"]


@pytest.mark.parametrize("make", example.ALL.values(), ids=example.ALL)
def test_every_kind_of_model_scores_its_records(make: Any) -> None:
    chosen = make()
    given = example.parcels().slice(0, 50).combine_chunks().to_batches()[0]

    scored, rejected = score_batch(load_example(chosen), given)

    assert (len(scored.rows), len(rejected.rows)) == (50, 0)
    assert len(scored.class_scores) == (3 if chosen.task == "multiclass" else 0)
    assert set(scored.label.to_pylist()) <= ({None} if chosen.task == "regression" else set(chosen.classes))


# --- Stored features and recorded vectors -----------------------------------------------------------------------------


def test_what_became_of_stored_features_goes_with_the_scored_rows() -> None:
    at = [START_US + i * HOUR_US for i in range(6)]
    given = trip_batch(
        6,
        distance=pa.array([1, -1, 2, 3, 4, 5], pa.float32()),
        weather__event_time=pa.array([at[0], at[1], at[2] - 5 * HOUR_US, at[3] - 7 * HOUR_US, at[4], None], TIMESTAMP),
        weather__available_at=pa.array([at[0], at[1], at[2], at[3], at[4], None], TIMESTAMP),
        vehicle__available_at=pa.array([0, 0, 0, 0, None, 0], TIMESTAMP),
    )
    bundle = load_example(trips_example(), guards=Guards(maximum=22))

    scored, rejected = score_batch(bundle, given)

    assert dict(zip(rejected.rows.tolist(), rejected.reasons.to_pylist(), strict=True)) == {
        1: "out_of_range:distance",
        2: "score_out_of_bounds:score",
        3: "stored_stale:weather",
        4: "stored_missing:vehicle",
        5: "score_not_finite:score",
    }
    assert scored.rows.tolist() == [0]
    assert {name: (use.outcome.to_pylist(), use.age_s.to_pylist()) for name, use in scored.stored.items()} == {
        "weather": (["fresh"], [0]),
        "vehicle": (["fresh"], [START_US // 1_000_000]),
    }
    assert scored.features.to_pylist() == [
        {"distance": 1.0, "wind": 10.0, "rain": 0.5, "seats": 4.0, "chill": 5.0},
    ]


def test_a_view_without_stored_sets_has_no_word_on_them() -> None:
    scored, _ = score(numbers(), [1.0])

    assert scored.stored == {}
    assert scored.features.to_pylist() == [{"ratio": 1.0}]


def test_the_features_are_those_of_the_scored_rows() -> None:
    scored, rejected = score(numbers("Sqrt"), [1.0, None, -1.0, 4.0, 9.0], [1.0, 1.0, 1.0, 0.0, 1.0])

    assert rejected.rows.tolist() == [1, 2, 3]
    assert scored.features.column("ratio").to_pylist() == [1.0, 9.0]


@pytest.mark.parametrize("make", example.ALL.values(), ids=example.ALL)
def test_recorded_vectors_give_the_bits_of_their_records(make: Any) -> None:
    bundle = load_example(make())
    given = example.parcels().slice(0, 300).combine_chunks().to_batches()[0]
    scored, _ = score_batch(bundle, given)
    some = pa.array(np.random.default_rng(1).permutation(300)[:100])

    again, rejected = score_features(
        bundle, scored.features.take(some), scored.entity_key.take(some), scored.event_time.take(some)
    )

    assert len(rejected.rows) == 0
    assert again.rows.tolist() == list(range(100))
    for name in ("score", "label", "decision", "guard", "entity_key", "event_time"):
        assert getattr(again, name).equals(getattr(scored, name).take(some)), name
    expected, got = (np.asarray(column).view(np.int64) for column in (scored.score.take(some), again.score))
    np.testing.assert_array_equal(got, expected)
    assert again.features.equals(scored.features.take(some))
    assert again.stored == {}


def test_recorded_vectors_are_guarded_as_their_records_were() -> None:
    bundle = numbers(guards=Guards(minimum=0, cap_maximum=1))
    vectors = pa.record_batch({"ratio": pa.array([0.5, -1.0, 2.0], pa.float32())})

    scored, rejected = score_features(bundle, vectors, pa.array(["a", "b", "c"]), pa.array([1, 2, 3], TIMESTAMP))

    assert (scored.entity_key.to_pylist(), scored.score.to_pylist()) == (["a", "c"], [0.5, 1.0])
    assert scored.guard.to_pylist() == [None, "capped"]
    assert (rejected.entity_key.to_pylist(), rejected.reasons.to_pylist()) == (["b"], ["score_out_of_bounds:score"])
    assert rejected.event_time.cast(pa.int64()).to_pylist() == [2]


@pytest.mark.parametrize(
    "columns",
    [
        {"ratio": pa.array([1.0])},
        {"other": pa.array([1.0], pa.float32())},
        {"ratio": pa.array([1.0], pa.float32()), "more": pa.array([1])},
    ],
)
def test_vectors_of_another_view_are_refused(columns: dict[str, pa.Array]) -> None:
    with pytest.raises(SchemaMismatchError, match="not the inputs of this model's view") as caught:
        score_features(numbers(), pa.record_batch(columns), pa.array(["a"]), pa.array([1], TIMESTAMP))
    assert caught.value.expected == "ratio float"


def test_the_vectors_of_stored_features_score_alike() -> None:
    bundle = load_example(trips_example())
    scored, _ = score_batch(bundle, trip_batch(50))

    again, _ = score_features(bundle, scored.features, scored.entity_key, scored.event_time)

    assert again.score.equals(scored.score)
    assert len(again.rows) == 50
    assert scored.features.schema.names == list(INPUTS)
