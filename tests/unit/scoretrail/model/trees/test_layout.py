"""The kernel's arrays: what they say of a tree, and that none is given to it of which an index reaches outside."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from scoretrail.errors import BundleError
from scoretrail.model.trees.layout import NAN_IS_LOW, NEGATED, READ_AHEAD, WORD, Layout, lay_out
from tests.factory.forest import MODES, Forest
from tests.factory.kernel import planned

NO_INDEX = ("entry_mask", "entry_threshold", "column_kind", "values")
FOREST = Forest(trees=3, leaves=40, targets=3, weighted=(0, 1, 2), modes=MODES, missing=True)


def layout(forest: Forest = FOREST) -> Layout:
    return planned(forest).plan.layout


def test_leaves_are_counted_from_the_left_and_words_go_from_the_last_to_the_first() -> None:
    made = layout(Forest(trees=2, leaves=70))

    assert made.group_leaf.tolist() == [2 * WORD, WORD, 0] * 2
    assert made.tree_end.tolist() == [3, 6]
    assert made.tree_value.tolist() == [0, 70]
    assert len(made.values) == 2 * 70 + WORD


@pytest.mark.parametrize(
    ("mode", "missing", "kinds"),
    [
        ("BRANCH_LEQ", False, {0}),
        ("BRANCH_LEQ", True, {0, NAN_IS_LOW}),
        ("BRANCH_GT", False, {NAN_IS_LOW}),
        ("BRANCH_EQ", False, {0, NEGATED}),
        ("BRANCH_NEQ", True, {0, NEGATED}),
    ],
)
def test_every_comparison_becomes_above_a_threshold(mode: str, missing: bool, kinds: set[int]) -> None:
    made = layout(Forest(trees=20, modes=(mode,), missing=missing))

    assert set(made.column_kind.tolist()) == kinds
    assert len(made.entry_column) >= READ_AHEAD


def test_what_was_laid_out_may_be_given_to_the_kernel() -> None:
    made = layout()

    made.check(FOREST.features)
    slots = made.slots()
    assert slots[:3] == [made.n_columns, 3, 3]
    assert slots[3] == made.column_source.ctypes.data


def with_one(array: np.ndarray[Any, Any], place: int, value: int) -> np.ndarray[Any, Any]:
    changed = array.copy()
    changed[place] = value
    return changed


def with_array(made: Layout, name: str, array: np.ndarray[Any, Any]) -> Layout:
    changes: dict[str, Any] = {name: array}
    return replace(made, **changes)


@pytest.mark.parametrize("name", [one.name for one in fields(Layout)[1:] if one.name not in NO_INDEX])
@pytest.mark.parametrize("value", [-1, 2**31 - 1])
@pytest.mark.parametrize("place", [0, -1])
def test_an_index_that_reaches_outside_is_refused(name: str, value: int, place: int) -> None:
    made = layout()
    array = getattr(made, name)
    if name == "entry_column" and place == -1:
        place = -READ_AHEAD - 1  # what is beyond is only ever read, and does not count

    with pytest.raises(BundleError, match="not one that the kernel may be given"):
        with_array(made, name, with_one(array, place, value)).check(FOREST.features)


@pytest.mark.parametrize("name", [one.name for one in fields(Layout)[1:]])
def test_an_array_that_is_too_short_is_refused(name: str) -> None:
    made = layout()

    with pytest.raises(BundleError, match="not one that the kernel may be given"):
        with_array(made, name, getattr(made, name)[: -WORD * 3 if name == "values" else -1]).check(FOREST.features)


@pytest.mark.parametrize(("n_targets", "n_features"), [(2, 4), (0, 4), (3, 3)])
def test_fewer_targets_or_features_than_the_arrays_name_are_refused(n_targets: int, n_features: int) -> None:
    with pytest.raises(BundleError, match="not one that the kernel may be given"):
        replace(layout(), n_targets=n_targets).check(n_features)


def test_a_layout_of_another_type_is_refused() -> None:
    made = layout()

    with pytest.raises(BundleError):
        replace(made, entry_threshold=made.entry_threshold.astype(np.float64)).check(FOREST.features)
    with pytest.raises(BundleError):
        replace(made, group_end=made.group_end.astype(np.int64)).check(FOREST.features)


def test_a_tree_of_one_leaf_has_no_comparison() -> None:
    made = layout(Forest(trees=2, leaves=1))

    assert (made.n_columns, made.group_end.tolist(), made.tree_end.tolist()) == (0, [0, 0], [1, 2])
    made.check(0)


def test_weights_of_one_target_take_no_room_for_others() -> None:
    spread = planned(Forest(trees=6, leaves=8, targets=3, spread=True)).ensemble

    made = lay_out(spread)

    assert made.tree_target.tolist() == [0, 1, 2] * 2
    assert set(made.tree_width.tolist()) == {1}
