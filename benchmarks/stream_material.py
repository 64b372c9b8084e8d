"""What the stream's benchmark scores: events from a seed, 50 stored features an entity, and a model of 100 trees."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from scoretrail.clock import SystemClock
from scoretrail.config import BudgetSettings
from scoretrail.feature.online import MemoryOnlineStore, OnlineStore, OnlineValue, encode_values
from scoretrail.feature.source import load_view
from scoretrail.model.manifest import Card
from scoretrail.model.registration import Registration, register
from scoretrail.model.registry import Registry
from scoretrail.storage import Storage

MODEL: Final = "payments"
ENTITIES: Final = 5_000
STORED_FIELDS: Final = 50
TRAINING_ROWS: Final = 20_000
SEED: Final = 20131201
_AT_US: Final = 1_385_856_000_000_000
"""2013-12-01 UTC, the event time of all events; their stored values are an hour older."""
_HOUR_US: Final = 3_600_000_000
_UTC_US: Final = pa.timestamp("us", "UTC")
_AMOUNTS: Final = ("amount", "balance", "distance", "hour", "attempts")

VIEW: Final = b"""
import pyarrow as pa

from scoretrail.feature import DEFAULT, FeatureView, Field, Request, Stored

AMOUNTS = ("amount", "balance", "distance", "hour", "attempts")
PROFILE = [f"p{i:02d}" for i in range(50)]

payments = FeatureView(
    name="payments",
    entity_key="payment_id",
    event_time="paid_at",
    request=[
        Request("customer", pa.string()),
        *(Request(name, pa.float32(), minimum=-50, maximum=50) for name in AMOUNTS),
    ],
    stored=[
        Stored(
            "profile",
            key="customer",
            fields=[Field(name=name, type=pa.float32(), default=0.0) for name in PROFILE],
            max_age="1d",
            when_missing=DEFAULT,
        ),
    ],
    inputs=[*AMOUNTS, *PROFILE],
)
"""


@dataclass(frozen=True)
class Template:
    """A prediction as Scoretrail wrote it, for whoever is to write the same bytes without scoring."""

    value: bytes
    headers: tuple[tuple[str, bytes], ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        pairs = [[name, base64.b64encode(value).decode()] for name, value in self.headers]
        return {"value": base64.b64encode(self.value).decode(), "headers": pairs}


def entities() -> list[str]:
    """Return the names of all entities."""
    return [f"customer-{number:06d}" for number in range(ENTITIES)]


def event_values() -> list[bytes]:
    """Return the value of one event of each entity, in an order that repeats."""
    random = np.random.default_rng(SEED)
    amounts = np.round(random.standard_normal((ENTITIES, len(_AMOUNTS))), 4).tolist()
    names, order = entities(), random.permutation(ENTITIES).tolist()
    return [
        json.dumps(
            {
                "payment_id": f"payment-{place:08d}",
                "paid_at": "2013-12-01T00:00:00Z",
                "customer": names[place],
                **dict(zip(_AMOUNTS, amounts[place], strict=True)),
            }
        ).encode()
        for place in order
    ]


def fill(store: OnlineStore) -> None:
    """Write the stored features of all entities."""
    store.write(online_values())


def online_values() -> list[OnlineValue]:
    """Return the stored features of all entities as they are written."""
    (profile,) = load_view(VIEW, MODEL).stored
    return encode_values(MODEL, profile, entities(), pa.RecordBatch.from_arrays(*_profile(ENTITIES)))


def register_model(folder: Path) -> Registry:
    """Return a registry with the model as champion, after it was trained, unless it is there already."""
    registry = Registry(Storage(str(folder)), SystemClock())
    if MODEL in registry.models():
        return registry
    from benchmarks import training  # noqa: PLC0415  (only where the model is missing: its libraries load slowly)

    records = _records(TRAINING_ROWS)
    inputs = [*_AMOUNTS, *(f"p{i:02d}" for i in range(STORED_FIELDS))]
    matrix = np.column_stack([records[name].to_numpy() for name in inputs])
    request = Registration(
        name=MODEL,
        version="1.0.0",
        onnx=training.train("trees", matrix),
        features=VIEW,
        view_name=MODEL,
        records=records.slice(0, 10_000),
        task="binary",
        classes=("0", "1"),
        threshold=0.5,
        card=Card(owner="benchmarks", intended_use="to be measured", limitations="made-up records"),
    )
    register(registry, request, BudgetSettings(), SystemClock())
    registry.move_alias(MODEL, "champion", "1.0.0")
    return registry


def template(registry: Registry) -> Template:
    """Return what Scoretrail publishes of one of the events.

    Raises:
        RuntimeError: it refuses the event.
    """
    from jobs.stream.handling.handler import Handler  # noqa: PLC0415  (what it loads, the other parts do not need)
    from jobs.stream.handling.lookup import Lookup, StorePolicy  # noqa: PLC0415
    from jobs.stream.message.identity import Identity, Topics  # noqa: PLC0415
    from jobs.stream.record import Record  # noqa: PLC0415
    from scoretrail.model.bundle import open_bundle  # noqa: PLC0415

    bundle = open_bundle(registry.resolve(f"models:/{MODEL}@champion").files, "platform")
    store = MemoryOnlineStore()
    fill(store)
    handler = Handler(
        bundle,
        Lookup(store, StorePolicy.PAUSE),
        Topics(predictions="predictions", dead_letters="dead-letters"),
        Identity(app="bench", cluster="A" * 22),
    )
    (message,) = handler.handle([Record("t-0123456789ab", 1, 12_345, _AT_US // 1000, b"key", event_values()[0])])
    if message.topic != "predictions":
        msg = f"the event of the benchmark is refused: {message.value!r}"
        raise RuntimeError(msg)
    return Template(message.value or b"", tuple((name, value or b"") for name, value in message.headers))


def chunks(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Yield the items, ``size`` at a time, for ever."""
    while True:
        for start in range(0, len(items) - size + 1, size):
            yield items[start : start + size]


def _profile(rows: int) -> tuple[list[pa.Array], list[str]]:
    random = np.random.default_rng(SEED + 1)
    columns = [pa.array(random.standard_normal(rows, dtype=np.float32)) for _ in range(STORED_FIELDS)]
    at = pa.array(np.full(rows, _AT_US - _HOUR_US)).cast(_UTC_US)
    names = [*(f"p{i:02d}" for i in range(STORED_FIELDS)), "profile__event_time", "profile__available_at"]
    return [*columns, at, at], names


def _records(rows: int) -> pa.Table:
    random = np.random.default_rng(SEED + 2)
    columns: dict[str, Any] = {
        "payment_id": [f"payment-{number:08d}" for number in range(rows)],
        "paid_at": pa.array(np.full(rows, _AT_US)).cast(_UTC_US),
        "customer": [f"customer-{number % ENTITIES:06d}" for number in range(rows)],
    }
    columns |= {name: pa.array(random.standard_normal(rows, dtype=np.float32)) for name in _AMOUNTS}
    stored, names = _profile(rows)
    return pa.table({**columns, **dict(zip(names, stored, strict=True))})
