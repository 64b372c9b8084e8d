"""Scores by the tree kernel: what stands before the ensemble and after it still runs in ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scoretrail.errors import BundleError, ScoreError
from scoretrail.feature.tensor import ARROW_OF_DTYPE, to_tensors
from scoretrail.model.scorer import FREE_CALL_ROWS, OnnxSession, shaped
from scoretrail.model.trees.column import ColumnReader, address_of, addresses_of
from scoretrail.model.trees.jit import compile_kernel
from scoretrail.model.trees.plan import TREES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from scoretrail.feature.tensor import TensorSpec
    from scoretrail.model.manifest import Output
    from scoretrail.model.trees.plan import TreePlan

_COMBINATION: Final = {"SUM": "sum", "AVERAGE": "sum", "MIN": "min", "MAX": "max"}
_FEW_ROWS: Final = 5
"""Up to so many rows are scored one by one: a strip takes as long as five of them, however few it holds."""


class TreeScorer:
    """The tree kernel, with the bits of the reference: nothing that it does depends on size, order or company.

    It keeps no state between calls, so several threads may share one.
    """

    def __init__(self, plan: TreePlan, output: Output, block: int | None, tensors: Sequence[TensorSpec]) -> None:
        """Load a plan.

        Args:
            plan: read and checked.
            output: the form of the scores.
            block: rows of every call of what ONNX Runtime does; None lets a call be of any size.
            tensors: how features fill the graph's inputs.

        Raises:
            BundleError: the plan is for other inputs.
            ModelError: ONNX Runtime refuses a part.
            DependencyError: the kernel cannot be compiled here.
        """
        self._plan = plan
        self._output = output
        self._tensors = tensors
        self._dtype = np.dtype(plan.dtype)
        self._steps = plan.ending.steps(plan.layout.n_targets, plan.dtype)  # owns what some slots point at
        self._slots = np.array([*plan.layout.slots(), *self._steps.slots()], np.int64)
        self._model = self._slots.ctypes.data
        self._kernel = compile_kernel(plan.dtype, plan.ending.output_dtype, _COMBINATION[plan.ending.aggregate])
        self._before = OnnxSession(plan.before, block) if plan.before else None
        self._after = OnnxSession(plan.after, block, output.name) if plan.after else None
        self.columns = [] if plan.before else _columns(plan, tensors)
        """The features that are the ensemble's input, and the type in which the graph asks for each; none where a graph
        makes the input."""
        self._reader = ColumnReader(self.columns, self._dtype)

    def score_features(self, features: pa.RecordBatch) -> NDArray[Any]:
        """Return the scores, (n_rows, n_scores), rows in input order.

        Raises:
            ScoreError: a part of the model failed, or returned another shape than its contract says.
        """
        if not features.num_rows:
            return np.empty((0, self._output.width), np.float32)
        if self._before is not None:
            made = self._made(self._before, to_tensors(features, self._tensors))
            return self._scored(addresses_of(made), features.num_rows)
        # The second value owns what lies at the addresses.
        addresses, _owners = self._reader.read(features)
        return self._scored(addresses, features.num_rows)

    def score_ensemble(self, columns: NDArray[Any]) -> NDArray[Any]:
        """Return the ensemble's own scores, (n_rows, n_targets), of its input, (n_features, n_rows) C-contiguous."""
        return self._ensemble(addresses_of(columns), columns.shape[1])

    def _made(self, before: OnnxSession, tensors: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the ensemble's input, (n_features, n_rows), as the graph before it makes it.

        Raises:
            ScoreError: it failed, or makes fewer features.
        """
        parts = [np.asarray(raw)[:given] for raw, _, given in before.calls(tensors)]
        matrix = np.concatenate(parts)
        if matrix.ndim != 2 or matrix.shape[1] < self._plan.n_features:  # noqa: PLR2004
            raise ScoreError(
                "the graph before the trees made another shape than they take",
                expected=f"{self._plan.n_features} columns",
                got=str(matrix.shape),
            )
        return np.ascontiguousarray(matrix.T.astype(self._dtype, copy=False))

    def _scored(self, addresses: NDArray[np.int64], n_rows: int) -> NDArray[Any]:
        parts = []
        for at in range(0, n_rows, FREE_CALL_ROWS):
            n = min(FREE_CALL_ROWS, n_rows - at)
            scores = self._ensemble(addresses + at * self._dtype.itemsize, n)
            if self._after is None:
                parts.append(shaped(scores, n, self._output))
                continue
            for raw, rows, given in self._after.calls({self._after.input: scores}):
                parts.append(shaped(raw, rows, self._output)[:given])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _ensemble(self, addresses: NDArray[np.int64], n_rows: int) -> NDArray[Any]:
        layout, kernel = self._plan.layout, self._kernel
        few = n_rows <= _FEW_ROWS
        scores = np.empty((n_rows, layout.n_targets), self._plan.ending.output_dtype)
        work = np.empty((layout.n_columns + layout.n_targets) * (1 if few else kernel.strip_rows), self._dtype)
        run = kernel.rows if few else kernel.strips
        run(self._model, address_of(addresses), n_rows, address_of(scores), address_of(work))
        return scores


def _columns(plan: TreePlan, tensors: Sequence[TensorSpec]) -> list[tuple[str, pa.DataType]]:
    """Return the features that are the ensemble's input, and the type in which the graph asks for each.

    Raises:
        BundleError: the plan is for other inputs.
    """
    specs = {spec.name: spec for spec in tensors}
    if not set(plan.inputs) <= specs.keys():
        raise BundleError("the plan of the trees is for other inputs than the model's", where=TREES)
    columns = [(name, ARROW_OF_DTYPE[specs[one].dtype]) for one in plan.inputs for name in specs[one].columns]
    if len(columns) < plan.n_features or any(spec.dtype == "string" for spec in tensors if spec.name in plan.inputs):
        raise BundleError("the plan of the trees is for other columns than the model's inputs have", where=TREES)
    return columns
