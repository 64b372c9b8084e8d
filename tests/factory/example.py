"""Small models of every kind we support, made when first asked for: ONNX bytes, feature code, records to score.

The data are parcels: how heavy, how far, how many items, by which carrier; the targets are whether one comes late, in
which of three classes, and by how many hours. Every figure follows from a seed.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

ROWS = 10_000
TRAINED_ROWS = 2_000
TARGET_OPSET = {"": 18, "ai.onnx.ml": 3}
SEED = 20131201
CARRIERS = ("AIR", "RAIL", "ROAD", "SEA")
NUMBERS = ("weight_kg", "distance_km", "height_m", "density")
SPEEDS = ("express", "normal", "slow")

#: Feature code of the numeric models: one float32 matrix; ``density`` is derived.
NUMBER_VIEW = b"""
import pyarrow as pa
import pyarrow.compute as pc

from scoretrail.feature import Derived, FeatureView, Request


def density(record):
    return pc.divide(record.column("weight_kg"), pc.add(record.column("height_m"), pa.scalar(1.0, pa.float32())))


parcels = FeatureView(
    name="parcels",
    entity_key="parcel_id",
    event_time="sent_at",
    request=[
        Request("weight_kg", pa.float32(), minimum=0, maximum=1000, description="with its wrapping"),
        Request("distance_km", pa.float32(), nullable=False, minimum=0),
        Request("height_m", pa.float32(), default=1.0),
    ],
    derived=[Derived("density", pa.float32(), of=density)],
    inputs=["weight_kg", "distance_km", "height_m", "density"],
)
"""

#: Feature code of the pipelines: named inputs of three types, text normalised.
MIXED_VIEW = b"""
import pyarrow as pa

from scoretrail.feature import FeatureView, Request

parcels = FeatureView(
    name="parcels",
    entity_key="parcel_id",
    event_time="sent_at",
    request=[
        Request("carrier", pa.string(), categories=("AIR", "RAIL", "ROAD", "SEA"), normalise=("strip", "upper")),
        Request("n_items", pa.int64(), minimum=1),
        Request("weight_kg", pa.float32(), minimum=0, maximum=1000),
    ],
    inputs=["carrier", "n_items", "weight_kg"],
)
"""


@dataclass(frozen=True, kw_only=True)
class Example:
    """What is registered, and what it is scored on."""

    name: str
    onnx: bytes
    features: bytes = NUMBER_VIEW
    view_name: str = "parcels"
    task: Literal["binary", "multiclass", "regression"] = "binary"
    classes: tuple[str, ...] = ("0", "1")

    @property
    def records(self) -> pa.Table:
        """The records of all examples: every column of both views, and the three targets."""
        return parcels()

    def named(self, name: str) -> Example:
        return replace(self, name=name)


@functools.cache
def parcels(rows: int = ROWS) -> pa.Table:
    """Return records that both views accept, with the targets ``late`` (0, 1), ``speed`` (text) and ``delay_h``."""
    random = np.random.default_rng(SEED)
    weight = random.gamma(2, 5, rows).astype(np.float32)
    distance = random.gamma(3, 200, rows).astype(np.float32)
    height = random.uniform(0.1, 2, rows).astype(np.float32)
    carrier = random.integers(0, len(CARRIERS), rows)
    items = random.integers(1, 9, rows)
    delay = weight / 10 + distance / 400 + carrier - height + items / 4 + random.normal(0, 1, rows)
    sent_us = 1_385_856_000_000_000 + np.arange(rows) * 60_000_000
    return pa.table(
        {
            "parcel_id": pa.array([f"p{i:06d}" for i in range(rows)]),
            "sent_at": pa.array(sent_us, pa.timestamp("us", tz="UTC")),
            "carrier": pa.array([CARRIERS[i] for i in carrier]),
            "n_items": pa.array(items, pa.int64()),
            "weight_kg": pa.array(weight),
            "distance_km": pa.array(distance),
            "height_m": pa.array(height),
            "late": pa.array((delay > np.median(delay)).astype(np.int64)),
            "speed": pa.array([SPEEDS[i] for i in np.digitize(delay, np.quantile(delay, [0.3, 0.7]))]),
            "delay_h": pa.array(delay.astype(np.float32)),
        }
    )


def number_matrix() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the inputs of the numeric view, (10,000, 4) float32, made by the view itself."""
    from scoretrail.feature import training_inputs
    from scoretrail.feature.source import load_view

    inputs, kept = training_inputs(load_view(NUMBER_VIEW, "parcels"), parcels())
    assert len(kept) == ROWS
    return np.column_stack([inputs[name].to_numpy() for name in NUMBERS])


def target(name: str) -> np.ndarray[Any, Any]:
    """Return one of the targets ``late``, ``speed`` and ``delay_h``."""
    return np.asarray(parcels()[name])


@functools.cache
def linear() -> Example:
    """A scaled logistic regression: its bits depend on the batch size, so it needs blocks."""
    return Example(name="parcel-linear", onnx=_converted(_logistic("late"), zipmap=False))


@functools.cache
def linear_with_zipmap() -> Example:
    """The same with the probabilities as a sequence of maps."""
    return Example(name="parcel-zipmap", onnx=_converted(_logistic("late"), zipmap=True))


@functools.cache
def trees() -> Example:
    """Gradient-boosted trees: the same bits at any batch size."""
    from sklearn.ensemble import GradientBoostingClassifier

    model = GradientBoostingClassifier(n_estimators=20, max_depth=3, random_state=SEED)
    return Example(name="parcel-trees", onnx=_converted(_fitted(model, "late"), zipmap=False))


@functools.cache
def lightgbm_trees() -> Example:
    """Trees of LightGBM, converted by onnxmltools; its label output is marked ``{1}`` unless that is mended."""
    import onnx
    from lightgbm import LGBMClassifier
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    model = LGBMClassifier(n_estimators=20, num_leaves=15, verbose=-1, n_jobs=1, random_state=SEED)
    with _without_warnings():
        _fitted(model, "late")
        made = convert_lightgbm(
            model, initial_types=[("matrix", FloatTensorType([None, len(NUMBERS)]))], zipmap=False, target_opset=15
        )
    made.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "rows"
    onnx.checker.check_model(made)
    return Example(name="parcel-lightgbm", onnx=made.SerializeToString())


@functools.cache
def classes_with_zipmap() -> Example:
    """Three classes with text labels, as a sequence of maps."""
    onnx = _converted(_logistic("speed"), zipmap=True)
    return Example(name="parcel-speed-zipmap", onnx=onnx, task="multiclass", classes=SPEEDS)


@functools.cache
def classes() -> Example:
    """Three classes with text labels, as a matrix."""
    onnx = _converted(_logistic("speed"), zipmap=False)
    return Example(name="parcel-speed", onnx=onnx, task="multiclass", classes=SPEEDS)


@functools.cache
def tree_classes() -> Example:
    """Three classes from a forest."""
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(n_estimators=10, max_depth=5, random_state=SEED)
    onnx = _converted(_fitted(model, "speed"), zipmap=False)
    return Example(name="parcel-speed-trees", onnx=onnx, task="multiclass", classes=SPEEDS)


@functools.cache
def ridge() -> Example:
    """A linear regressor."""
    from sklearn.linear_model import Ridge

    return Example(name="parcel-delay", onnx=_converted(_fitted(Ridge(), "delay_h")), task="regression", classes=())


@functools.cache
def tree_regressor() -> Example:
    """A regressor of trees."""
    from sklearn.ensemble import GradientBoostingRegressor

    model = GradientBoostingRegressor(n_estimators=20, random_state=SEED)
    return Example(name="parcel-delay-trees", onnx=_converted(_fitted(model, "delay_h")), task="regression", classes=())


@functools.cache
def one_hot_pipeline() -> Example:
    """A scikit-learn pipeline: text one-hot, int64 and float32 scaled, logistic regression; three named inputs."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    encode = ColumnTransformer(
        [
            ("text", OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
            ("numbers", StandardScaler(), ["n_items", "weight_kg"]),
        ]
    )
    return Example(
        name="parcel-one-hot",
        onnx=_fitted_mixed(Pipeline([("encode", encode), ("model", LogisticRegression())])),
        features=MIXED_VIEW,
    )


@functools.cache
def ordinal_pipeline() -> Example:
    """A scikit-learn pipeline: text as ordinal numbers, then trees; three named inputs."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OrdinalEncoder

    encode = ColumnTransformer(
        [("text", OrdinalEncoder(), ["carrier"]), ("numbers", "passthrough", ["n_items", "weight_kg"])]
    )
    model = GradientBoostingClassifier(n_estimators=20, random_state=SEED)
    return Example(
        name="parcel-ordinal",
        onnx=_fitted_mixed(Pipeline([("encode", encode), ("model", model)])),
        features=MIXED_VIEW,
    )


#: Every kind, by the name under which a parametrised test shows it.
ALL: dict[str, Callable[[], Example]] = {
    "linear": linear,
    "linear-zipmap": linear_with_zipmap,
    "trees": trees,
    "lightgbm": lightgbm_trees,
    "classes": classes,
    "classes-zipmap": classes_with_zipmap,
    "tree-classes": tree_classes,
    "ridge": ridge,
    "tree-regressor": tree_regressor,
    "one-hot-pipeline": one_hot_pipeline,
    "ordinal-pipeline": ordinal_pipeline,
}


@functools.cache
def _logistic(label: str) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return _fitted(make_pipeline(StandardScaler(), LogisticRegression()), label)


def _fitted(model: Any, label: str) -> Any:
    with _without_warnings():
        return model.fit(number_matrix()[:TRAINED_ROWS], target(label)[:TRAINED_ROWS])


def _converted(model: Any, *, zipmap: bool | None = None) -> bytes:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    with _without_warnings():
        made = to_onnx(
            model,
            initial_types=[("matrix", FloatTensorType([None, len(NUMBERS)]))],
            options=None if zipmap is None else {"zipmap": zipmap},
            target_opset=TARGET_OPSET,
        )
    return bytes(made.SerializeToString())


def _fitted_mixed(model: Any) -> bytes:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

    frame = parcels().select(["carrier", "n_items", "weight_kg"]).slice(0, TRAINED_ROWS).to_pandas()
    column = [None, 1]
    with _without_warnings():
        model.fit(frame, target("late")[:TRAINED_ROWS])
        made = to_onnx(
            model,
            initial_types=[
                ("carrier", StringTensorType(column)),
                ("n_items", Int64TensorType(column)),
                ("weight_kg", FloatTensorType(column)),
            ],
            options={"zipmap": False},
            target_opset=TARGET_OPSET,
        )
    return bytes(made.SerializeToString())


def _without_warnings() -> warnings.catch_warnings[None]:
    """Return a context in which the training libraries may warn: their advice is about them, not about us."""
    return warnings.catch_warnings(action="ignore")
