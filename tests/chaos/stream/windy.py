"""The model of the runs: its score is the wind that the online store holds for a place; two versions."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from onnx import helper

from scoretrail.clock import SystemClock
from scoretrail.feature.online import encode_values
from scoretrail.feature.online_redis import RedisAddress, RedisOnlineStore
from scoretrail.feature.schema import TIMESTAMP
from scoretrail.feature.source import load_view
from scoretrail.model.registry import Registry
from scoretrail.storage import Storage
from tests.factory.example import Example
from tests.factory.onnx_graph import matrix_in, model_bytes, scores_out
from tests.factory.registered import PROOF_ROWS, register_example
from tests.factory.streamed import SENT_MS, WINDY
from tests.factory.workshop import publish_variant

NAME = "windy"
VERSIONS = ("1.0.0", "1.1.0")
WINDS = {"EWR": 4.0, "JFK": 7.5, "LGA": 2.25}
HOUR_US = 3_600_000_000


def make_registry(folder: Path) -> Registry:
    """Return a registry with both versions; the champion is the first."""
    graph = [helper.make_node("Identity", ["wind"], ["scores"])]
    onnx = model_bytes(graph, [matrix_in(1, "wind")], [scores_out(1)])
    made = Example(name=NAME, onnx=onnx, features=WINDY, view_name="view", task="regression", classes=())
    registered = register_example(made, folder, VERSIONS[0], records=_records())
    card = registered.manifest.card.model_copy(update={"changes": "none but the number"})
    publish_variant(registered.registry, registered, VERSIONS[1], name=NAME, card=card)
    return Registry(Storage(str(folder)), SystemClock())


def fill_store(port: int) -> None:
    """Write the wind at every place, as it was known before the first event."""
    view = load_view(WINDY, "view")
    (weather,) = view.stored
    at = pa.array([SENT_MS * 1000 - HOUR_US] * len(WINDS), pa.int64()).cast(TIMESTAMP)
    rows = pa.RecordBatch.from_arrays([pa.array(list(WINDS.values()), pa.float32()), at, at], list(weather.columns))
    store = RedisOnlineStore(RedisAddress(host="127.0.0.1", port=port))
    store.write(encode_values(view.name, weather, list(WINDS), rows))
    store.close()


def _records() -> pa.Table:
    at = pa.array([SENT_MS * 1000 + i * 1_000_000 for i in range(PROOF_ROWS)], pa.int64()).cast(TIMESTAMP)
    before = pa.array([SENT_MS * 1000 - HOUR_US] * PROOF_ROWS, pa.int64()).cast(TIMESTAMP)
    places = [list(WINDS)[i % len(WINDS)] for i in range(PROOF_ROWS)]
    return pa.table(
        {
            "key": pa.array([f"k{i}" for i in range(PROOF_ROWS)]),
            "at": at,
            "place": pa.array(places),
            "wind": pa.array([i / 10 for i in range(PROOF_ROWS)], pa.float32()),
            "weather__event_time": before,
            "weather__available_at": before,
        }
    )
