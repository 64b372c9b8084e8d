"""What follows the sum over the trees: base values, the second class, the post-transform, as ONNX Runtime does them.

Source: ONNX Runtime, onnxruntime/core/providers/cpu/ml/tree_ensemble_aggregator.h and ml_common.h. NumPy's additions,
divisions and comparisons are IEEE 754's, so they give the same bits; its exponential is not the C library's, so the
kernel's is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from scoretrail.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scoretrail.model.trees.ensemble import Ensemble

    InPlace = Callable[[NDArray[np.float32]], NDArray[np.float32]]
    """Replaces each value of a C-contiguous array by a function of it, and returns the array."""


@dataclass(frozen=True)
class Functions:
    """The kernel's functions: they call the C library's exponential, as ONNX Runtime does."""

    exponential: InPlace
    logistic: InPlace


_LOWEST: Final = np.finfo(np.float32).min
_NEARLY_ZERO: Final = np.float32(1e-7)
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
            and self.post_transform in ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")
            and self.second_class in ("none", "complement", "negative", "own")
            and self.output_dtype in ("float32", "float64")
        )
        two = self.second_class != "none"
        lengths = (0, 1, 2) if two else (0, n_targets)
        fits = len(self.base_values) in lengths and all(0 <= target < n_targets for target in self.silent)
        if not (known and fits and self.n_trees > 0 and (n_targets == _TWO or not two)):
            raise BundleError("the plan of the trees ends in a way that no ensemble does", where=f"{n_targets} targets")

    def finish(self, sums: NDArray[Any], functions: Functions) -> NDArray[Any]:
        """Return the scores, (n_rows, n_targets), of sums (n_targets, n_rows), which are overwritten."""
        with np.errstate(all="ignore"):  # sums may overflow, as they do in ONNX Runtime
            if self.second_class == "none":
                scores = self._of_targets(sums, functions)
            else:
                scores = self._of_two_classes(sums, functions)
        return np.ascontiguousarray(scores.T.astype(self.output_dtype, copy=False))

    def _of_targets(self, sums: NDArray[Any], functions: Functions) -> NDArray[Any]:
        if self.aggregate == "AVERAGE":
            sums /= sums.dtype.type(self.n_trees)
        # ONNX Runtime adds 0 where there are none, too: a least or greatest value of -0 becomes +0.
        base = np.array(self.base_values or [0.0] * len(sums), sums.dtype)
        sums += base[:, None]
        sums[list(self.silent)] = 0
        return sums if len(sums) == 1 else self._transformed(sums, functions)

    def _of_two_classes(self, sums: NDArray[Any], functions: Functions) -> NDArray[Any]:
        first, second = sums
        if self.second_class == "own":
            if len(self.base_values) == _TWO:
                np.add(sums.dtype.type(self.base_values[1]), first, out=second)
                np.negative(second, out=first)
            elif self.base_values:
                first += sums.dtype.type(self.base_values[0])
            sums[list(self.silent)] = 0
            return self._transformed(sums, functions)
        if len(self.base_values) == _TWO:
            first += sums.dtype.type(self.base_values[0])
            sums[list(self.silent)] = 0
            return self._transformed(sums, functions)
        if self.base_values:
            first += sums.dtype.type(self.base_values[0])
        second[:] = first
        if self.second_class == "complement" and self.post_transform != "LOGISTIC":
            np.subtract(sums.dtype.type(1), second, out=first)
            return sums
        np.negative(second, out=first)
        return functions.logistic(sums.astype(np.float32, copy=False)) if self.post_transform == "LOGISTIC" else sums

    def _transformed(self, sums: NDArray[Any], functions: Functions) -> NDArray[Any]:
        if self.post_transform == "LOGISTIC":
            return functions.logistic(sums.astype(np.float32, copy=False))
        if self.post_transform == "SOFTMAX":
            return _softmax(sums, functions)
        if self.post_transform == "SOFTMAX_ZERO":
            return _softmax_zero(sums, functions)
        return sums


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


def _softmax(sums: NDArray[Any], functions: Functions) -> NDArray[np.float32]:
    value = sums.astype(np.float32, copy=False)
    scores = functions.exponential(value - _highest(value))
    return _shared(scores, scores)


def _softmax_zero(sums: NDArray[Any], functions: Functions) -> NDArray[np.float32]:
    value = sums.astype(np.float32, copy=False)
    highest = _highest(value)
    counts = (value > _NEARLY_ZERO) | (value < -_NEARLY_ZERO)
    raised = functions.exponential(value - highest)
    scores = np.where(counts, raised, value * functions.exponential(-highest))
    return _shared(scores, np.where(counts, raised, np.float32(0)))


def _highest(value: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each row's highest value; NaN is higher than none."""
    return np.asarray(np.fmax.reduce(value, axis=0, initial=_LOWEST), np.float32)


def _shared(scores: NDArray[np.float32], parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scores divided by the sum of the parts, which are added in the order of the targets."""
    total = np.zeros(scores.shape[1], np.float32)
    for part in parts:
        total += part
    return scores / total
