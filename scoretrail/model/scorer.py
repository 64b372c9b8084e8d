"""Scores from tensors by ONNX Runtime, with settings under which the bits repeat; the only import of onnxruntime."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import onnxruntime

from scoretrail.errors import ModelError, ScoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scoretrail.model.manifest import Output

FREE_CALL_ROWS: Final = 10_000
"""Rows per call where the model's bits do not depend on it; larger calls only cost cache misses (facts: 30 %)."""
_NODE: Final = re.compile(r"while running (?P<operator>\w+) node\. Name:'(?P<name>[^']*)'")
_FATAL_SEVERITY: Final = 4
"""At 3 it writes to standard error what a failing call was given, values included; its exceptions say enough."""

onnxruntime.set_default_logger_severity(_FATAL_SEVERITY)


class Scorer(Protocol):
    """Turns tensors into scores."""

    def score_batch(self, tensors: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the scores, (n_rows, n_scores) of the model's own float type, rows in input order.

        Args:
            tensors: graph input -> array with n_rows rows, as :func:`scoretrail.feature.tensor.to_tensors` makes them.

        Raises:
            ScoreError: the model failed, or returned another shape than its contract says.
        """
        ...


class OnnxScorer:
    """The reference scorer: one thread, sequential, fixed blocks.

    With more than one thread tree ensembles differ in bits with the thread count; at free batch sizes linear and neural
    models differ with the size. One thread and calls of exactly ``block`` rows, the last one padded, take both away.
    """

    def __init__(self, model: bytes, output: Output, block: int | None) -> None:
        """Load a model from bytes.

        Args:
            model: the ONNX file's bytes.
            output: which graph output holds the scores, and its form.
            block: rows of every call; None lets a call be of any size.

        Raises:
            ModelError: ONNX Runtime refuses the model.
        """
        self._output = output
        self._block = block
        try:
            self._session = onnxruntime.InferenceSession(model, _options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base but Exception
            raise ModelError("ONNX Runtime cannot load the model", got=_first_line(error)) from error

    def score_batch(self, tensors: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the scores, (n_rows, n_scores), rows in input order.

        Raises:
            ScoreError: the model failed, or returned another shape than its contract says.
        """
        n_rows = len(next(iter(tensors.values())))
        rows = self._block or FREE_CALL_ROWS
        starts = range(0, max(n_rows, 1), rows)
        parts = [self._call({name: tensor[at : at + rows] for name, tensor in tensors.items()}) for at in starts]
        return (parts[0] if len(parts) == 1 else np.concatenate(parts))[:n_rows]

    def _call(self, tensors: dict[str, NDArray[Any]]) -> NDArray[Any]:
        given = len(next(iter(tensors.values())))
        wanted = self._block or given
        if given == 0:
            return np.empty((0, self._output.width), np.float32)
        if given < wanted:
            # Which rows fill the block does not matter to the others; repeating the last one keeps strings valid.
            tensors = {
                name: np.concatenate([tensor, np.repeat(tensor[-1:], wanted - given, axis=0)])
                for name, tensor in tensors.items()
            }
        try:
            (raw,) = self._session.run([self._output.name], tensors)
        except Exception as error:  # noqa: BLE001  (ONNX Runtime's errors have no common base but Exception)
            # Neither the text nor the cause is passed on: both may quote the value that it failed on.
            raise ScoreError("the model failed on a batch", got=_kind(error)) from None
        return self._shaped(raw, wanted)[:given]

    def _shaped(self, raw: Any, rows: int) -> NDArray[Any]:  # noqa: ANN401  (array, or a list of dicts)
        if self._output.form == "zipmap":
            # ONNX Runtime sorts the keys of its maps: take them in the order of the contract's classes.
            keys = {str(key): key for key in raw[0]}
            if keys.keys() != set(self._output.classes):
                raise ScoreError(
                    "the model names other classes than its contract",
                    where=f"output {self._output.name!r}",
                    expected=", ".join(self._output.classes),
                    got=", ".join(keys),
                )
            raw = np.array([[row[keys[label]] for label in self._output.classes] for row in raw], dtype=np.float32)
        width = self._output.width
        shaped: NDArray[Any] = np.asarray(raw)
        if shaped.shape[:1] == (rows,):
            shaped = shaped.reshape(rows, -1)
        if self._output.task == "binary" and shaped.shape == (rows, 1):
            # A network with one output states P(second class) only.
            shaped = np.concatenate([1 - shaped, shaped], axis=1)
        if shaped.shape != (rows, width) or shaped.dtype.kind != "f":
            raise ScoreError(
                "the model returned another shape than its contract says",
                where=f"output {self._output.name!r}",
                expected=f"({rows}, {width}) float",
                got=f"{shaped.shape} {shaped.dtype}",
            )
        return shaped


def engine_version() -> str:
    """Return ONNX Runtime's version."""
    return str(onnxruntime.__version__)


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = False
    options.log_severity_level = _FATAL_SEVERITY
    options.use_deterministic_compute = True
    return options


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _kind(error: BaseException) -> str:
    """Return what kind of failure it was and in which node of the graph: names that the model has."""
    node = _NODE.search(str(error))
    named = f", node {node['name']!r} ({node['operator']})" if node else ""
    return f"{type(error).__name__}{named}"
