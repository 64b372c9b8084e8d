"""The attributes of the three ensemble operators of ai.onnx.ml, read into one neutral form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, cast

from scoretrail.model.trees.coverage import check
from scoretrail.model.trees.ensemble import Classes, Ensemble, Leaf, Mode, NotCoveredError, Split, plant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Attributes = dict[str, Any]
"""Attribute -> int, str, or list of ints, floats or strings; tensors as lists too."""

_MODES: Final = tuple(Mode)
"""As the byte of operator version 5 numbers them."""
_AGGREGATES: Final = ("AVERAGE", "SUM", "MIN", "MAX")
_TRANSFORMS: Final = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT")
_NODES: Final = ("treeids", "nodeids", "featureids", "modes", "truenodeids", "falsenodeids", "values")


def read(operator: str, attributes: Attributes, dtype: Literal["float32", "float64"]) -> Ensemble:
    """Return the ensemble that an operator's attributes state.

    Args:
        operator: ``TreeEnsembleClassifier``, ``TreeEnsembleRegressor`` (versions 1 and 3) or ``TreeEnsemble`` (5).
        attributes: of the node.
        dtype: of the operator's input; float32 for integers.

    Raises:
        NotCoveredError: the attributes contradict each other, or state what the kernel does not cover.
    """
    try:
        if operator == "TreeEnsemble":
            ensemble = _read_flat(attributes, dtype)
        else:
            ensemble = _read_listed(attributes, dtype, "class" if operator == "TreeEnsembleClassifier" else "target")
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise NotCoveredError(f"its attributes cannot be read: {type(error).__name__}: {error}") from error
    check(ensemble)
    return ensemble


def _read_listed(attributes: Attributes, dtype: Literal["float32", "float64"], kind: str) -> Ensemble:
    """Return what the operators of versions 1 and 3 state: nodes, and weights of nodes, listed with their trees.

    Raises:
        NotCoveredError: lists contradict each other.
    """
    column = {name: _column(attributes, f"nodes_{name}", dtype) for name in _NODES}
    n_nodes = len(column["treeids"])
    if any(len(values) != n_nodes for values in column.values()):
        raise NotCoveredError("its lists of nodes have different lengths")
    identifiers = list(zip(column["treeids"], column["nodeids"], strict=True))
    place = {identifier: i for i, identifier in enumerate(identifiers)}
    if len(place) != n_nodes:
        raise NotCoveredError("two nodes have the same number")
    weights = _weights(attributes, dtype, kind, place)
    is_leaf = [mode == "LEAF" for mode in column["modes"]]
    number = _numbers(is_leaf)
    missing = attributes.get("nodes_missing_value_tracks_true") or [0] * n_nodes
    splits, leaves = [], []
    for i in range(n_nodes):
        tree = column["treeids"][i]
        if is_leaf[i]:
            leaves.append(weights.get(i, {}))
            continue
        splits.append(
            Split(
                feature=int(column["featureids"][i]),
                threshold=float(column["values"][i]),
                mode=Mode(column["modes"][i]),
                true=number[place[tree, column["truenodeids"][i]]],
                false=number[place[tree, column["falsenodeids"][i]]],
                missing_true=missing[i] == 1,
            )
        )
    roots = [number[i] for i in range(n_nodes) if i == 0 or column["treeids"][i] != column["treeids"][i - 1]]
    trees = plant(roots, splits, leaves)
    if any(not leaf for tree in trees for leaf in tree.leaves.values()):
        raise NotCoveredError("a leaf has no weight")
    classes, n_targets = None, attributes.get("n_targets", 0)
    if kind == "class":
        n_targets = len(attributes.get("classlabels_strings") or attributes.get("classlabels_int64s") or ())
        every = _column(attributes, "class_weights", dtype)
        classes = Classes(len(set(attributes["class_ids"])) == 1, all(weight >= 0 for weight in every))
    return Ensemble(
        trees=trees,
        n_targets=n_targets,
        dtype=dtype,
        classes=classes,
        base_values=tuple(_column(attributes, "base_values", dtype)),
        **_ending(attributes.get("aggregate_function", "SUM"), attributes.get("post_transform", "NONE")),
    )


def _weights(attributes: Attributes, dtype: str, kind: str, place: Mapping[tuple[int, int], int]) -> dict[int, Leaf]:
    """Return the weights of each node that has some.

    Raises:
        NotCoveredError: a node has two for one target.
    """
    names = [f"{kind}_treeids", f"{kind}_nodeids", f"{kind}_ids", f"{kind}_weights"]
    lists = [_column(attributes, name, dtype) for name in names]
    weights: dict[int, Leaf] = {}
    for tree, node, target, weight in zip(*lists, strict=True):
        leaf = weights.setdefault(place[tree, node], {})
        if target in leaf:
            raise NotCoveredError("a leaf has two weights for one target")
        leaf[int(target)] = float(weight)
    return weights


def _read_flat(attributes: Attributes, dtype: Literal["float32", "float64"]) -> Ensemble:
    """Return what the operator of version 5 states: inner nodes and leaves in lists of their own.

    Raises:
        NotCoveredError: it has nodes or trees of a kind that is not covered.
    """
    names = ("featureids", "splits", "modes", "truenodeids", "trueleafs", "falsenodeids", "falseleafs")
    feature, threshold, mode, true, true_leaf, false, false_leaf = (attributes[f"nodes_{name}"] for name in names)
    missing = attributes.get("nodes_missing_value_tracks_true") or [0] * len(feature)
    if max(mode, default=0) >= len(_MODES):
        raise NotCoveredError("it has nodes that ask for membership in a set")
    splits = [
        Split(
            int(feature[i]),
            float(threshold[i]),
            _MODES[mode[i]],
            _child(true[i], true_leaf[i]),
            _child(false[i], false_leaf[i]),
            missing[i] == 1,
        )
        for i in range(len(feature))
    ]
    leaves: list[Leaf] = [
        {int(target): float(weight)}
        for target, weight in zip(attributes["leaf_targetids"], attributes["leaf_weights"], strict=True)
    ]
    roots = [_child(root, 0) for root in attributes["tree_roots"]]
    if any(splits[root].true == splits[root].false for root in roots):
        raise NotCoveredError("a tree of this operator version is a single leaf")
    return Ensemble(
        trees=plant(roots, splits, leaves),
        n_targets=attributes.get("n_targets", 0),
        dtype=dtype,
        classes=None,
        base_values=(),
        output_dtype=dtype,
        **_ending(
            _AGGREGATES[attributes.get("aggregate_function", 1)], _TRANSFORMS[attributes.get("post_transform", 0)]
        ),
    )


def _child(number: int, is_leaf: int) -> int:
    """Return a child as :class:`Split` names it.

    Raises:
        NotCoveredError: its number is negative.
    """
    if number < 0:
        raise NotCoveredError("a node has a child with a negative number")
    return ~number if is_leaf else number


def _ending(aggregate: str, transform: str) -> dict[str, Any]:
    """Return how sums end.

    Raises:
        NotCoveredError: in a way that is not covered.
    """
    if aggregate not in _AGGREGATES:
        raise NotCoveredError(f"it aggregates by {aggregate}")
    if transform not in _TRANSFORMS or transform == "PROBIT":
        raise NotCoveredError(f"its post-transform is {transform}")
    return {"aggregate": aggregate, "post_transform": transform}


def _column(attributes: Attributes, name: str, dtype: str) -> Sequence[Any]:
    """Return a list attribute, from its tensor form where that is given; empty where neither is.

    Raises:
        NotCoveredError: both are given, or the tensor has another type than the input.
    """
    as_tensor = attributes.get(f"{name}_as_tensor")
    if as_tensor is not None and attributes.get(name):
        raise NotCoveredError(f"it states {name} twice")
    if as_tensor is not None and dtype != "float64":
        raise NotCoveredError(f"{name} is more precise than the input")
    return cast("Sequence[Any]", as_tensor if as_tensor is not None else attributes.get(name, ()))


def _numbers(is_leaf: Sequence[bool]) -> list[int]:
    """Return each node's number among the inner nodes, or ``~`` its number among the leaves.

    >>> _numbers([False, True, False, True, True])
    [0, -1, 1, -2, -3]
    """
    numbers, inner, outer = [], 0, 0
    for leaf in is_leaf:
        numbers.append(~outer if leaf else inner)
        inner, outer = inner + (not leaf), outer + leaf
    return numbers
