"""Tree ensembles drawn at random, as the three ONNX operators state them: more shapes than any converter makes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from onnx import TensorProto, helper

from scoretrail.model.manifest import Output

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
TRANSFORMS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")
OPERATORS = ("TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble")
_TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int64": TensorProto.INT64}
INPUT = "matrix"
SCORES = "scores"

Operator = Literal["TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble"]


@dataclass(frozen=True, kw_only=True)
class Forest:
    """What an ensemble is to be like; the numbers in it follow from the seed."""

    operator: Operator = "TreeEnsembleClassifier"
    trees: int = 5
    leaves: int = 8
    features: int = 4
    modes: tuple[str, ...] = ("BRANCH_LEQ",)
    missing: bool = False
    targets: int = 2
    weighted: tuple[int, ...] = (0,)
    """Targets that have weights; each leaf has one for each of them, or, ``spread``, for the tree's own."""
    spread: bool = False
    """Tree i has weights for target i modulo the targets only, as boosting does."""
    positive: bool = False
    base: int = 0
    """Base values."""
    aggregate: str = "SUM"
    transform: str = "NONE"
    dtype: Literal["float32", "float64", "int64"] = "float32"
    balanced: bool = True
    changed: dict[str, Any] = field(default_factory=dict)
    """Attributes that are set to something else in the end."""

    @property
    def output(self) -> Output:
        """The contract of its scores."""
        if self.operator != "TreeEnsembleClassifier" and self.targets == 1:
            return Output(task="regression", name=SCORES, form="matrix")
        names = tuple(f"c{i}" for i in range(self.targets))
        return Output(task="binary" if self.targets == 2 else "multiclass", name=SCORES, form="matrix", classes=names)


def forest_bytes(forest: Forest, seed: int = 0) -> bytes:
    """Return a model of one ensemble, from ``matrix`` (rows, features) to ``scores``."""
    attributes = _flat(forest, seed) if forest.operator == "TreeEnsemble" else _listed(forest, seed)
    return operator_bytes(forest, attributes | forest.changed)


def operator_bytes(forest: Forest, attributes: dict[str, Any]) -> bytes:
    """Return a model of one operator with these attributes."""
    classifier = forest.operator == "TreeEnsembleClassifier"
    outputs = ["label", SCORES] if classifier else [SCORES]
    node = helper.make_node(forest.operator, [INPUT], outputs, domain="ai.onnx.ml", **attributes)
    kind = _TYPES[forest.dtype]
    score = kind if forest.operator == "TreeEnsemble" else TensorProto.FLOAT
    values = [helper.make_tensor_value_info(SCORES, score, ["rows", forest.targets])]
    if classifier:
        values.insert(0, helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]))
    graph = helper.make_graph(
        [node], "forest", [helper.make_tensor_value_info(INPUT, kind, ["rows", forest.features])], values
    )
    opsets = [
        helper.make_opsetid("", 18),
        helper.make_opsetid("ai.onnx.ml", 5 if forest.operator == "TreeEnsemble" else 3),
    ]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


@dataclass
class _Node:
    feature: int = 0
    mode: str = "LEAF"
    value: float = 0.0
    missing: int = 0
    true: int = 0
    false: int = 0


def _grow(forest: Forest, random: np.random.Generator) -> list[_Node]:
    """Return a tree's nodes, children after their parents."""
    nodes = [_Node()]
    leaves = [0]
    while len(leaves) < forest.leaves:
        at = leaves.pop(0 if forest.balanced else int(random.integers(len(leaves))))
        mode = str(random.choice(forest.modes))
        coarse = mode in ("BRANCH_EQ", "BRANCH_NEQ") or forest.dtype == "int64"
        value = float(random.integers(-3, 4)) if coarse else float(random.normal())
        nodes[at] = _Node(
            feature=int(random.integers(forest.features)),
            mode=mode,
            value=value,
            missing=int(forest.missing and random.random() < 0.5),
            true=len(nodes),
            false=len(nodes) + 1,
        )
        leaves += [len(nodes), len(nodes) + 1]
        nodes += [_Node(), _Node()]
    return nodes


def _weight(forest: Forest, random: np.random.Generator) -> float:
    weight = float(np.float32(random.normal() * 10.0 ** random.integers(-3, 3)))
    return abs(weight) if forest.positive else weight


def _listed(forest: Forest, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    kind = "class" if forest.operator == "TreeEnsembleClassifier" else "target"
    rows: dict[str, list[Any]] = {}

    def add(name: str, value: Any) -> None:
        rows.setdefault(name, []).append(value)

    for tree in range(forest.trees):
        for number, node in enumerate(_grow(forest, random)):
            add("nodes_treeids", tree)
            add("nodes_nodeids", number)
            add("nodes_featureids", node.feature)
            add("nodes_modes", node.mode)
            add("nodes_values", node.value)
            add("nodes_truenodeids", node.true)
            add("nodes_falsenodeids", node.false)
            add("nodes_missing_value_tracks_true", node.missing)
            if node.mode != "LEAF":
                continue
            for target in (tree % forest.targets,) if forest.spread else forest.weighted:
                add(f"{kind}_treeids", tree)
                add(f"{kind}_nodeids", number)
                add(f"{kind}_ids", target)
                add(f"{kind}_weights", _weight(forest, random))
    if not forest.missing:
        del rows["nodes_missing_value_tracks_true"]
    rows["base_values"] = [_weight(forest, random) for _ in range(forest.base)]
    return _typed(forest, rows, kind)


def _typed(forest: Forest, rows: dict[str, list[Any]], kind: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {name: values for name, values in rows.items() if values}
    if forest.dtype == "float64":
        for name in ("nodes_values", f"{kind}_weights", "base_values"):
            if name in attributes:
                attributes[f"{name}_as_tensor"] = _doubles(attributes.pop(name))
    if kind == "class":
        attributes["classlabels_int64s"] = list(range(forest.targets))
    else:
        attributes |= {"n_targets": forest.targets, "aggregate_function": forest.aggregate}
    return attributes | {"post_transform": forest.transform}


def _flat(forest: Forest, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    splits: list[_Node] = []
    leaf_targets: list[int] = []
    leaf_weights: list[float] = []
    leafs: list[tuple[int, int]] = []
    roots = []
    for tree in range(forest.trees):
        nodes = _grow(forest, random)
        place: list[tuple[int, int]] = []
        for node in nodes:
            if node.mode == "LEAF":
                place.append((len(leaf_weights), 1))
                leaf_targets.append(tree % forest.targets if forest.spread else int(random.choice(forest.weighted)))
                leaf_weights.append(_weight(forest, random))
            else:
                place.append((len(splits) + sum(one[1] == 0 for one in place), 0))
        roots.append(len(splits))
        for node in nodes:
            if node.mode != "LEAF":
                leafs.append((place[node.true][1], place[node.false][1]))
                splits.append(replace(node, true=place[node.true][0], false=place[node.false][0]))
    kind = _TYPES[forest.dtype]

    def tensor(name: str, values: list[Any], of: int) -> Any:
        return helper.make_tensor(name, of, [len(values)], values)

    attributes = {
        "tree_roots": roots,
        "nodes_featureids": [node.feature for node in splits],
        "nodes_splits": tensor("splits", [node.value for node in splits], kind),
        "nodes_modes": tensor("modes", [MODES.index(node.mode) for node in splits], TensorProto.UINT8),
        "nodes_truenodeids": [node.true for node in splits],
        "nodes_falsenodeids": [node.false for node in splits],
        "nodes_trueleafs": [true for true, _ in leafs],
        "nodes_falseleafs": [false for _, false in leafs],
        "leaf_targetids": leaf_targets,
        "leaf_weights": tensor("weights", leaf_weights, kind),
        "n_targets": forest.targets,
        "aggregate_function": AGGREGATES.index(forest.aggregate),
        "post_transform": TRANSFORMS.index(forest.transform),
    }
    if forest.missing:
        attributes["nodes_missing_value_tracks_true"] = [node.missing for node in splits]
    return attributes


def _doubles(values: list[float]) -> Any:
    return helper.make_tensor("doubles", TensorProto.DOUBLE, [len(values)], values)
