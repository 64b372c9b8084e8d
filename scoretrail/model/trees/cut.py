"""A graph cut at its tree ensemble: what stands before it, its attributes, what follows; imports onnx."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from scoretrail.model.graph import TREES
from scoretrail.model.trees.ensemble import NotCoveredError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scoretrail.model.manifest import Output
    from scoretrail.model.trees.attribute import Attributes

_DTYPES: Final[dict[int, Literal["float32", "float64"]]] = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.INT32: "float32",
    TensorProto.INT64: "float32",
}
"""Of an ensemble's input: the type ONNX Runtime compares and adds in."""
_INPUTS: Final[dict[int, Literal["float32", "float64", "int32", "int64"]]] = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
}
_FLOATS: Final = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}


@dataclass(frozen=True)
class Cut:
    """A graph in three parts."""

    operator: str
    attributes: Attributes
    dtype: Literal["float32", "float64"]
    """Of its comparisons and sums."""
    input_dtype: Literal["float32", "float64", "int32", "int64"]
    inputs: tuple[str, ...]
    """Graph inputs whose columns, side by side, are the ensemble's input; empty where a graph makes it."""
    before: bytes | None
    """The graph from the inputs to the ensemble's input, its only output; None where it is the inputs themselves."""
    after: bytes | None
    """The graph from the ensemble's scores, its only input, to the scores that count; None where they are the same."""
    alone: bytes
    """A graph of nothing but the ensemble, from its input ``x`` to its scores ``scores``."""


def cut(data: bytes, output: Output) -> Cut:
    """Return a model in three parts.

    Args:
        data: the model, which :func:`scoretrail.model.graph.inspect` has accepted.
        output: the graph output that holds the scores.

    Raises:
        NotCoveredError: there is not one ensemble through which the scores come, or the parts cannot be told.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(data))
    view = _View(model)
    needed = view.needed(output.name, set())
    ensembles = [node for node in needed if node.op_type in TREES]
    if len(ensembles) != 1:
        raise NotCoveredError(f"the scores come from {len(ensembles)} tree ensembles, not from one")
    node = ensembles[0]
    source, scores = node.input[0], node.output[1 if node.op_type == "TreeEnsembleClassifier" else 0]
    kind = view.types.get(source)
    if kind not in _DTYPES:
        raise NotCoveredError("the type of the ensemble's input is not known, or has no kernel")
    dtype = _DTYPES[kind]
    attributes = {one.name: _value(one) for one in node.attribute}
    score_type = kind if node.op_type == "TreeEnsemble" else TensorProto.FLOAT
    inputs = view.inputs_of(source)
    start = helper.make_tensor_value_info(source, kind, [None, None])
    middle = helper.make_tensor_value_info(scores, score_type, [None, None])
    after = view.after(output, scores)
    return Cut(
        operator=node.op_type,
        attributes=attributes,
        dtype=dtype,
        input_dtype=_INPUTS[kind],
        inputs=inputs,
        before=None if inputs else view.part(view.needed(source, set()), view.graph_inputs(source), [start]),
        after=None if after is None else view.part(after, [middle], [view.value(output.name)]),
        alone=view.part([_alone(node)], [helper.make_tensor_value_info("x", kind, [None, None])], [middle]),
    )


def _alone(node: onnx.NodeProto) -> onnx.NodeProto:
    single = onnx.NodeProto()
    single.CopyFrom(node)
    single.input[0] = "x"
    return single


class _View:
    """A model, seen from its outputs."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        graph = model.graph
        self._makers = {name: node for node in graph.node for name in node.output if name}
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._values = {value.name: value for value in [*graph.input, *graph.output, *graph.value_info]}
        self.types = {name: value.type.tensor_type.elem_type for name, value in self._values.items()}

    def value(self, name: str) -> onnx.ValueInfoProto:
        """Return what the graph says of a tensor."""
        found: onnx.ValueInfoProto = self._values[name]
        return found

    def needed(self, name: str, given: set[str]) -> list[onnx.NodeProto]:
        """Return the nodes that make a tensor from what is given, in the graph's order."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            wanted = waiting.pop()
            maker = self._makers.get(wanted)
            if wanted in given or maker is None or maker.output[0] in found:
                continue
            found.add(maker.output[0])
            waiting += [one for one in maker.input if one]
        return [node for node in self._model.graph.node if node.output[0] in found]

    def graph_inputs(self, name: str) -> list[onnx.ValueInfoProto]:
        """Return the graph's inputs that a tensor is made from."""
        used = {one for node in self.needed(name, set()) for one in node.input}
        return [value for value in self._model.graph.input if value.name in used and value.name not in self._constants]

    def inputs_of(self, name: str) -> tuple[str, ...]:
        """Return the graph inputs that, side by side, are a tensor; none where more than their place changes."""
        maker = self._makers.get(name)
        if maker is None:
            return (name,)
        if self._passes_on(maker):
            return self.inputs_of(maker.input[0])
        if maker.op_type == "Concat" and _attribute(maker, "axis") in (1, -1):
            parts = [self.inputs_of(one) for one in maker.input]
            return tuple(name for part in parts for name in part) if all(parts) else ()
        return ()

    def after(self, output: Output, scores: str) -> list[onnx.NodeProto] | None:
        """Return the nodes from the ensemble's scores to the output; None where none of them changes a bit.

        Raises:
            NotCoveredError: they need more than the scores, or name classes in another order.
        """
        nodes = self.needed(output.name, {scores})
        made = {scores, *self._constants, *(name for node in nodes for name in node.output)}
        if any(one not in made for node in nodes for one in node.input if one):
            raise NotCoveredError("what follows the ensemble needs more than its scores")
        if any(node.op_type == "ZipMap" for node in nodes):
            last = nodes[-1]
            labels = _attribute(last, "classlabels_strings") or _attribute(last, "classlabels_int64s") or ()
            if last.op_type != "ZipMap" or tuple(map(str, labels)) != output.classes:
                raise NotCoveredError("its ZipMap names the classes in another order than the contract")
            nodes = nodes[:-1]
            if not all(self._passes_on(node) for node in nodes):
                raise NotCoveredError("its ZipMap follows more than the ensemble")
        return None if all(self._passes_on(node) for node in nodes) else nodes

    def _passes_on(self, node: onnx.NodeProto) -> bool:
        """Tell whether a node gives its first input unchanged: times one changes no bit of a float."""
        if node.op_type == "Identity":
            return True
        if node.op_type == "Cast":
            kind = self.types.get(node.input[0])
            return kind is not None and kind == _attribute(node, "to") and kind in _FLOATS.values()
        if node.op_type == "Mul" and node.input[1] in self._constants:
            factor = numpy_helper.to_array(self._constants[node.input[1]])
            return bool(factor.size == 1 and factor.ndim <= 1 and factor.ravel()[0] == 1)
        return False

    def part(
        self,
        nodes: Sequence[onnx.NodeProto],
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
    ) -> bytes:
        """Return a model of some of the nodes."""
        used = {one for node in nodes for one in node.input}
        constants = [tensor for name, tensor in self._constants.items() if name in used]
        graph = helper.make_graph(list(nodes), "part", list(inputs), list(outputs), constants)
        made = helper.make_model(graph, opset_imports=list(self._model.opset_import), ir_version=self._model.ir_version)
        return bytes(made.SerializeToString())


def _attribute(node: onnx.NodeProto, name: str) -> Any:  # noqa: ANN401  (of any type)
    for one in node.attribute:
        if one.name == name:
            return _value(one)
    return None


def _value(attribute: onnx.AttributeProto) -> Any:  # noqa: ANN401  (of any type)
    value = helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value).ravel().tolist()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, int | float | np.generic):
        return value
    return [one.decode(errors="replace") if isinstance(one, bytes) else one for one in value]
