from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper, numpy_helper

from scoretrail.errors import ModelError
from scoretrail.feature import FeatureView, Request
from scoretrail.feature.source import load_view
from scoretrail.feature.tensor import TensorSpec
from scoretrail.model import graph as graphs
from scoretrail.model.graph import Graph, GraphTensor
from tests.factory import example
from tests.factory.example import Example
from tests.factory.onnx_graph import matrix_in, model_bytes, scores_out, sigmoid_network


def refused(data: bytes) -> ModelError:
    with pytest.raises(ModelError) as caught:
        graphs.inspect(data)
    return caught.value


# --- What a graph says of itself --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "classes", "trees", "inputs"),
    [
        (example.linear, ("0", "1"), False, [("matrix", "float32", 4)]),
        (example.linear_with_zipmap, ("0", "1"), False, [("matrix", "float32", 4)]),
        (example.trees, ("0", "1"), True, [("matrix", "float32", 4)]),
        (example.lightgbm_trees, ("0", "1"), True, [("matrix", "float32", 4)]),
        (example.classes, example.SPEEDS, False, [("matrix", "float32", 4)]),
        (example.classes_with_zipmap, example.SPEEDS, False, [("matrix", "float32", 4)]),
        (example.tree_classes, example.SPEEDS, True, [("matrix", "float32", 4)]),
        (example.ridge, (), False, [("matrix", "float32", 4)]),
        (example.tree_regressor, (), True, [("matrix", "float32", 4)]),
        (
            example.one_hot_pipeline,
            ("0", "1"),
            False,
            [("carrier", "string", 1), ("n_items", "int64", 1), ("weight_kg", "float32", 1)],
        ),
        (
            example.ordinal_pipeline,
            ("0", "1"),
            True,
            [("carrier", "string", 1), ("n_items", "int64", 1), ("weight_kg", "float32", 1)],
        ),
    ],
    ids=[*example.ALL],
)
def test_a_graph_states_inputs_classes_and_whether_it_is_trees_only(
    make: Any, classes: tuple[str, ...], trees: bool, inputs: list[tuple[str, str, int]]
) -> None:
    graph = graphs.inspect(make().onnx)

    assert graph.classes == classes
    assert graph.is_trees_only is trees
    assert [(tensor.name, tensor.dtype, tensor.width) for tensor in graph.inputs] == inputs


def test_a_zipmap_is_an_output_of_its_own_kind() -> None:
    assert graphs.inspect(example.linear_with_zipmap().onnx).outputs[-1].dtype == "zipmap"
    assert graphs.inspect(example.linear().onnx).outputs[-1] == GraphTensor("probabilities", "float32", 2, 2)


def test_operators_are_the_architecture_in_one_line() -> None:
    assert graphs.inspect(example.linear().onnx).operators == (
        "ai.onnx.ml:LinearClassifier",
        "ai.onnx.ml:Scaler",
    )


def test_operators_in_branches_count() -> None:
    branch = helper.make_graph([helper.make_node("Sin", ["x"], ["y"])], "branch", [], [scores_out(1, "y")])
    other = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "other", [], [scores_out(1, "y")])
    nodes = [
        helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))),
        helper.make_node("If", ["yes"], ["scores"], then_branch=branch, else_branch=other),
    ]

    assert "ai.onnx:Sin" in graphs.inspect(model_bytes(nodes, [matrix_in(1, "x")], [scores_out(1)])).operators


def test_an_input_with_a_stored_value_is_none_that_rows_must_fill() -> None:
    weights = numpy_helper.from_array(np.ones((4, 1), np.float32), "w")
    data = model_bytes(
        [helper.make_node("MatMul", ["x", "w"], ["scores"])],
        [matrix_in(4, "x"), helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 1])],
        [scores_out(1)],
        [weights],
    )

    assert [tensor.name for tensor in graphs.inspect(data).inputs] == ["x"]


# --- What is refused before it is ever run ----------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x00" * 100, b"PAR1", b'{"a": 1}', bytes(range(256))])
def test_what_is_no_onnx_is_refused(data: bytes) -> None:
    assert refused(data).what.startswith("the model file is not ONNX")


def test_a_cut_model_is_refused() -> None:
    data = example.trees().onnx

    assert refused(data[: len(data) // 2]).what.startswith("the model")


def external(where: str) -> bytes:
    outside = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1, 1], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="../../etc/passwd")
    scores, shape = scores_out(1), [matrix_in(1, "x")]
    if where == "initializer":
        return model_bytes([helper.make_node("MatMul", ["x", "w"], ["scores"])], shape, [scores], [outside])
    if where == "attribute":
        nodes = [
            helper.make_node("Constant", [], ["w"], value=outside),
            helper.make_node("MatMul", ["x", "w"], ["scores"]),
        ]
        return model_bytes(nodes, shape, [scores])
    if where == "sparse":
        model = onnx.load_from_string(model_bytes([helper.make_node("Identity", ["x"], ["scores"])], shape, [scores]))
        model.graph.sparse_initializer.add(values=outside, dims=[1, 1])
        return bytes(model.SerializeToString())
    branch = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "branch", [], [scores_out(1, "y")], [outside]
    )
    nodes = [
        helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))),
        helper.make_node("If", ["yes"], ["scores"], then_branch=branch, else_branch=branch),
    ]
    return model_bytes(nodes, shape, [scores])


@pytest.mark.parametrize("where", ["initializer", "attribute", "sparse", "branch"])
def test_data_outside_the_file_are_refused_wherever_a_tensor_may_stand(where: str) -> None:
    error = refused(external(where))

    assert (error.what, error.where) == ("the model keeps data outside its file", "tensor 'w'")


def test_a_model_that_was_saved_with_external_data_is_refused(tmp_path: Path) -> None:
    model = onnx.load_from_string(sigmoid_network(width=64))
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)

    assert refused((tmp_path / "model.onnx").read_bytes()).what == "the model keeps data outside its file"


@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.preview.training", "example.org"])
def test_operators_of_another_domain_are_refused_in_branches_too(domain: str) -> None:
    node = helper.make_node("Foreign", ["x"], ["scores"], domain=domain)
    data = model_bytes([node], [matrix_in(1, "x")], [scores_out(1)], domains=(domain,))
    error = refused(data)
    assert (error.what, error.got) == ("the model uses operators that are not standard", domain)

    branch = helper.make_graph([helper.make_node("F", ["x"], ["y"], domain=domain)], "b", [], [scores_out(1, "y")])
    nodes = [
        helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))),
        helper.make_node("If", ["yes"], ["scores"], then_branch=branch, else_branch=branch),
    ]
    assert refused(model_bytes(nodes, [matrix_in(1, "x")], [scores_out(1)], domains=(domain,))).got == domain


def test_functions_of_the_models_own_are_refused() -> None:
    model = onnx.load_from_string(sigmoid_network())
    model.functions.append(
        helper.make_function("", "Own", ["a"], ["b"], [helper.make_node("Sin", ["a"], ["b"])], model.opset_import)
    )

    assert refused(model.SerializeToString()).got == "functions of its own"


def test_an_operator_that_does_not_exist_is_refused() -> None:
    data = model_bytes([helper.make_node("NoSuchThing", ["x"], ["scores"])], [matrix_in(1, "x")], [scores_out(1)])

    error = refused(data)

    assert error.what == "the model is not valid ONNX"
    assert "NoSuchThing" in str(error.got)


@pytest.mark.parametrize(
    "element", [TensorProto.FLOAT16, TensorProto.COMPLEX64, TensorProto.UINT8, TensorProto.UNDEFINED]
)
def test_an_element_type_without_an_arrow_type_is_refused(element: int) -> None:
    model = onnx.load_from_string(sigmoid_network())
    model.graph.input[0].type.tensor_type.elem_type = element

    error = refused(model.SerializeToString())

    assert error.what.startswith("the model")


# --- How a view fills a graph -----------------------------------------------------------------------------------------


def view(types: dict[str, pa.DataType], **contracts: dict[str, Any]) -> FeatureView:
    return FeatureView(
        name="v",
        entity_key="k",
        event_time="t",
        request=[Request(name, type_, **contracts.get(name, {})) for name, type_ in types.items()],
        inputs=list(types),
    )


def graph(*inputs: GraphTensor) -> Graph:
    return Graph(inputs, (GraphTensor("scores", "float32", 1, 2),), (), (), is_trees_only=False)


@pytest.mark.parametrize("make", example.ALL.values(), ids=example.ALL)
def test_every_example_fits_its_view(make: Any) -> None:
    chosen: Example = make()

    specs = graphs.match_view(graphs.inspect(chosen.onnx), load_view(chosen.features, chosen.view_name))

    assert [name for spec in specs for name in spec.columns] == list(
        load_view(chosen.features, chosen.view_name).inputs
    )


def test_one_matrix_takes_all_inputs_in_the_views_order() -> None:
    two = view({"b": pa.float32(), "a": pa.float32()})

    assert graphs.match_view(graph(GraphTensor("x", "float32", 2, 2)), two) == (TensorSpec("x", "float32", ("b", "a")),)
    assert graphs.match_view(graph(GraphTensor("x", "float32", None, 2)), two)[0].columns == ("b", "a")


def test_named_inputs_take_one_column_each_in_the_graphs_order() -> None:
    two = view({"b": pa.float32(), "a": pa.string()})

    assert graphs.match_view(graph(GraphTensor("a", "string", 1, 2), GraphTensor("b", "float32", None, 1)), two) == (
        TensorSpec("a", "string", ("a",)),
        TensorSpec("b", "float32", ("b",), 1),
    )


def test_a_single_input_may_be_named_or_a_matrix() -> None:
    one = view({"a": pa.float32()})

    for name in ("a", "anything"):
        assert graphs.match_view(graph(GraphTensor(name, "float32", 1, 2)), one) == (
            TensorSpec(name, "float32", ("a",)),
        )


@pytest.mark.parametrize(
    ("inputs", "said", "got"),
    [
        ([GraphTensor("x", "float32", 3, 2)], "the model's input has another width than the view", "3"),
        ([GraphTensor("x", "float32", 1, 2)], "the model's input has another width than the view", "1"),
        (
            [GraphTensor("a", "float32", 3, 2), GraphTensor("b", "float32", 1, 2)],
            "the model's input has another width than the view",
            "3",
        ),
        (
            [GraphTensor("a", "float32", 1, 2), GraphTensor("c", "float32", 1, 2)],
            "the model's inputs are not the view's",
            "a, c",
        ),
        (
            [GraphTensor(name, "float32", 1, 2) for name in "abc"],
            "the model's inputs are not the view's",
            "a, b, c",
        ),
        ([], "the model's inputs are not the view's", ""),
        ([GraphTensor("x", "float32", None, 3)], "the model's input has a shape rows cannot fill", "3 dimensions"),
        ([GraphTensor("x", "float32", None, 1)], "the model's input has a shape rows cannot fill", "1 dimensions"),
        ([GraphTensor("x", "float32", None, 0)], "the model's input has a shape rows cannot fill", "0 dimensions"),
        ([GraphTensor("x", "float32", 2, 2, rows=1)], "the model takes a fixed number of rows", "1"),
        ([GraphTensor("x", "string", 2, 2)], "feature 'a' cannot feed the model's input without loss", "float"),
        ([GraphTensor("x", "zipmap", None, 1)], "the model's input has a shape rows cannot fill", "1 dimensions"),
    ],
)
def test_inputs_that_do_not_match_the_view_are_refused(inputs: list[GraphTensor], said: str, got: str) -> None:
    with pytest.raises(ModelError) as caught:
        graphs.match_view(graph(*inputs), view({"a": pa.float32(), "b": pa.float32()}))
    assert (caught.value.what, caught.value.got) == (said, got)


@pytest.mark.parametrize(
    ("declared", "dtype", "fits"),
    [
        (pa.float32(), "float32", True),
        (pa.float32(), "float64", True),
        (pa.float64(), "float32", False),
        (pa.int32(), "int64", True),
        (pa.int32(), "float64", True),
        (pa.int32(), "float32", False),
        (pa.int64(), "int32", False),
        (pa.int64(), "float64", False),
        (pa.bool_(), "float32", True),
        (pa.bool_(), "int64", True),
        (pa.bool_(), "bool", True),
        (pa.bool_(), "string", False),
        (pa.string(), "string", True),
        (pa.string(), "float32", False),
        (pa.float32(), "string", False),
    ],
)
def test_a_feature_feeds_an_input_only_without_loss(declared: pa.DataType, dtype: str, fits: bool) -> None:
    taken = graph(GraphTensor("a", dtype, 1, 2))
    if fits:
        assert graphs.match_view(taken, view({"a": declared}))[0].dtype == dtype
    else:
        with pytest.raises(ModelError, match="cannot feed the model's input without loss"):
            graphs.match_view(taken, view({"a": declared}))


def test_a_model_with_a_fixed_number_of_rows_is_refused() -> None:
    data = model_bytes(
        [helper.make_node("Identity", ["x"], ["scores"])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1])],
    )

    with pytest.raises(ModelError, match="the model takes a fixed number of rows"):
        graphs.match_view(graphs.inspect(data), view({"a": pa.float32()}))
