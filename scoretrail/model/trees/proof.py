"""The proof that the kernel gives ONNX Runtime's bits for a model: records, and rows aimed at every threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import pyarrow as pa

from scoretrail.model.scorer import OnnxSession

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scoretrail.model.scorer import Scorer
    from scoretrail.model.trees.ensemble import Ensemble

_SEED: Final = 2015
"""Of the rows that are drawn; any would do, a fixed one repeats."""
_CHUNK_ROWS: Final = 20_000
_SIZES: Final = (1, 7, 64, 1000)
"""Rows of a call: below, at and beyond what the kernel scores together."""
_SHORT_CALLS_ROWS: Final = 300
"""Of the records, so many are also scored one by one."""
_SPECIAL_RATIO: Final = 0.1
_EXTREMES: Final = (np.nan, np.inf, -np.inf, 0.0, -0.0)


class EnsembleScorer(Protocol):
    """What is proven: it scores an ensemble's own input."""

    def score_ensemble(self, columns: NDArray[Any]) -> NDArray[Any]:
        """Return the ensemble's scores, (n_rows, n_targets), of (n_features, n_rows)."""
        ...


def different_records(reference: Scorer, candidate: Scorer, features: pa.RecordBatch) -> int:
    """Return how many records get other bits from the candidate: together, in small calls, and in another order.

    Args:
        reference: whose bits count.
        candidate: whose bits are compared.
        features: records that the model may meet, as the view's inputs.

    Raises:
        ScoreError: one of them failed.
    """
    expected = reference.score_features(features)
    different = count_different(expected, candidate.score_features(features))
    for size in _SIZES:
        stop = min(features.num_rows, size * _SHORT_CALLS_ROWS)
        parts = [candidate.score_features(features.slice(at, min(size, stop - at))) for at in range(0, stop, size)]
        different += count_different(expected[:stop], np.concatenate(parts))
    order = np.random.default_rng(_SEED).permutation(features.num_rows)
    permuted = candidate.score_features(features.take(pa.array(order)))
    return different + count_different(expected[order], permuted)


def different_aimed(
    alone: bytes, candidate: EnsembleScorer, rows: Iterator[NDArray[Any]], dtype: str
) -> tuple[int, int]:
    """Return how many aimed rows were compared, and how many get other bits; it ends where some do.

    Args:
        alone: a model of nothing but the ensemble, ``x`` its input.
        candidate: whose bits are compared.
        rows: (n_features, n_rows) each.
        dtype: of the input of ``alone``.

    Raises:
        ModelError: ONNX Runtime refuses the ensemble alone.
        ScoreError: it failed.
    """
    session = OnnxSession(alone, None)
    compared = different = 0
    for columns in rows:
        given = np.ascontiguousarray(columns.T.astype(dtype, copy=False))
        expected = np.concatenate([np.asarray(raw) for raw, _, _ in session.calls({session.input: given})])
        got = candidate.score_ensemble(columns)
        compared += len(given)
        different += count_different(expected.reshape(len(given), -1), got)
        if different:
            break
    return compared, different


def count_different(expected: NDArray[Any], got: NDArray[Any]) -> int:
    """Return how many rows differ in a bit; all of them where shape or type do.

    >>> count_different(np.array([[0.0], [1.0]]), np.array([[-0.0], [1.0]]))
    1
    """
    if (expected.shape, expected.dtype) != (got.shape, got.dtype):
        return max(len(expected), 1)
    kind = np.dtype(f"u{expected.dtype.itemsize}")
    same = np.ascontiguousarray(expected).view(kind) == np.ascontiguousarray(got).view(kind)
    return int((~same).any(axis=1).sum())


def aimed_rows(ensemble: Ensemble, n_features: int, rows: int, *, whole: bool) -> Iterator[NDArray[Any]]:
    """Yield rows that hit thresholds: each value is one of its feature's, the next number beside it, or extreme.

    Extreme are NaN, the infinities, both zeros, the smallest and largest numbers; of every tenth value.

    Args:
        ensemble: whose thresholds are hit.
        n_features: columns of its input.
        rows: how many in all.
        whole: the input holds whole numbers: thresholds are rounded, and there are no extremes.

    Yields:
        (n_features, n_rows), C-contiguous, of the ensemble's type.
    """
    random, dtype = np.random.default_rng(_SEED), np.dtype(ensemble.dtype)
    pools = [_pool(found, dtype, whole=whole) for found in _thresholds(ensemble, n_features)]
    info = np.finfo(dtype)
    extremes = np.array([*_EXTREMES, info.smallest_subnormal, -info.smallest_subnormal, info.max, info.min], dtype)
    for at in range(0, rows, _CHUNK_ROWS):
        n = min(_CHUNK_ROWS, rows - at)
        columns = (
            np.stack([pool[random.integers(0, len(pool), n)] for pool in pools]) if pools else np.empty((0, n), dtype)
        )
        if not whole:
            special = random.random(columns.shape) < _SPECIAL_RATIO
            columns[special] = random.choice(extremes, int(special.sum()))
        yield columns


def _thresholds(ensemble: Ensemble, n_features: int) -> list[set[float]]:
    found: list[set[float]] = [set() for _ in range(n_features)]
    for tree in ensemble.trees:
        for split in tree.splits.values():
            found[split.feature].add(split.threshold)
    return found


def _pool(thresholds: set[float], dtype: np.dtype[Any], *, whole: bool) -> NDArray[Any]:
    """Return thresholds and their neighbours; of a feature that nobody looks at, anything."""
    at = np.array(sorted(thresholds or {0.0}), dtype)
    if whole:
        small = at[np.abs(at) < 2.0 ** (np.finfo(dtype).nmant - 1)]
        return np.unique(np.concatenate([np.zeros(1, dtype), np.floor(small) - 1, np.floor(small), np.ceil(small)]))
    with np.errstate(over="ignore"):  # beyond the greatest number is infinity, which is a neighbour as well
        above, below = (np.nextafter(at, np.array(side, dtype)) for side in (np.inf, -np.inf))
    return np.concatenate([at, above, below])
