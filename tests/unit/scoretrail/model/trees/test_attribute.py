"""What an operator's attributes may say, and what is left to ONNX Runtime: never an exception of another kind."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

from scoretrail.model.trees.attribute import read
from scoretrail.model.trees.ensemble import Mode, NotCoveredError
from scoretrail.model.trees.layout import lay_out

#: x0 <= 0.5: a weight of -1; else x1 < 2: a weight of 1, or of 3.
LISTED: dict[str, Any] = {
    "nodes_treeids": [0, 0, 0, 0, 0],
    "nodes_nodeids": [0, 1, 2, 3, 4],
    "nodes_featureids": [0, 0, 1, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "BRANCH_LT", "LEAF", "LEAF"],
    "nodes_values": [0.5, 0.0, 2.0, 0.0, 0.0],
    "nodes_truenodeids": [1, 0, 3, 0, 0],
    "nodes_falsenodeids": [2, 0, 4, 0, 0],
    "target_treeids": [0, 0, 0],
    "target_nodeids": [1, 3, 4],
    "target_ids": [0, 0, 0],
    "target_weights": [-1.0, 1.0, 3.0],
    "n_targets": 1,
}
FLAT: dict[str, Any] = {
    "tree_roots": [0],
    "nodes_featureids": [0, 1],
    "nodes_splits": [0.5, 2.0],
    "nodes_modes": [0, 1],
    "nodes_truenodeids": [0, 1],
    "nodes_trueleafs": [1, 1],
    "nodes_falsenodeids": [1, 2],
    "nodes_falseleafs": [0, 1],
    "leaf_targetids": [0, 0, 0],
    "leaf_weights": [-1.0, 1.0, 3.0],
    "n_targets": 1,
}
REGRESSOR = "TreeEnsembleRegressor"


def changed(attributes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return copy.deepcopy(attributes) | changes


@pytest.mark.parametrize(("operator", "attributes"), [(REGRESSOR, LISTED), ("TreeEnsemble", FLAT)])
def test_all_operators_become_the_same_trees(operator: str, attributes: dict[str, Any]) -> None:
    ensemble = read(operator, attributes, "float32")

    (tree,) = ensemble.trees
    assert [(s.feature, s.threshold, s.mode) for s in tree.splits.values()] == [
        (0, 0.5, Mode.LEQ),
        (1, 2.0, Mode.LT),
    ]
    assert tree.leaves == {0: {0: -1.0}, 1: {0: 1.0}, 2: {0: 3.0}}
    assert (ensemble.n_targets, ensemble.n_features, ensemble.aggregate) == (1, 2, "SUM")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"nodes_values": [0.5]}, "different lengths"),
        ({"nodes_nodeids": [0, 1, 2, 3, 3]}, "the same number"),
        ({"nodes_falsenodeids": [0, 0, 4, 0, 0]}, "two parents, or lies on a cycle"),
        ({"nodes_falsenodeids": [2, 0, 0, 0, 0]}, "two parents, or lies on a cycle"),
        ({"nodes_truenodeids": [1, 0, 1, 0, 0]}, "two parents, or lies on a cycle"),
        ({"nodes_truenodeids": [99, 0, 3, 0, 0]}, "cannot be read: KeyError"),
        ({"nodes_truenodeids": [-1, 0, 3, 0, 0]}, "cannot be read: KeyError"),
        ({"nodes_modes": ["BRANCH_LEQ", "LEAF", "BRANCH_MEMBER", "LEAF", "LEAF"]}, "cannot be read: ValueError"),
        ({"nodes_values": [math.nan, 0.0, 2.0, 0.0, 0.0]}, "a threshold is NaN"),
        ({"nodes_values": [0.5, 0.0, -math.inf, 0.0, 0.0]}, "compares with -infinity"),
        ({"nodes_featureids": [-1, 0, 1, 0, 0]}, "a negative number"),
        ({"target_nodeids": [1, 3, 3]}, "two weights for one target"),
        ({"target_nodeids": [1, 3, 9]}, "cannot be read: KeyError"),
        ({"target_weights": [1.0, 2.0]}, "cannot be read: ValueError"),
        ({"target_weights": [1.0, math.inf, 3.0]}, "a weight is not finite"),
        ({"target_treeids": [0, 0], "target_nodeids": [1, 3], "target_ids": [0, 0], "target_weights": [1.0, 1.0]},
         "a leaf has no weight"),
        ({"target_ids": [0, 0, 1]}, "a target that does not exist"),
        ({"target_ids": [0, 0, -1]}, "a target that does not exist"),
        ({"n_targets": 0}, "no targets"),
        ({"base_values": [math.nan]}, "a base value is not finite"),
        ({"aggregate_function": "MEDIAN"}, "aggregates by MEDIAN"),
        ({"post_transform": "PROBIT"}, "post-transform is PROBIT"),
        ({"nodes_values_as_tensor": [0.5, 0.0, 2.0, 0.0, 0.0]}, "states nodes_values twice"),
        ({"base_values_as_tensor": [0.5]}, "more precise than the input"),
        ({name: [] for name, value in LISTED.items() if isinstance(value, list)}, "no trees"),
        ({"n_targets": 2, "target_ids": [0, 1, 1], "base_values": [1.0, 2.0]}, "some rows get a weight"),
        ({"n_targets": 2, "target_ids": [0, 1, 1], "aggregate_function": "MIN"}, "different targets, under MIN"),
        ({"n_targets": 2, "aggregate_function": "MAX"}, "a target has no weight, under MAX"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_not_covered_has_a_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotCoveredError, match=reason):
        read(REGRESSOR, changed(LISTED, **changes), "float32")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"nodes_modes": [0, 6]}, "membership in a set"),
        ({"tree_roots": [7]}, "cannot be read: IndexError"),
        ({"tree_roots": []}, "no trees"),
        ({"tree_roots": [-1]}, "a negative number"),
        ({"nodes_truenodeids": [-1, 1]}, "a negative number"),
        ({"nodes_falsenodeids": [9, 2]}, "a child that does not exist"),
        ({"nodes_falsenodeids": [1, 9]}, "a leaf that does not exist"),
        ({"nodes_falsenodeids": [0, 2]}, "two parents, or lies on a cycle"),
        ({"nodes_truenodeids": [0, 1], "nodes_falsenodeids": [0, 2], "nodes_falseleafs": [1, 1]}, "a single leaf"),
        ({"leaf_weights": [1.0]}, "cannot be read: ValueError"),
        ({"post_transform": 4}, "PROBIT"),
        ({"aggregate_function": 9}, "cannot be read: IndexError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_covered_of_version_five_has_a_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotCoveredError, match=reason):
        read("TreeEnsemble", changed(FLAT, **changes), "float32")


def test_a_tree_of_a_hundred_thousand_nodes_is_left_to_a_walk() -> None:
    n = 50_000
    deep = {
        "nodes_treeids": [0] * (2 * n + 1),
        "nodes_nodeids": list(range(2 * n + 1)),
        "nodes_featureids": [0] * (2 * n + 1),
        "nodes_modes": ["BRANCH_LEQ", "LEAF"] * n + ["LEAF"],
        "nodes_values": [float(i) for i in range(2 * n + 1)],
        "nodes_truenodeids": [i + 1 for i in range(2 * n + 1)],
        "nodes_falsenodeids": [i + 2 for i in range(2 * n + 1)],
        "target_treeids": [0] * (n + 1),
        "target_nodeids": [*range(1, 2 * n, 2), 2 * n],
        "target_ids": [0] * (n + 1),
        "target_weights": [1.0] * (n + 1),
        "n_targets": 1,
    }

    with pytest.raises(NotCoveredError, match="a tree has 50001 leaves, more than 512"):
        read(REGRESSOR, deep, "float32")


def test_a_classifier_of_one_class_is_not_covered() -> None:
    renamed = {name.replace("target", "class"): value for name, value in LISTED.items() if name != "n_targets"}

    with pytest.raises(NotCoveredError, match="a single class"):
        read("TreeEnsembleClassifier", renamed | {"classlabels_int64s": [1]}, "float32")


def test_attributes_that_were_changed_at_random_are_laid_out_safely_or_not_covered() -> None:
    random = np.random.default_rng(7)
    covered = 0
    for _ in range(3_000):
        attributes = copy.deepcopy(LISTED)
        for _ in range(int(random.integers(1, 4))):
            name = str(random.choice([name for name, value in attributes.items() if isinstance(value, list)]))
            values = attributes[name]
            if values and random.random() < 0.8:
                wild = [-1, 0, 1, 2, 3, 2**31, 2**62, math.nan, math.inf, 3e38, "LEAF", "BRANCH_EQ", None]
                values[int(random.integers(len(values)))] = wild[int(random.integers(len(wild)))]
            else:
                attributes[name] = values[:-1]
        try:
            ensemble = read(REGRESSOR, attributes, "float32")
            if ensemble.n_features < 10:
                lay_out(ensemble).check(ensemble.n_features)
        except NotCoveredError:
            continue
        covered += 1
    assert 0 < covered < 3_000
