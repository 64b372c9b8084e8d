"""A model with stored features: trips, the weather where they begin (may be missing) and the vehicle (may not)."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from onnx import helper

from scoretrail.feature.schema import TIMESTAMP
from tests.factory.example import Example
from tests.factory.onnx_graph import matrix_in, model_bytes, scores_out

HOUR_US = 3_600_000_000
START_US = 1_385_856_000_000_000
"""Event time of the first record, 2013-12-01; each is an hour after the one before."""

FEATURES = b"""
import pyarrow as pa
import pyarrow.compute as pc

from scoretrail.feature import DEFAULT, REJECT, Derived, FeatureView, Field, Request, Stored


def chill(record):
    return pc.multiply(record.column("wind"), pa.scalar(0.5, pa.float32()))


trips = FeatureView(
    name="trips",
    entity_key="trip_id",
    event_time="left_at",
    request=[
        Request("place", pa.string(), normalise=("upper",), nullable=True),
        Request("distance", pa.float32(), minimum=0),
    ],
    stored=[
        Stored(
            "weather",
            key="place",
            fields=[
                Field(name="wind", type=pa.float32(), nullable=True, description="m/s"),
                Field(name="rain", type=pa.float32(), default=0.0, minimum=0),
            ],
            max_age="3h",
            stale_ok="6h",
            when_missing=DEFAULT,
            when_stale=REJECT,
            description="hourly",
        ),
        Stored(
            "vehicle",
            key="trip_id",
            fields=[Field(name="seats", type=pa.float32(), minimum=1)],
            max_age=None,
            when_missing=REJECT,
        ),
    ],
    derived=[Derived("chill", pa.float32(), of=chill, nullable=True)],
    inputs=["distance", "wind", "rain", "seats", "chill"],
)
"""
INPUTS = ("distance", "wind", "rain", "seats", "chill")


def trips_example() -> Example:
    """Return a regressor whose score is the sum of its inputs, and NaN where one is missing."""
    axes = helper.make_node("Constant", [], ["axes"], value_ints=[1])
    total = helper.make_node("ReduceSum", ["matrix", "axes"], ["scores"], keepdims=1)
    data = model_bytes([axes, total], [matrix_in(len(INPUTS))], [scores_out(1)])
    return Example(name="trips", onnx=data, features=FEATURES, view_name="trips", task="regression", classes=())


def trip_records(rows: int = 4, **columns: Any) -> pa.Table:
    """Return records that the view accepts with fresh values, with columns replaced."""
    at = [START_US + i * HOUR_US for i in range(rows)]
    made: dict[str, Any] = {
        "trip_id": pa.array([f"t{i}" for i in range(rows)]),
        "left_at": pa.array(at, TIMESTAMP),
        "place": pa.array(["EWR", "JFK"] * (rows // 2) + ["EWR"] * (rows % 2)),
        "distance": pa.array([float(i) for i in range(rows)], pa.float32()),
        "wind": pa.array([10.0 + i for i in range(rows)], pa.float32()),
        "rain": pa.array([0.5] * rows, pa.float32()),
        "weather__event_time": pa.array([us - HOUR_US for us in at], TIMESTAMP),
        "weather__available_at": pa.array([us - HOUR_US // 2 for us in at], TIMESTAMP),
        "seats": pa.array([4.0] * rows, pa.float32()),
        "vehicle__event_time": pa.array([0] * rows, TIMESTAMP),
        "vehicle__available_at": pa.array([0] * rows, TIMESTAMP),
    }
    return pa.table(made | columns)


def trip_batch(rows: int = 4, **columns: Any) -> pa.RecordBatch:
    """Return the same as one batch."""
    (batch,) = trip_records(rows, **columns).combine_chunks().to_batches()
    return batch
