"""Trains the two models that are measured, on made-up labels, and exports them to ONNX."""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np
from lightgbm import LGBMClassifier
from numpy.typing import NDArray
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType as LightgbmFloats
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType as SklearnFloats
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.material import SEED

TREES: Final = 100
LEAVES: Final = 31


def train(name: str, matrix: NDArray[np.float32]) -> bytes:
    """Return a model as ONNX.

    Args:
        name: ``linear``, a scaled logistic regression; or ``trees``, 100 of 31 leaves.
        matrix: (n_rows, n_features) records to train on.
    """
    late = _labels(matrix)
    return _linear(matrix, late) if name == "linear" else _trees(matrix, late)


def _labels(matrix: NDArray[np.float32]) -> NDArray[np.int64]:
    weights = np.random.default_rng(SEED).normal(size=matrix.shape[1])
    bent = matrix @ weights + np.abs(matrix[:, 0] * matrix[:, 1]) + np.sin(3 * matrix[:, 2])
    late: NDArray[np.int64] = (bent > np.median(bent)).astype(np.int64)
    return late


def _linear(matrix: NDArray[np.float32], late: NDArray[np.int64]) -> bytes:
    model = make_pipeline(StandardScaler(), LogisticRegression())
    with warnings.catch_warnings(action="ignore"):
        model.fit(matrix, late)
        made = to_onnx(
            model,
            initial_types=[("features", SklearnFloats([None, matrix.shape[1]]))],
            options={"zipmap": False},
            target_opset={"": 18, "ai.onnx.ml": 3},
        )
    return bytes(made.SerializeToString())


def _trees(matrix: NDArray[np.float32], late: NDArray[np.int64]) -> bytes:
    model = LGBMClassifier(n_estimators=TREES, num_leaves=LEAVES, verbose=-1, n_jobs=2, random_state=SEED)
    with warnings.catch_warnings(action="ignore"):
        model.fit(matrix, late)
        made = convert_lightgbm(
            model,
            initial_types=[("features", LightgbmFloats([None, matrix.shape[1]]))],
            zipmap=False,
            target_opset=15,
        )
    # onnxmltools states one label whatever the number of rows, and ONNX Runtime would warn in every call.
    made.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "rows"
    return bytes(made.SerializeToString())
