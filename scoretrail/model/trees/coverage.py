"""Which ensembles the kernel covers: those whose scores follow from sums over leaves alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from scoretrail.model.trees.ensemble import NotCoveredError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scoretrail.model.trees.ensemble import Ensemble

_TWO: Final = 2
_MOST_LEAVES: Final = 512
"""Of a tree. The kernel's work grows with the leaves, a walk's with the depth: beyond, a walk is as fast."""


def check(ensemble: Ensemble) -> None:
    """Refuse an ensemble whose scores the kernel could not promise.

    Raises:
        NotCoveredError: the kernel does not cover it; the message says why.
    """
    for wrong in _RULES:
        reason = wrong(ensemble)
        if reason:
            raise NotCoveredError(reason)


def _targets(ensemble: Ensemble) -> str | None:
    if not ensemble.n_targets:
        return "it has no targets"
    if ensemble.classes is not None and ensemble.n_targets == 1:
        return "it has a single class"
    if any(not 0 <= target < ensemble.n_targets for leaf in ensemble.leaves for target in leaf):
        return "a weight belongs to a target that does not exist"
    return None


def _depth(ensemble: Ensemble) -> str | None:
    most = max(len(tree.leaves) for tree in ensemble.trees)
    return f"a tree has {most} leaves, more than {_MOST_LEAVES}: a walk is as fast" if most > _MOST_LEAVES else None


def _numbers(ensemble: Ensemble) -> str | None:
    """Which bits a NaN has depends on the order in which a processor is given the two terms of a sum."""
    if not all(math.isfinite(weight) for leaf in ensemble.leaves for weight in leaf.values()):
        return "a weight is not finite"
    if not all(math.isfinite(value) for value in ensemble.base_values):
        return "a base value is not finite"
    return None


def _bases(ensemble: Ensemble) -> str | None:
    """ONNX Runtime refuses such an ensemble, too."""
    most = (0, 1, 2) if ensemble.classes is not None and ensemble.n_targets == _TWO else (0, ensemble.n_targets)
    if len(ensemble.base_values) in most:
        return None
    return f"it has {len(ensemble.base_values)} base values for {ensemble.n_targets} targets"


def _extremes(ensemble: Ensemble) -> str | None:
    """A leaf that does not name a target leaves its least value alone; the kernel would take 0 into account."""
    if ensemble.aggregate not in ("MIN", "MAX"):
        return None
    if any(len({frozenset(leaf) for leaf in tree.leaves.values()}) > 1 for tree in ensemble.trees):
        return f"its leaves name different targets, under {ensemble.aggregate}"
    if {target for leaf in ensemble.leaves for target in leaf} != set(range(ensemble.n_targets)):
        return f"a target has no weight, under {ensemble.aggregate}"
    return None


def _precision(ensemble: Ensemble) -> str | None:
    if ensemble.post_transform == "SOFTMAX_ZERO" and ensemble.dtype == "float64":
        return "its post-transform is SOFTMAX_ZERO in double precision"
    return None


def _accounts(ensemble: Ensemble) -> str | None:
    """ONNX Runtime keeps account, row by row, of which targets got a weight, and here makes use of it."""
    if ensemble.classes is None:
        asks = ensemble.n_targets > 1 and bool(ensemble.base_values)
    else:
        asks = ensemble.n_targets == _TWO
    for target in range(ensemble.n_targets) if asks else ():
        always = any(all(target in leaf for leaf in tree.leaves.values()) for tree in ensemble.trees)
        if not always and any(target in leaf for leaf in ensemble.leaves):
            return "some rows get a weight for a target, others do not"
    return None


_RULES: Final[tuple[Callable[[Ensemble], str | None], ...]] = (
    _targets,
    _depth,
    _numbers,
    _bases,
    _extremes,
    _precision,
    _accounts,
)
