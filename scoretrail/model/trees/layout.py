"""An ensemble as the kernel reads it: leaves numbered from left to right, and for each comparison a mask of leaves.

Source: QuickScorer (Lucchese et al., SIGIR 2015) and V-QuickScorer (2016); here one word of 32 leaves after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scoretrail.errors import BundleError
from scoretrail.model.trees.ensemble import MAX_VALUES, Ensemble, Mode, NotCoveredError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scoretrail.model.trees.ensemble import Split, Tree

WORD: Final = 32
"""Leaves that one word stands for."""
MAX_TARGETS: Final = 100_000
READ_AHEAD: Final = 16
"""Entries that may be read beyond the last one of a group, and so beyond the last of all."""
NEGATED: Final = 1
NAN_IS_LOW: Final = 2
"""Kinds of columns, as bits: the feature's negative; and -infinity, which is above no threshold, in place of NaN."""


@dataclass(frozen=True)
class Layout:
    """The arrays of the kernel, in the order of its slots."""

    n_targets: int
    column_source: NDArray[np.int32]
    """The feature of each column of the workspace."""
    column_kind: NDArray[np.int32]
    entry_column: NDArray[np.int32]
    entry_threshold: NDArray[Any]
    """An entry goes right where column > threshold, and where column is NaN."""
    entry_mask: NDArray[np.uint32]
    """The leaves of the group's word that are left, then."""
    group_end: NDArray[np.int32]
    """Where the entries of a group end, and those of the next begin."""
    group_leaf: NDArray[np.int32]
    """The first leaf of the group's word."""
    tree_end: NDArray[np.int32]
    """Where the groups of a tree end: its words, the last one first."""
    tree_value: NDArray[np.int32]
    """Where the values of a tree begin: for each leaf one for each of its targets."""
    tree_target: NDArray[np.int32]
    """The first target of a tree."""
    tree_width: NDArray[np.int32]
    """How many targets a tree has a value for."""
    values: NDArray[Any]

    @property
    def n_columns(self) -> int:
        """Columns of the workspace."""
        return len(self.column_source)

    def check(self, n_features: int) -> None:
        """Refuse arrays of which an index could reach outside another; the kernel itself looks at no bound.

        Args:
            n_features: columns that the kernel will be given.

        Raises:
            BundleError: one could, or the arrays do not belong together.
        """
        for name, holds in self._rules(n_features):
            if not holds:
                raise BundleError("the layout of the trees is not one that the kernel may be given", where=name)

    def _rules(self, n_features: int) -> Iterator[tuple[str, bool]]:
        """Yield what must hold; each rule may rely on those before it."""
        n_entries = len(self.entry_column)
        yield "values", self.values.dtype in (np.float32, np.float64)
        yield "entry_threshold", self.entry_threshold.dtype == self.values.dtype
        integers = [
            getattr(self, one.name) for one in fields(self)[1:] if one.name not in ("values", "entry_threshold")
        ]
        yield "integers", all(array.dtype in (np.int32, np.uint32) for array in integers)
        yield "column_kind", len(self.column_kind) == self.n_columns
        yield "entry_mask", len(self.entry_mask) == len(self.entry_threshold) == n_entries >= READ_AHEAD
        yield "group_leaf", len(self.group_leaf) == len(self.group_end) > 0
        trees = (self.tree_end, self.tree_value, self.tree_target, self.tree_width)
        yield "tree_end", len({len(array) for array in trees}) == 1 and len(self.tree_end) > 0
        yield "column_source", _within(self.column_source, n_features)
        yield "entry_column", _within(self.entry_column, max(self.n_columns, 1))
        ends = np.concatenate([[0], self.group_end])
        yield "group_end", bool((np.diff(ends) >= 0).all()) and int(ends[-1]) <= n_entries - READ_AHEAD
        yield "group_end", self.n_columns > 0 or int(ends[-1]) == 0
        ends = np.concatenate([[0], self.tree_end])
        yield "tree_end", bool((np.diff(ends) > 0).all()) and int(ends[-1]) == len(self.group_end)
        yield "group_leaf", _within(self.group_leaf, len(self.values))
        yield "n_targets", 0 < self.n_targets <= MAX_TARGETS
        yield "tree_target", self.n_targets > 0 and _within(self.tree_target, self.n_targets)
        yield "tree_width", _within(self.tree_width - 1, self.n_targets)
        yield "tree_width", _within(self.tree_target + self.tree_width - 1, self.n_targets)
        yield "tree_value", _within(self.tree_value, len(self.values))
        last_leaf = np.maximum.reduceat(self.group_leaf.astype(np.int64), ends[:-1]) + WORD - 1
        stop = self.tree_value + (last_leaf + 1) * self.tree_width.astype(np.int64)
        yield "values", len(self.values) <= MAX_VALUES + 2**20 and int(stop.max()) <= len(self.values)

    def slots(self) -> list[int]:
        """Return three numbers, then the address of every array, which this object keeps."""
        arrays = [getattr(self, one.name) for one in fields(self)[1:]]
        return [self.n_columns, len(self.tree_end), self.n_targets, *(array.ctypes.data for array in arrays)]


def lay_out(ensemble: Ensemble) -> Layout:
    """Return the layout of a checked ensemble.

    Raises:
        NotCoveredError: it is too large.
    """
    build = _Build(np.dtype(ensemble.dtype))
    for tree in ensemble.trees:
        build.add(tree)
    return build.layout(ensemble.n_targets)


class _Build:
    """A layout that grows tree by tree."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._columns: dict[tuple[int, int], int] = {}
        self._entries: list[tuple[int, float, int]] = []
        self._groups: list[tuple[int, int]] = []
        self._trees: list[tuple[int, int, int, int]] = []
        self._values: list[float] = []

    def add(self, tree: Tree) -> None:
        """Lay out one more tree.

        Raises:
            NotCoveredError: there are too many values, or targets.
        """
        leaves, lefts = _number(tree)
        words: list[list[tuple[int, float, int]]] = [[] for _ in range(-(-len(leaves) // WORD))]
        for node, (first, stop) in lefts.items():
            for kind, threshold in _comparisons(tree.splits[node], self._dtype):
                column = self._columns.setdefault((tree.splits[node].feature, kind), len(self._columns))
                for word, mask in _masks(first, stop):
                    words[word].append((column, threshold, mask))
        for word in reversed(range(len(words))):
            self._entries += sorted(words[word])
            self._groups.append((len(self._entries), word * WORD))
        targets = sorted({target for leaf in leaves for target in tree.leaves[leaf]}) or [0]
        first, width = targets[0], targets[-1] - targets[0] + 1
        self._trees.append((len(self._groups), len(self._values), first, width))
        if targets[-1] >= MAX_TARGETS:
            raise NotCoveredError(f"it has more than {MAX_TARGETS} targets")
        if len(self._values) + len(leaves) * width > MAX_VALUES:
            raise NotCoveredError(f"it has more than {MAX_VALUES} leaf values")
        # A sum begins at +0 and never becomes -0, so adding +0 for a target that a leaf does not name changes no bit.
        self._values += [tree.leaves[leaf].get(first + k, 0.0) for leaf in leaves for k in range(width)]

    def layout(self, n_targets: int) -> Layout:
        """Return what was laid out."""
        columns = np.array(list(self._columns), np.int32).reshape(-1, 2)
        spare = [(0, 0.0, 2**WORD - 1)] * READ_AHEAD
        entries = [*self._entries, *spare]
        groups = np.array(self._groups, np.int32)
        trees = np.array(self._trees, np.int32)
        return Layout(
            n_targets=n_targets,
            column_source=np.ascontiguousarray(columns[:, 0]),
            column_kind=np.ascontiguousarray(columns[:, 1]),
            entry_column=np.array([entry[0] for entry in entries], np.int32),
            entry_threshold=np.array([entry[1] for entry in entries], self._dtype),
            entry_mask=np.array([entry[2] for entry in entries], np.uint32),
            group_end=np.ascontiguousarray(groups[:, 0]),
            group_leaf=np.ascontiguousarray(groups[:, 1]),
            tree_end=np.ascontiguousarray(trees[:, 0]),
            tree_value=np.ascontiguousarray(trees[:, 1]),
            tree_target=np.ascontiguousarray(trees[:, 2]),
            tree_width=np.ascontiguousarray(trees[:, 3]),
            # A word may stand for more leaves than there are: whatever bit is left, there is a value for it.
            values=np.array(self._values + [0.0] * (WORD * max(width for *_, width in self._trees)), self._dtype),
        )


def _within(numbers: NDArray[Any], stop: int) -> bool:
    """Tell whether all numbers are at least 0 and below ``stop``."""
    return not len(numbers) or (int(numbers.min()) >= 0 and int(numbers.max()) < stop)


def _sides(split: Split) -> tuple[int, int]:
    """Return the left and the right child: right is where column > threshold holds."""
    if split.mode in (Mode.GT, Mode.GTE, Mode.NEQ):
        return split.false, split.true
    return split.true, split.false


def _number(tree: Tree) -> tuple[list[int], dict[int, tuple[int, int]]]:
    """Return the leaves from left to right, and of each inner node the range of leaves on its left side."""
    leaves: list[int] = []
    lefts: dict[int, tuple[int, int]] = {}
    begun: dict[int, int] = {}
    waiting = [(tree.root, False)]
    while waiting:
        node, left_done = waiting.pop()
        if node < 0:
            leaves.append(~node)
        elif left_done:
            lefts[node] = (begun[node], len(leaves))
        else:
            begun[node] = len(leaves)
            left, right = _sides(tree.splits[node])
            waiting += [(right, False), (node, True), (left, False)]
    return leaves, lefts


def _comparisons(split: Split, dtype: np.dtype[Any]) -> list[tuple[int, float]]:
    """Return the kinds of column and the thresholds above which, or NaN, a row goes right: one is enough.

    Below t is at most the next number below t; equal is neither above nor, negated, above.
    """
    threshold = float(split.threshold)
    if split.mode in (Mode.LT, Mode.GTE):
        below = np.nextafter(np.array(threshold, dtype), np.array(-np.inf, dtype))
        threshold = float(below)
    # Right is the true side of GT, GTE and NEQ, the false side of the others. NaN fails all comparisons but NEQ.
    right_is_true = split.mode in (Mode.GT, Mode.GTE, Mode.NEQ)
    nan_is_true = split.missing_true or split.mode is Mode.NEQ
    kind = 0 if nan_is_true == right_is_true else NAN_IS_LOW
    if split.mode in (Mode.EQ, Mode.NEQ):
        return [(kind, threshold), (kind | NEGATED, -threshold)]
    return [(kind, threshold)]


def _masks(first: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield each word that leaves first to stop - 1 lie in, and the word without them.

    >>> [(word, f"{mask:08x}") for word, mask in _masks(30, 34)]
    [(0, '3fffffff'), (1, 'fffffffc')]
    """
    for word in range(first // WORD, (stop - 1) // WORD + 1):
        low, high = max(first - word * WORD, 0), min(stop - word * WORD, WORD)
        yield word, (2**WORD - 1) & ~((1 << high) - (1 << low))
