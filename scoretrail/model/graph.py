"""What an ONNX graph says of itself, and what is refused before it is ever run; the only import of onnx."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, ModelProto, TensorProto

from scoretrail.errors import ModelError
from scoretrail.feature.tensor import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scoretrail.feature.view import FeatureView

_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})
TREES: Final = frozenset({"TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble"})
_ROW_BY_ROW: Final = frozenset(
    {
        "ArrayFeatureExtractor",
        "Cast",
        "Concat",
        "Flatten",
        "Gather",
        "Identity",
        "LabelEncoder",
        "Mul",
        "OneHotEncoder",
    }
    | {"CategoryMapper", "Reshape", "Slice", "Squeeze", "Unsqueeze", "ZipMap"}
)
"""Operators that move or name values; and Mul, for converters of LightGBM multiply by one: it rounds each value by
itself, as IEEE 754 says. Beside trees none of them can make bits depend on the batch size."""
_DTYPES: Final[dict[int, str]] = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.BOOL: "bool",
    TensorProto.STRING: "string",
}
_CLASS_ATTRIBUTES: Final = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")


@dataclass(frozen=True)
class GraphTensor:
    """An input or output of a graph."""

    name: str
    dtype: str
    """A numpy-like name; ``zipmap`` for the sequence of maps that converters make of probabilities."""
    width: int | None
    """Second dimension; None where the graph leaves it open, or where there is only one dimension."""
    rank: int
    rows: int | None = None
    """First dimension, where the graph fixes it."""


@dataclass(frozen=True)
class Graph:
    """A graph that may be run."""

    inputs: tuple[GraphTensor, ...]
    outputs: tuple[GraphTensor, ...]
    operators: tuple[str, ...]
    """``domain:Operator``, sorted, each once: the architecture in one line."""
    classes: tuple[str, ...]
    """Class labels that the graph names, in its order; empty for a regressor and for networks that name none."""
    is_trees_only: bool
    """True where a tree ensemble is the only arithmetic."""


def inspect(data: bytes) -> Graph:
    """Return what a model says of itself.

    Raises:
        ModelError: it does not parse, is not valid ONNX, keeps data outside the file, or uses operators of a domain
            other than ai.onnx and ai.onnx.ml.
    """
    model = _parse(data)
    _refuse_external_data(model)
    nodes = list(_nodes(model.graph))
    _refuse_domains(model, nodes)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ModelError("the model is not valid ONNX", got=str(error).splitlines()[0]) from error
    initialised = {tensor.name for tensor in model.graph.initializer}
    types = {node.op_type for node in nodes}
    return Graph(
        inputs=tuple(_tensor(value) for value in model.graph.input if value.name not in initialised),
        outputs=tuple(_tensor(value) for value in model.graph.output),
        operators=tuple(sorted({f"{node.domain or 'ai.onnx'}:{node.op_type}" for node in nodes})),
        classes=_classes(nodes),
        is_trees_only=bool(types & TREES) and types <= TREES | _ROW_BY_ROW,
    )


def match_view(graph: Graph, view: FeatureView) -> tuple[TensorSpec, ...]:
    """Return how the view's inputs fill the graph's.

    A graph takes one matrix of all inputs in the view's order, or one column per input under the input's name.

    Raises:
        ModelError: neither fits.
    """
    if len(graph.inputs) == 1 and not (len(view.inputs) == 1 and graph.inputs[0].name == view.inputs[0]):
        return (_spec(graph.inputs[0], tuple(view.inputs), view),)
    names = {tensor.name for tensor in graph.inputs}
    if names != set(view.inputs):
        raise ModelError(
            "the model's inputs are not the view's",
            expected=", ".join(sorted(view.inputs)),
            got=", ".join(sorted(names)),
            fix="name each graph input after a view input, or give the graph one matrix input",
        )
    return tuple(_spec(tensor, (tensor.name,), view) for tensor in graph.inputs)


def _spec(tensor: GraphTensor, columns: tuple[str, ...], view: FeatureView) -> TensorSpec:
    if tensor.rank not in (1, 2) or (tensor.rank == 1 and len(columns) != 1):
        raise ModelError(
            "the model's input has a shape rows cannot fill",
            where=f"input {tensor.name!r}",
            expected="(rows, columns), or (rows) for one column",
            got=f"{tensor.rank} dimensions",
        )
    if tensor.rows is not None:
        raise ModelError(
            "the model takes a fixed number of rows",
            where=f"input {tensor.name!r}",
            got=str(tensor.rows),
            fix="convert it with an open first dimension",
        )
    if tensor.width not in (None, len(columns)):
        raise ModelError(
            "the model's input has another width than the view",
            where=f"input {tensor.name!r}",
            expected=f"{len(columns)}: {', '.join(columns)}",
            got=str(tensor.width),
        )
    spec = TensorSpec(tensor.name, tensor.dtype, columns, tensor.rank)
    for field in view.input_fields:
        if field.name in columns and not _feeds(str(field.type), tensor.dtype):
            raise ModelError(
                f"feature {field.name!r} cannot feed the model's input without loss",
                where=f"input {tensor.name!r}",
                expected=tensor.dtype,
                got=str(field.type),
                fix="declare the feature in the type the model was trained with",
            )
    return spec


def _feeds(arrow: str, dtype: str) -> bool:
    """Tell whether a declared feature type may fill a tensor: the same type, or bool into a number."""
    same = {"float": "float32", "double": "float64"}.get(arrow, arrow)
    return same == dtype or (same == "bool" and dtype != "string") or (same, dtype) in _WIDENINGS


_WIDENINGS: Final = frozenset({("float32", "float64"), ("int32", "int64"), ("int32", "float64")})


def _parse(data: bytes) -> ModelProto:
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ModelError("the model file is not ONNX", got=str(error)) from error
    if not model.graph.node:
        raise ModelError("the model file is not ONNX, or has no operators", got=f"{len(data)} bytes")
    return model


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in _subgraphs(attribute):
                yield from _nodes(inner)


def _subgraphs(attribute: AttributeProto) -> list[onnx.GraphProto]:
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t
            for inner in _subgraphs(attribute):
                yield from _tensors(inner)


def _refuse_external_data(model: ModelProto) -> None:
    for tensor in _tensors(model.graph):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise ModelError(
                "the model keeps data outside its file",
                where=f"tensor {tensor.name!r}",
                fix="save it with everything in one file: onnx.save(model, path, save_as_external_data=False)",
            )


def _refuse_domains(model: ModelProto, nodes: list[onnx.NodeProto]) -> None:
    foreign = {node.domain for node in nodes} - _DOMAINS
    if foreign or model.functions:
        raise ModelError(
            "the model uses operators that are not standard",
            expected="operators of ai.onnx and ai.onnx.ml",
            got=", ".join(sorted(foreign)) or "functions of its own",
            fix="convert it without custom operators",
        )


def _tensor(value: onnx.ValueInfoProto) -> GraphTensor:
    if value.type.HasField("sequence_type"):
        return GraphTensor(value.name, "zipmap", None, 1)
    tensor = value.type.tensor_type
    dims = tensor.shape.dim
    width = dims[1].dim_value if len(dims) == 2 and dims[1].HasField("dim_value") else None  # noqa: PLR2004
    dtype = _DTYPES.get(tensor.elem_type)
    if dtype is None:
        raise ModelError(
            "the model has an input or output of an element type that is not supported",
            where=value.name,
            expected=", ".join(_DTYPES.values()),
            got=TensorProto.DataType.Name(tensor.elem_type),
        )
    rows = dims[0].dim_value if len(dims) and dims[0].HasField("dim_value") else None
    return GraphTensor(value.name, dtype, width or None, len(dims), rows or None)


def _classes(nodes: list[onnx.NodeProto]) -> tuple[str, ...]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.name in _CLASS_ATTRIBUTES and (attribute.strings or attribute.ints):
                return tuple(text.decode() for text in attribute.strings) or tuple(str(n) for n in attribute.ints)
    return ()
