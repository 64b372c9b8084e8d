"""ONNX graphs made by hand: what converters do not make, or what must be refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

OPSET = 18


def matrix_in(width: int, name: str = "matrix") -> onnx.ValueInfoProto:
    """Return an input of (rows, width) float32."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width])


def scores_out(width: int, name: str = "scores") -> onnx.ValueInfoProto:
    """Return an output of (rows, width) float32."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width])


def model_bytes(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initialisers: Sequence[onnx.TensorProto] = (),
    domains: Sequence[str] = (),
) -> bytes:
    """Return a model's bytes; ``domains`` are imported beside ai.onnx."""
    graph = helper.make_graph(nodes, "made-by-hand", inputs, outputs, list(initialisers))
    opsets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def sigmoid_network(width: int = 4, *, columns: int = 1) -> bytes:
    """Return a network of one layer: sigmoid(x w), with ``columns`` outputs and no class labels."""
    weights = np.random.default_rng(1).normal(0, 0.01, (width, columns)).astype(np.float32)
    return model_bytes(
        [helper.make_node("MatMul", ["matrix", "w"], ["z"]), helper.make_node("Sigmoid", ["z"], ["scores"])],
        [matrix_in(width)],
        [scores_out(columns)],
        [numpy_helper.from_array(weights, "w")],
    )
