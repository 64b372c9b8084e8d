"""Trains the small models beside this file and has their own converters write them.

Neither library is in a lock: they are large, and only these files are needed of them. To make them again: ``pip install
xgboost-cpu catboost onnxmltools`` in an environment of its own, then ``python tests/factory/converted/train.py``. Those
here are by xgboost 3.2.0 with onnxmltools 1.16.0, and by catboost 1.2.10.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

HERE = Path(__file__).parent
FEATURES = 6


def main() -> None:
    random = np.random.default_rng(3)
    matrix = random.standard_normal((2000, FEATURES)).astype(np.float32)
    matrix[random.random(matrix.shape) < 0.1] = np.nan
    signal = np.nan_to_num(matrix[:, 0]) + np.nan_to_num(matrix[:, 1] * matrix[:, 2])
    targets = {"binary": (signal > 0).astype(int), "classes": np.digitize(signal, [-0.5, 0.5]), "number": signal}
    for task, target in targets.items():
        by_xgboost(task, matrix, target)
        by_catboost(task, matrix, target)


def by_xgboost(task: str, matrix: np.ndarray, target: np.ndarray) -> None:
    import xgboost  # type: ignore[import-not-found]
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    kind = xgboost.XGBRegressor if task == "number" else xgboost.XGBClassifier
    model = kind(n_estimators=8, max_depth=3, random_state=3, n_jobs=1).fit(matrix, target)
    written = convert_xgboost(model, initial_types=[("input", FloatTensorType([None, FEATURES]))], target_opset=15)
    (HERE / f"xgboost-{task}.onnx").write_bytes(written.SerializeToString())


def by_catboost(task: str, matrix: np.ndarray, target: np.ndarray) -> None:
    import catboost  # type: ignore[import-not-found]

    kind = catboost.CatBoostRegressor if task == "number" else catboost.CatBoostClassifier
    model = kind(iterations=8, depth=3, random_seed=3, thread_count=1, verbose=False, allow_writing_files=False)
    path = HERE / f"catboost-{task}.onnx"
    model.fit(matrix, target).save_model(str(path), format="onnx")
    written = onnx.load(path)
    for build in ("producer_version", "doc_string", "metadata_props"):  # how, where and by whom catboost was built
        written.ClearField(build)
    path.write_bytes(written.SerializeToString())


if __name__ == "__main__":
    main()
