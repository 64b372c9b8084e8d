"""A tree ensemble as its ONNX operator states it, in one neutral form: trees that are trees."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MAX_NODES: Final = 4_000_000
"""Inner nodes of all trees; their entries stay far below the 2^31 that an index of the kernel can reach."""
MAX_VALUES: Final = 2**30
"""Leaf values of all trees, for the same reason."""


class NotCoveredError(Exception):
    """The kernel does not cover an ensemble; the message says why. ONNX Runtime scores it, or refuses it."""


class Mode(enum.Enum):
    """How an inner node compares a feature with its threshold; its true side is taken where it holds."""

    LEQ = "BRANCH_LEQ"
    LT = "BRANCH_LT"
    GTE = "BRANCH_GTE"
    GT = "BRANCH_GT"
    EQ = "BRANCH_EQ"
    NEQ = "BRANCH_NEQ"


@dataclass(frozen=True)
class Split:
    """An inner node. A child is the number of another inner node, or ``~leaf`` for a leaf."""

    feature: int
    threshold: float
    mode: Mode
    true: int
    false: int
    missing_true: bool = False
    """NaN takes the true side, whatever the comparison says."""


Leaf = dict[int, float]
"""Target -> weight."""


@dataclass(frozen=True)
class Tree:
    """One tree."""

    root: int
    """An inner node, or ``~leaf``."""
    splits: Mapping[int, Split]
    leaves: Mapping[int, Leaf]


@dataclass(frozen=True)
class Classes:
    """What a classifier operator derives from its weights before it scores anything."""

    one_weighted: bool
    """All weights belong to one class: with two classes, the other one's score follows from it."""
    all_positive: bool
    """No weight is negative: with two classes, scores are then taken for probabilities."""


@dataclass(frozen=True)
class Ensemble:
    """What an ensemble operator computes."""

    trees: tuple[Tree, ...]
    n_targets: int
    dtype: Literal["float32", "float64"]
    """Of features, thresholds, weights and sums: that of the operator's input, float32 for integers."""
    aggregate: Literal["SUM", "AVERAGE", "MIN", "MAX"]
    post_transform: Literal["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]
    base_values: tuple[float, ...]
    classes: Classes | None
    """None for a regressor."""
    output_dtype: Literal["float32", "float64"] = "float32"

    @property
    def leaves(self) -> Iterator[Leaf]:
        """The leaves of all trees."""
        return (leaf for tree in self.trees for leaf in tree.leaves.values())

    @property
    def n_features(self) -> int:
        """Features that the input must at least have."""
        return 1 + max((split.feature for tree in self.trees for split in tree.splits.values()), default=-1)


def plant(roots: Sequence[int], splits: Sequence[Split], leaves: Sequence[Leaf]) -> tuple[Tree, ...]:
    """Return the trees below these roots.

    Args:
        roots: each an inner node, or ``~leaf``.
        splits: all inner nodes.
        leaves: all leaves.

    Raises:
        NotCoveredError: a child does not exist, a node has two parents or lies on a cycle, a number is not finite.
    """
    if not roots:
        raise NotCoveredError("it has no trees")
    if len(splits) > MAX_NODES:
        raise NotCoveredError(f"it has {len(splits)} inner nodes, more than {MAX_NODES}")
    seen: set[int] = set()
    return tuple(_tree(root, splits, leaves, seen) for root in roots)


def _tree(root: int, splits: Sequence[Split], leaves: Sequence[Leaf], seen: set[int]) -> Tree:
    """Return the tree below a root.

    Raises:
        NotCoveredError: a node was seen before, or does not exist.
    """
    inner: dict[int, Split] = {}
    outer: dict[int, Leaf] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node in seen:
            raise NotCoveredError("a node has two parents, or lies on a cycle")
        seen.add(node)
        if node >= 0:
            if node >= len(splits):
                raise NotCoveredError("a node has a child that does not exist")
            inner[node] = _checked(splits[node])
            waiting += [splits[node].true, splits[node].false]
        else:
            if ~node >= len(leaves):
                raise NotCoveredError("a node has a leaf that does not exist")
            outer[~node] = leaves[~node]
    return Tree(root, inner, outer)


def _checked(split: Split) -> Split:
    """Return a node that can be compared with.

    Raises:
        NotCoveredError: it cannot.
    """
    if split.feature < 0:
        raise NotCoveredError("a node looks at a feature with a negative number")
    if math.isnan(split.threshold):
        raise NotCoveredError("a threshold is NaN")
    if split.threshold == -math.inf and split.mode in (Mode.LT, Mode.GTE):
        raise NotCoveredError("a node compares with -infinity, below which there is no number")
    return split
