"""The trial at registration: what is proven, what is not covered and why, and that a wrong kernel is caught."""

from __future__ import annotations

import importlib.util
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from onnx import TensorProto, helper, numpy_helper

from scoretrail.feature.source import load_view
from scoretrail.feature.tensor import TensorSpec
from scoretrail.model import graph as graphs
from scoretrail.model.registration import block_rows, infer_output
from scoretrail.model.trees import jit
from scoretrail.model.trees.trial import try_kernel
from tests.factory import example
from tests.factory.converted.train import FEATURES, HERE
from tests.factory.forest import Forest, forest_bytes
from tests.factory.kernel import tensors_of

if TYPE_CHECKING:
    from scoretrail.model.manifest import EngineProof
    from tests.factory.example import Example

ROWS = 20_000
FOREST = Forest(trees=30, leaves=20, missing=True, transform="LOGISTIC")


def trial(chosen: Example) -> tuple[EngineProof, bytes | None]:
    graph = graphs.inspect(chosen.onnx)
    view = load_view(chosen.features, chosen.view_name)
    records = chosen.records.slice(0, 600).select(list(view.record_columns)).combine_chunks().to_batches()[0]
    features, _ = view.derive(view.prepare(records)[0])
    output = infer_output(graph, None, ())
    block = None if graph.is_trees_only else block_rows(chosen.onnx)
    return try_kernel(chosen.onnx, output, block, graphs.match_view(graph, view), features, ROWS)


def trial_of(forest: Forest, model: bytes | None = None, rows: int = ROWS) -> tuple[EngineProof, bytes | None]:
    values = np.random.default_rng(1).normal(size=(forest.features, 500)).astype(np.float32)
    columns = {f"f{i}": pa.array(values[i]) for i in range(forest.features)}
    features = pa.RecordBatch.from_pydict(columns)
    return try_kernel(model or forest_bytes(forest), forest.output, None, tensors_of(forest), features, rows)


@pytest.mark.parametrize("name", ["trees", "lightgbm_trees", "tree_classes", "tree_regressor", "ordinal_pipeline"])
def test_what_converters_make_is_proven(name: str) -> None:
    proof, plan = trial(getattr(example, name)())

    assert proof.name == "trees"
    assert proof.reason == f"the same bits as ONNX Runtime on 600 records and {ROWS:,} rows aimed at thresholds"
    assert proof.aimed_rows == ROWS
    assert plan is not None


def sklearn_model(kind: str) -> tuple[Any, list[str]]:
    from sklearn import ensemble

    made = {
        "forest": ensemble.RandomForestClassifier(8, max_depth=8, random_state=1),
        "forest of numbers": ensemble.RandomForestRegressor(8, max_depth=8, random_state=1),
        "extra trees": ensemble.ExtraTreesClassifier(8, max_depth=6, random_state=1),
        "boosting": ensemble.GradientBoostingClassifier(n_estimators=8, random_state=1),
        "boosting of classes": ensemble.GradientBoostingClassifier(n_estimators=8, random_state=1),
        "boosting of numbers": ensemble.GradientBoostingRegressor(n_estimators=8, random_state=1),
        "histograms": ensemble.HistGradientBoostingClassifier(max_iter=8, random_state=1),
        "histograms of numbers": ensemble.HistGradientBoostingRegressor(max_iter=8, random_state=1),
    }[kind]
    return made, ["0", "1", "2"] if kind.endswith("classes") else [] if "numbers" in kind else ["0", "1"]


@pytest.mark.parametrize(
    "kind",
    [
        "forest",
        "forest of numbers",
        "extra trees",
        "boosting",
        "boosting of classes",
        "boosting of numbers",
        "histograms",
        "histograms of numbers",
    ],
)
def test_what_scikit_learn_trains_is_proven(kind: str) -> None:
    from skl2onnx import to_onnx

    random = np.random.default_rng(3)
    matrix = random.normal(size=(400, 4)).astype(np.float32)
    value = matrix[:, 0] + matrix[:, 1] * matrix[:, 2]
    model, labels = sklearn_model(kind)
    target = np.digitize(value, [-0.5, 0.5]) if len(labels) == 3 else (value > 0).astype(int) if labels else value
    model.fit(matrix, target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {id(model): {"zipmap": False}} if labels else None
        data = to_onnx(model, matrix[:1], options=options, target_opset=example.TARGET_OPSET).SerializeToString()
    graph = graphs.inspect(data)
    output = infer_output(graph, None, tuple(labels))
    (given,) = graph.inputs
    spec = TensorSpec(given.name, "float32", ("f0", "f1", "f2", "f3"))
    features = pa.RecordBatch.from_pydict({f"f{i}": pa.array(matrix[:, i].copy()) for i in range(4)})

    proof, plan = try_kernel(data, output, None, (spec,), features, ROWS)

    assert (proof.name, plan is not None) == ("trees", True), proof.reason


@pytest.mark.parametrize("task", ["binary", "classes", "number"])
@pytest.mark.parametrize("library", ["xgboost", "catboost"])
def test_what_other_converters_wrote_is_proven(library: str, task: str) -> None:
    data = (HERE / f"{library}-{task}.onnx").read_bytes()
    graph = graphs.inspect(data)
    labels = {"binary": ("0", "1"), "classes": ("0", "1", "2"), "number": ()}[task]
    output = infer_output(graph, None, labels)
    (given,) = graph.inputs
    names = tuple(f"f{i}" for i in range(FEATURES))
    random = np.random.default_rng(4)
    shape = (3_000, FEATURES)
    matrix = np.where(random.random(shape) < 0.1, np.nan, random.normal(size=shape)).astype(np.float32)
    features = pa.RecordBatch.from_pydict({name: pa.array(matrix[:, i].copy()) for i, name in enumerate(names)})

    proof, plan = try_kernel(data, output, None, (TensorSpec(given.name, "float32", names),), features, ROWS)

    assert (proof.name, plan is not None) == ("trees", True), proof.reason
    assert output.form == ("zipmap" if library == "catboost" and task != "number" else "matrix")


def wrong(monkeypatch: pytest.MonkeyPatch, right: str, made: str) -> None:
    source = jit._source
    assert right in source("float32", "float32", "sum", 64, 8)
    monkeypatch.setattr(jit, "_source", lambda *given: source(*given).replace(right, made))
    jit.compile_kernel.cache_clear()


@pytest.mark.parametrize(
    ("right", "made"),
    [
        ("fcmp ugt", "fcmp ogt"),  # NaN takes the wrong side
        ("fcmp ugt", "fcmp uge"),  # so does what lies on a threshold
        ("> %before, %v", "> %v, %v"),
        ("%below = fadd float 1.0, %raised", "%below = fadd float %raised, 0x3FF0000020000000"),
    ],
    ids=["NaN", "equal", "sum", "logistic"],
)
def test_a_wrong_kernel_is_caught(right: str, made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong(monkeypatch, right, made)
    try:
        proof, plan = trial_of(FOREST)
    finally:
        monkeypatch.undo()
        jit.compile_kernel.cache_clear()

    assert (proof.name, plan) == ("onnxruntime", None)
    assert "get other bits" in proof.reason


def test_another_order_of_the_sum_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from scoretrail.model.trees import planning
    from scoretrail.model.trees.layout import lay_out

    monkeypatch.setattr(planning, "lay_out", lambda e: lay_out(replace(e, trees=e.trees[::-1])))

    proof, plan = trial_of(FOREST)

    assert (proof.name, plan) == ("onnxruntime", None)
    assert "get other bits" in proof.reason


def test_a_model_that_is_not_covered_has_a_reason() -> None:
    proof, plan = trial_of(replace_transform("PROBIT"))

    assert (proof.name, proof.reason, plan) == (
        "onnxruntime",
        "the kernel does not cover the model: its post-transform is PROBIT",
        None,
    )


def replace_transform(transform: str) -> Forest:
    return Forest(changed={"post_transform": transform})


def test_a_graph_before_and_one_after_the_trees_stay_in_onnx_runtime() -> None:
    forest = Forest(transform="LOGISTIC", trees=9)
    inner = graphs._parse(forest_bytes(forest))
    node = inner.graph.node[0]
    node.input[0], node.output[1] = "scaled", "raw"
    constants = [
        numpy_helper.from_array(np.array([2.0, 3.0, 0.5, 1.5], np.float32), "scale"),
        numpy_helper.from_array(np.array([0.25], np.float32), "share"),
    ]
    nodes = [
        helper.make_node("Mul", ["matrix", "scale"], ["scaled"]),
        node,
        helper.make_node("Mul", ["raw", "share"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "three parts",
        [helper.make_tensor_value_info("matrix", TensorProto.FLOAT, ["rows", 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 2])],
        constants,
    )
    data = helper.make_model(graph, opset_imports=list(inner.opset_import), ir_version=9).SerializeToString()

    proof, plan = trial_of(forest, data)

    assert proof.name == "trees", proof.reason
    assert plan is not None


@pytest.mark.parametrize("count", [0, 2])
def test_another_number_of_ensembles_is_not_covered(count: int) -> None:
    nodes = [
        helper.make_node(
            "TreeEnsembleRegressor", ["matrix"], [f"z{i}"], domain="ai.onnx.ml", n_targets=1, nodes_treeids=[0],
            nodes_nodeids=[0], nodes_featureids=[0], nodes_modes=["LEAF"], nodes_values=[0.0], nodes_truenodeids=[0],
            nodes_falsenodeids=[0], target_treeids=[0], target_nodeids=[0], target_ids=[0], target_weights=[1.0],
        )
        for i in range(count)
    ]  # fmt: skip
    last = (
        helper.make_node("Sum", ["z0", "z1"], ["scores"]) if count else helper.make_node("Abs", ["matrix"], ["scores"])
    )
    graph = helper.make_graph(
        [*nodes, last],
        "sum",
        [helper.make_tensor_value_info("matrix", TensorProto.FLOAT, ["rows", 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 1])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    data = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()

    proof, _ = trial_of(Forest(operator="TreeEnsembleRegressor", targets=1), data)

    assert (
        proof.reason
        == f"the kernel does not cover the model: the scores come from {count} tree ensembles, not from one"
    )


def test_without_the_compiler_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "llvmlite" else find(name))

    proof, plan = trial_of(FOREST)

    assert (proof.name, plan) == ("onnxruntime", None)
    assert "llvmlite was not installed" in proof.reason
