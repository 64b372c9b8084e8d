from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from scoretrail.errors import ModelError, ScoreError
from scoretrail.model import scorer as scorers
from scoretrail.model.manifest import Output
from scoretrail.model.scorer import OnnxScorer
from tests.factory import example
from tests.factory.onnx_graph import matrix_in, model_bytes, sigmoid_network

BINARY = Output(task="binary", name="scores", form="matrix", classes=("0", "1"))
NUMBER = Output(task="regression", name="scores", form="matrix")
THREE = Output(task="multiclass", name="scores", form="matrix", classes=("a", "b", "c"))


def matrix(rows: int, width: int = 4) -> dict[str, Any]:
    return {"matrix": np.random.default_rng(rows).normal(size=(rows, width)).astype(np.float32)}


def returning(shape: list[Any], operator: str, **attributes: Any) -> bytes:
    """Return a model of one operator on a (rows, 4) matrix, whose output has another shape than scores have."""
    output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, shape)
    node = helper.make_node(operator, ["matrix"], ["scores"], **attributes)
    return model_bytes([node], [matrix_in(4)], [output])


# --- Rows and blocks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [None, 1, 7, 256])
@pytest.mark.parametrize("rows", [0, 1, 6, 7, 8, 255, 256, 257, 600])
def test_every_row_gets_its_score_in_order_in_blocks_of_any_size(rows: int, block: int | None) -> None:
    given = matrix(rows)

    scores = OnnxScorer(sigmoid_network(columns=3), THREE, block).score_batch(given)

    weights = numpy_helper.to_array(onnx.load_from_string(sigmoid_network(columns=3)).graph.initializer[0])
    assert scores.shape == (rows, 3)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-(given["matrix"] @ weights))), rtol=1e-6)


def test_every_call_has_exactly_the_blocks_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = OnnxScorer(sigmoid_network(), NUMBER, 256)
    seen: list[int] = []
    session = scorer._session._session

    class Watched:
        def run(self, names: list[str], tensors: dict[str, Any]) -> Any:
            seen.append(len(tensors["matrix"]))
            return session.run(names, tensors)

    monkeypatch.setattr(scorer._session, "_session", Watched())
    for rows in (1, 256, 600):
        scorer.score_batch(matrix(rows))

    assert seen == [256] * 5


def test_large_batches_are_cut_where_any_size_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorers, "FREE_CALL_ROWS", 100)
    given = matrix(250)

    scores = OnnxScorer(sigmoid_network(), NUMBER, None).score_batch(given)

    assert scores.shape == (250, 1)
    np.testing.assert_allclose(scores, OnnxScorer(sigmoid_network(), NUMBER, 50).score_batch(given))


def test_the_session_runs_in_one_thread_and_in_sequence() -> None:
    options = scorers._options()

    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    assert not options.enable_cpu_mem_arena
    assert options.use_deterministic_compute
    assert scorers.engine_version() == onnxruntime.__version__


# --- Forms of output --------------------------------------------------------------------------------------------------


def test_a_network_that_states_the_second_class_only_gets_the_first() -> None:
    given = matrix(5)

    alone = OnnxScorer(sigmoid_network(), NUMBER, None).score_batch(given)
    both = OnnxScorer(sigmoid_network(), BINARY, None).score_batch(given)

    np.testing.assert_array_equal(both[:, 1], alone[:, 0])
    np.testing.assert_array_equal(both[:, 0], 1 - alone[:, 0])


@pytest.mark.parametrize(
    "data",
    [
        returning(["rows"], "ReduceSum", keepdims=0, noop_with_empty_axes=0),
        returning(["rows", 1, 1], "ReduceMax"),
    ],
)
def test_a_scalar_for_the_whole_batch_is_no_score(data: bytes) -> None:
    with pytest.raises(ScoreError, match="another shape than its contract says"):
        OnnxScorer(data, NUMBER, None).score_batch(matrix(3))


def test_one_value_per_row_may_come_in_any_number_of_dimensions() -> None:
    reduce = [helper.make_node("ReduceMax", ["matrix", "axis"], ["scores"], keepdims=0)]
    axis = [numpy_helper.from_array(np.array([1]), "axis")]
    flat = model_bytes(
        reduce, [matrix_in(4)], [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows"])], axis
    )
    deep = model_bytes(
        [helper.make_node("Unsqueeze", ["matrix", "axes"], ["scores"])],
        [matrix_in(1)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 1, 1])],
        [numpy_helper.from_array(np.array([2]), "axes")],
    )
    given = matrix(5)

    np.testing.assert_array_equal(
        OnnxScorer(flat, NUMBER, 2).score_batch(given), given["matrix"].max(axis=1, keepdims=True)
    )
    one = {"matrix": given["matrix"][:, :1].copy()}
    np.testing.assert_array_equal(OnnxScorer(deep, NUMBER, 2).score_batch(one), one["matrix"])


def test_scores_keep_the_models_own_float_type() -> None:
    data = model_bytes(
        [helper.make_node("Cast", ["matrix"], ["scores"], to=TensorProto.DOUBLE)],
        [matrix_in(1)],
        [helper.make_tensor_value_info("scores", TensorProto.DOUBLE, ["rows", 1])],
    )

    assert OnnxScorer(data, NUMBER, 4).score_batch(matrix(5, 1)).dtype == np.float64
    assert OnnxScorer(sigmoid_network(), NUMBER, 4).score_batch(matrix(5)).dtype == np.float32


@pytest.mark.parametrize(
    ("data", "output"),
    [
        (sigmoid_network(columns=2), NUMBER),
        (sigmoid_network(columns=2), THREE),
        (sigmoid_network(columns=3), BINARY),
        (sigmoid_network(columns=1), THREE),
        (
            model_bytes(
                [helper.make_node("Cast", ["matrix"], ["scores"], to=TensorProto.INT64)],
                [matrix_in(4)],
                [helper.make_tensor_value_info("scores", TensorProto.INT64, ["rows", 4])],
            ),
            Output(task="multiclass", name="scores", form="matrix", classes=("a", "b", "c", "d")),
        ),
    ],
)
def test_another_shape_or_type_than_the_contract_says_is_refused(data: bytes, output: Output) -> None:
    with pytest.raises(ScoreError, match="another shape than its contract says") as caught:
        OnnxScorer(data, output, None).score_batch(matrix(5))
    assert caught.value.expected == f"(5, {output.width}) float"


@pytest.mark.parametrize("tensors", [{"matrix": np.zeros((3, 5), np.float32)}, {"other": np.zeros((3, 4), np.float32)}])
def test_a_batch_the_model_cannot_take_is_an_error_of_one_line(tensors: dict[str, Any]) -> None:
    with pytest.raises(ScoreError, match="the model failed on a batch") as caught:
        OnnxScorer(sigmoid_network(), NUMBER, None).score_batch(tensors)
    assert "\n" not in str(caught.value.got)


FAILING = """
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from scoretrail.errors import ScoreError
from scoretrail.model.manifest import Output
from scoretrail.model.scorer import OnnxScorer
from tests.factory.onnx_graph import matrix_in, model_bytes, scores_out

table = numpy_helper.from_array(np.array([10, 11, 12], np.float32), "table")
nodes = [
    helper.make_node("Cast", ["matrix"], ["place"], to=TensorProto.INT64),
    helper.make_node("Gather", ["table", "place"], ["scores"], name="pick"),
]
data = model_bytes(nodes, [matrix_in(1)], [scores_out(1)], [table])
scorer = OnnxScorer(data, Output(task="regression", name="scores", form="matrix"), None)
try:
    scorer.score_batch({"matrix": np.array([[7654321]], np.float32)})
except ScoreError as error:
    print(error.got)
    raise
"""


def test_a_value_that_the_model_fails_on_is_neither_told_nor_written_to_standard_error() -> None:
    root = Path(__file__).parents[4]
    run = subprocess.run(
        [sys.executable, "-c", FAILING],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert run.returncode == 1
    assert run.stdout.strip() == "InvalidArgument, node 'pick' (Gather)"
    assert "ScoreError" in run.stderr  # the traceback of ours, and nothing of what it came from
    assert "7654321" not in run.stderr


@pytest.mark.parametrize("data", [b"", b"no model", sigmoid_network()[:50]])
def test_what_onnx_runtime_cannot_load_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="ONNX Runtime cannot load the model"):
        OnnxScorer(data, NUMBER, None)


# --- ZipMap -----------------------------------------------------------------------------------------------------------


def zipmap(**labels: Any) -> bytes:
    """Return a model that names the columns of its matrix by a ZipMap, in the order of ``labels``."""
    width = len(next(iter(labels.values())))
    key = TensorProto.STRING if "classlabels_strings" in labels else TensorProto.INT64
    value = helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    output = helper.make_value_info("scores", helper.make_sequence_type_proto(value))
    node = helper.make_node("ZipMap", ["matrix"], ["scores"], domain="ai.onnx.ml", **labels)
    return model_bytes([node], [matrix_in(width)], [output], domains=("ai.onnx.ml",))


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ({"classlabels_strings": ["b", "c", "a"]}, ("b", "c", "a")),
        ({"classlabels_strings": ["10", "9", "0"]}, ("10", "9", "0")),
        ({"classlabels_int64s": [10, 9, -1]}, ("10", "9", "-1")),
    ],
)
@pytest.mark.parametrize("block", [None, 4])
def test_zipmap_scores_come_in_the_order_of_the_contracts_classes(
    labels: dict[str, Any], classes: tuple[str, ...], block: int | None
) -> None:
    output = Output(task="multiclass", name="scores", form="zipmap", classes=classes)
    given = matrix(6, 3)

    assert len({*OnnxScorer(zipmap(**labels), output, None)._session._session.run(["scores"], given)[0][0]}) == 3
    scores = OnnxScorer(zipmap(**labels), output, block).score_batch(given)
    turned = Output(task="multiclass", name="scores", form="zipmap", classes=classes[::-1])

    np.testing.assert_array_equal(scores, given["matrix"])
    np.testing.assert_array_equal(
        OnnxScorer(zipmap(**labels), turned, block).score_batch(given), given["matrix"][:, ::-1]
    )


def test_a_zipmap_of_no_rows_is_empty() -> None:
    output = Output(task="multiclass", name="scores", form="zipmap", classes=("a", "b"))

    assert OnnxScorer(zipmap(classlabels_strings=["a", "b"]), output, None).score_batch(matrix(0, 2)).shape == (0, 2)


@pytest.mark.parametrize("classes", [("a", "x"), ("a", "b", "c"), ("a",)])
def test_a_zipmap_with_other_classes_than_the_contract_is_refused(classes: tuple[str, ...]) -> None:
    output = Output(task="multiclass", name="scores", form="zipmap", classes=classes)

    with pytest.raises(ScoreError, match="the model names other classes than its contract") as caught:
        OnnxScorer(zipmap(classlabels_strings=["a", "b"]), output, None).score_batch(matrix(3, 2))
    assert caught.value.got == "a, b"


def test_with_and_without_zipmap_the_scores_are_the_same_bits() -> None:
    given = {"matrix": example.number_matrix()[:600]}
    maps = Output(task="multiclass", name="output_probability", form="zipmap", classes=example.SPEEDS)
    plain = Output(task="multiclass", name="probabilities", form="matrix", classes=example.SPEEDS)

    np.testing.assert_array_equal(
        OnnxScorer(example.classes_with_zipmap().onnx, maps, 256).score_batch(given),
        OnnxScorer(example.classes().onnx, plain, 256).score_batch(given),
    )


def test_a_scorer_that_is_asked_twice_gives_the_same_bits() -> None:
    output = Output(task="binary", name="probabilities", form="matrix", classes=("0", "1"))
    scorer = OnnxScorer(example.linear().onnx, output, 256)
    given = {"matrix": example.number_matrix()[:300]}

    np.testing.assert_array_equal(scorer.score_batch(given), scorer.score_batch(given))
