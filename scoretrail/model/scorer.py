"""Scores from tensors by ONNX Runtime, with settings under which the bits repeat; the only import of onnxruntime."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import onnxruntime

from scoretrail.errors import ModelError, ScoreError
from scoretrail.feature.tensor import to_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from scoretrail.feature.tensor import TensorSpec
    from scoretrail.model.manifest import Output

FREE_CALL_ROWS: Final = 10_000
"""Rows per call where the model's bits do not depend on it; larger calls only cost cache misses (facts: 30 %)."""
_NODE: Final = re.compile(r"while running (?P<operator>\w+) node\. Name:'(?P<name>[^']*)'")
_FATAL_SEVERITY: Final = 4
"""At 3 it writes to standard error what a failing call was given, values included; its exceptions say enough."""

onnxruntime.set_default_logger_severity(_FATAL_SEVERITY)


class Scorer(Protocol):
    """Turns features into scores."""

    def score_features(self, features: pa.RecordBatch) -> NDArray[Any]:
        """Return the scores, (n_rows, n_scores) of the model's own float type, rows in input order.

        Args:
            features: the view's inputs as :meth:`FeatureView.derive` returned them.

        Raises:
            ScoreError: the model failed, or returned another shape than its contract says.
        """
        ...


class OnnxSession:
    """A graph in ONNX Runtime: one thread, sequential, fixed blocks.

    With more than one thread tree ensembles differ in bits with the thread count; at free batch sizes linear and neural
    models differ with the size. One thread and calls of exactly ``block`` rows, the last one padded, take both away.
    """

    def __init__(self, model: bytes, block: int | None, output: str | None = None) -> None:
        """Load a graph from bytes.

        Args:
            model: the ONNX file's bytes.
            block: rows of every call; None lets a call be of any size.
            output: which of its outputs is wanted; None where it has but one.

        Raises:
            ModelError: ONNX Runtime refuses the model.
        """
        self._block = block
        try:
            self._session = onnxruntime.InferenceSession(model, _options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base but Exception
            raise ModelError("ONNX Runtime cannot load the model", got=_first_line(error)) from error
        self._output = output or str(self._session.get_outputs()[0].name)

    @property
    def input(self) -> str:
        """The name of the graph's first input."""
        return str(self._session.get_inputs()[0].name)

    def calls(self, tensors: Mapping[str, NDArray[Any]]) -> Iterator[tuple[Any, int, int]]:
        """Yield what each call returned, of how many rows, and how many of them were asked for: the others fill it.

        Raises:
            ScoreError: the model failed.
        """
        n_rows = len(next(iter(tensors.values())))
        rows = self._block or FREE_CALL_ROWS
        for at in range(0, n_rows, rows):
            part = {name: tensor[at : at + rows] for name, tensor in tensors.items()}
            given = min(rows, n_rows - at)
            wanted = self._block or given
            if given < wanted:
                # Which rows fill the block does not matter to the others; repeating the last one keeps strings valid.
                part = {
                    name: np.concatenate([tensor, np.repeat(tensor[-1:], wanted - given, axis=0)])
                    for name, tensor in part.items()
                }
            try:
                (raw,) = self._session.run([self._output], part)
            except Exception as error:  # noqa: BLE001  (ONNX Runtime's errors have no common base but Exception)
                # Neither the text nor the cause is passed on: both may quote the value that it failed on.
                raise ScoreError("the model failed on a batch", got=_kind(error)) from None
            yield raw, wanted, given


class OnnxScorer:
    """The reference scorer: the whole graph in ONNX Runtime."""

    def __init__(self, model: bytes, output: Output, block: int | None, tensors: Sequence[TensorSpec] = ()) -> None:
        """Load a model from bytes.

        Args:
            model: the ONNX file's bytes.
            output: which graph output holds the scores, and its form.
            block: rows of every call; None lets a call be of any size.
            tensors: how features fill the graph's inputs; needed to score features.

        Raises:
            ModelError: ONNX Runtime refuses the model.
        """
        self._output = output
        self._tensors = tensors
        self._session = OnnxSession(model, block, output.name)

    def score_features(self, features: pa.RecordBatch) -> NDArray[Any]:
        """Return the scores, (n_rows, n_scores), rows in input order.

        Raises:
            ScoreError: the model failed, or returned another shape than its contract says.
        """
        return self.score_batch(to_tensors(features, self._tensors))

    def score_batch(self, tensors: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the scores of tensors, graph input -> array with n_rows rows: (n_rows, n_scores), rows in input order.

        Raises:
            ScoreError: the model failed, or returned another shape than its contract says.
        """
        parts = [shaped(raw, rows, self._output)[:given] for raw, rows, given in self._session.calls(tensors)]
        if not parts:
            return np.empty((0, self._output.width), np.float32)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def shaped(raw: Any, rows: int, output: Output) -> NDArray[Any]:  # noqa: ANN401  (array, or a list of dicts)
    """Return a graph output as the scores that the contract says, (rows, n_scores).

    Raises:
        ScoreError: it has another shape, or names other classes.
    """
    if output.form == "zipmap" and not isinstance(raw, np.ndarray):
        # ONNX Runtime sorts the keys of its maps: take them in the order of the contract's classes.
        keys = {str(key): key for key in raw[0]}
        if keys.keys() != set(output.classes):
            raise ScoreError(
                "the model names other classes than its contract",
                where=f"output {output.name!r}",
                expected=", ".join(output.classes),
                got=", ".join(keys),
            )
        raw = np.array([[row[keys[label]] for label in output.classes] for row in raw], dtype=np.float32)
    scores: NDArray[Any] = np.asarray(raw)
    if scores.shape[:1] == (rows,):
        scores = scores.reshape(rows, -1)
    if output.task == "binary" and scores.shape == (rows, 1):
        # A network with one output states P(second class) only.
        scores = np.concatenate([1 - scores, scores], axis=1)
    if scores.shape != (rows, output.width) or scores.dtype.kind != "f":
        raise ScoreError(
            "the model returned another shape than its contract says",
            where=f"output {output.name!r}",
            expected=f"({rows}, {output.width}) float",
            got=f"{scores.shape} {scores.dtype}",
        )
    return scores


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
