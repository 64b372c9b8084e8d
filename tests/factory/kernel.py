"""The tree kernel beside ONNX Runtime, without a registration around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scoretrail.feature.tensor import TensorSpec
from scoretrail.model.trees.plan import TreePlan
from scoretrail.model.trees.planning import make_plan
from scoretrail.model.trees.proof import aimed_rows, different_aimed
from scoretrail.model.trees.scorer import TreeScorer
from tests.factory.forest import INPUT, Forest, forest_bytes

if TYPE_CHECKING:
    from scoretrail.model.trees.planning import Planned


def planned(forest: Forest, seed: int = 0) -> Planned:
    """Return a forest's plan.

    Raises:
        NotCoveredError: the kernel does not cover it.
    """
    return make_plan(forest_bytes(forest, seed), forest.output)


def tensors_of(forest: Forest) -> tuple[TensorSpec, ...]:
    """Return how features ``f0``, ``f1`` and so on fill the input."""
    return (TensorSpec(INPUT, forest.dtype, tuple(f"f{i}" for i in range(forest.features))),)


def scorer_of(forest: Forest, plan: TreePlan) -> TreeScorer:
    """Return the scorer of a plan that was written and read again."""
    return TreeScorer(TreePlan.from_bytes(plan.to_bytes()), forest.output, None, tensors_of(forest))


def differences(forest: Forest, seed: int, rows: int) -> tuple[int, int]:
    """Return how many aimed rows were compared, and how many have another bit.

    Raises:
        NotCoveredError: the kernel does not cover the forest.
        ModelError: ONNX Runtime refuses it.
    """
    found = planned(forest, seed)
    aimed = aimed_rows(found.ensemble, forest.features, rows, whole=forest.dtype == "int64")
    return different_aimed(found.alone, scorer_of(forest, found.plan), aimed, found.input_dtype)
