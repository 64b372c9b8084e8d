"""What follows the sum over the trees: base values, the second class, the post-transform, as ONNX Runtime does them.

Source: ONNX Runtime, onnxruntime/core/providers/cpu/ml/tree_ensemble_aggregator.h and ml_common.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from scoretrail.errors import BundleError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scoretrail.model.trees.ensemble import Ensemble


class Change(IntEnum):
    """What becomes of a target's sum, once its base value is added; the numbers are the kernel's."""

    NONE = 0
    NEGATIVE = 1
    COMPLEMENT = 2
    """One less it."""
    ZERO = 3


@dataclass(frozen=True)
class Steps:
    """What the kernel does with the sums of a row, in the order of its slots; every target is made of one sum."""

    transform: int
    """0 for none, 1 for the logistic function, 2 and 3 for the kinds of softmax."""
    divisor: NDArray[Any]
    source: NDArray[np.int32]
    """The sum that a target is made of."""
    base: NDArray[Any]
    change: NDArray[np.int32]

    def slots(self) -> list[int]:
        """Return the number, then the address of every array, which this object keeps."""
        return [self.transform, *(array.ctypes.data for array in (self.divisor, self.source, self.base, self.change))]


_TRANSFORMS: Final = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")
_TWO: Final = 2


@dataclass(frozen=True)
class Ending:
    """What turns the sums over an ensemble's trees into its scores."""

    n_trees: int
    aggregate: Literal["SUM", "AVERAGE", "MIN", "MAX"]
    post_transform: Literal["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]
    base_values: tuple[float, ...]
    second_class: Literal["none", "complement", "negative", "own"]
    """Of a classifier of two classes: follows from the first as its complement to one, or its negative; or has weights
    of its own. ``none``: this is no classifier of two classes."""
    silent: tuple[int, ...]
    """Targets that no leaf weighs, of the kinds of ensemble where ONNX Runtime then makes them 0, base value or not."""
    output_dtype: Literal["float32", "float64"]

    def check(self, n_targets: int) -> None:
        """Refuse what no ensemble of so many targets ends with.

        Raises:
            BundleError: a word is not known, or a number does not fit.
        """
        known = (
            self.aggregate in ("SUM", "AVERAGE", "MIN", "MAX")
            and self.post_transform in _TRANSFORMS
            and self.second_class in ("none", "complement", "negative", "own")
            and self.output_dtype in ("float32", "float64")
        )
        two = self.second_class != "none"
        lengths = (0, 1, 2) if two else (0, n_targets)
        fits = len(self.base_values) in lengths and all(0 <= target < n_targets for target in self.silent)
        if not (known and fits and self.n_trees > 0 and (n_targets == _TWO or not two)):
            raise BundleError("the plan of the trees ends in a way that no ensemble does", where=f"{n_targets} targets")

    def steps(self, n_targets: int, dtype: str) -> Steps:
        """Return the same as the kernel does it.

        Args:
            n_targets: of the ensemble.
            dtype: of its sums.
        """
        targets = range(n_targets)
        source, changes, bases = list(targets), [Change.NONE] * n_targets, list(self.base_values)
        transform = _TRANSFORMS.index(self.post_transform)
        if self.second_class == "none":
            # ONNX Runtime adds 0 where there are none, too: a least or greatest value of -0 becomes +0.
            bases = bases or [0.0] * n_targets
            transform = transform if n_targets > 1 else 0
        elif self.second_class == "own" and len(bases) == _TWO:
            source, bases, changes = [0, 0], [bases[1]] * 2, [Change.NEGATIVE, Change.NONE]
        elif self.second_class != "own" and len(bases) < _TWO:
            complements = self.second_class == "complement" and self.post_transform != "LOGISTIC"
            source, bases = [0, 0], bases * 2
            changes = [Change.COMPLEMENT if complements else Change.NEGATIVE, Change.NONE]
            transform = transform if self.post_transform == "LOGISTIC" else 0
        else:
            bases = bases[:1]
        # Adding -0 changes nothing, not even a zero's sign.
        bases += [-0.0] * (n_targets - len(bases))
        if self.second_class in ("none", "own") or len(self.base_values) == _TWO:
            changes = [Change.ZERO if target in self.silent else changes[target] for target in targets]
        averages = self.second_class == "none" and self.aggregate == "AVERAGE"
        return Steps(
            transform=transform,
            divisor=np.array([self.n_trees if averages else 1], dtype),
            source=np.array(source, np.int32),
            base=np.array(bases, dtype),
            change=np.array(changes, np.int32),
        )


def ending_of(ensemble: Ensemble) -> Ending:
    """Return what follows the sums of a checked ensemble."""
    second: Literal["none", "complement", "negative", "own"] = "none"
    weighed = {target for tree in ensemble.trees for leaf in tree.leaves.values() for target in leaf}
    silent = tuple(target for target in range(ensemble.n_targets) if target not in weighed)
    if ensemble.classes is None:
        silent = silent if ensemble.n_targets > 1 else ()
    elif ensemble.n_targets == _TWO:
        second = "own" if 1 in weighed else "complement" if ensemble.classes.all_positive else "negative"
    else:
        silent = ()
    return Ending(
        n_trees=len(ensemble.trees),
        aggregate=ensemble.aggregate,
        post_transform=ensemble.post_transform,
        base_values=ensemble.base_values,
        second_class=second,
        silent=silent,
        output_dtype=ensemble.output_dtype,
    )
