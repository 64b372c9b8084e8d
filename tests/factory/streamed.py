"""Bundles and records for tests of the stream: scores that are known by looking, with and without stored features."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from onnx import TensorProto, helper, numpy_helper

from jobs.stream.handling.handler import Handler
from jobs.stream.handling.lookup import Lookup, StorePolicy
from jobs.stream.message.identity import Identity, Topics
from jobs.stream.record import Record
from scoretrail.clock import FixedClock
from scoretrail.feature.online import MemoryOnlineStore, encode_values
from scoretrail.model.manifest import Output
from tests.factory.example import Example
from tests.factory.onnx_graph import matrix_in, model_bytes, scores_out
from tests.factory.registered import load_example

if TYPE_CHECKING:
    from jobs.stream.message.envelope import EventPolicy
    from jobs.stream.record import Header, Message
    from scoretrail.feature.online import OnlineStore
    from scoretrail.model.bundle import Bundle

NOW = FixedClock(datetime(2013, 12, 1, 12, tzinfo=UTC))
SENT_MS = 1_385_856_000_000
SENT_AT = "2013-12-01T00:00:00Z"
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
IDENTITY = Identity(app="parcels", cluster="c1")
TOPICS = Topics(predictions="predictions", dead_letters="dead-letters")

#: The score is ``x / y``; a derived feature fails where ``x`` is -7.
NUMBERS = b"""
import pyarrow as pa
import pyarrow.compute as pc

from scoretrail.feature import Derived, FeatureView, Request


def ratio(record):
    if pc.any(pc.equal(record.column("x"), -7)).as_py():
        raise ValueError("secret -7")
    return pc.divide(record.column("x"), record.column("y"))


view = FeatureView(
    name="numbers",
    entity_key="key",
    event_time="at",
    request=[
        Request("x", pa.float32(), minimum=-100, maximum=100),
        Request("y", pa.float32(), default=1.0),
        Request("place", pa.string(), default="NONE", categories=("HERE", "THERE", "NONE"), normalise=("upper",)),
        Request("n", pa.int32(), default=0),
    ],
    derived=[Derived("ratio", pa.float32(), of=ratio)],
    inputs=["ratio"],
)
"""

#: The score is a stored feature, wind, at the place of the event.
WINDY = b"""
import pyarrow as pa

from scoretrail.feature import DEFAULT, FeatureView, Field, Request, Stored

view = FeatureView(
    name="windy",
    entity_key="key",
    event_time="at",
    request=[Request("place", pa.string(), normalise=("upper",))],
    stored=[
        Stored(
            "weather",
            key="place",
            fields=[Field(name="wind", type=pa.float32(), default=-1.0)],
            max_age="3h",
            when_missing=DEFAULT,
        ),
    ],
    inputs=["wind"],
)
"""
STRICT_WINDY = WINDY.replace(b"DEFAULT", b"REJECT")


def numbers(operator: str = "Identity", *, features: bytes = NUMBERS, name: str = "ratio", **changes: Any) -> Bundle:
    """Return a regressor whose score is one operator of its one input."""
    data = model_bytes([helper.make_node(operator, [name], ["scores"])], [matrix_in(1, name)], [scores_out(1)])
    return load_example(Example(name="numbers", onnx=data, features=features, view_name="view"), **changes)


def chances(**changes: Any) -> Bundle:
    """Return a binary classifier whose second class has the score ``x / y``."""
    return numbers(output=Output(task="binary", name="scores", form="matrix", classes=("no", "yes")), **changes)


def three(**changes: Any) -> Bundle:
    """Return a classifier whose classes a, b and "c" have the scores ``x / y``, 0.5 and 0."""
    rest = numpy_helper.from_array(np.array([[1, 0, 0]], np.float32), "rest")
    more = numpy_helper.from_array(np.array([[0, 0.5, 0]], np.float32), "more")
    nodes = [helper.make_node("MatMul", ["ratio", "rest"], ["z"]), helper.make_node("Add", ["z", "more"], ["scores"])]
    data = model_bytes(nodes, [matrix_in(1, "ratio")], [scores_out(3)], [rest, more])
    output = Output(task="multiclass", name="scores", form="matrix", classes=("a", "b", '"c"'))
    return load_example(Example(name="three", onnx=data, features=NUMBERS, view_name="view"), output=output, **changes)


def picky(**changes: Any) -> Bundle:
    """Return a regressor that fails on a whole batch where any ``x / y`` is not 0, 1 or 2."""
    table = numpy_helper.from_array(np.array([10, 11, 12], np.float32), "table")
    nodes = [
        helper.make_node("Cast", ["ratio"], ["place"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "place"], ["scores"]),
    ]
    data = model_bytes(nodes, [matrix_in(1, "ratio")], [scores_out(1)], [table])
    return load_example(
        Example(name="picky", onnx=data, features=NUMBERS, view_name="view"), **{"block": None, **changes}
    )


def windy(*, features: bytes = WINDY) -> Bundle:
    """Return a regressor whose score is the stored wind."""
    return numbers(features=features, name="wind")


def event(
    offset: int = 0, *, headers: tuple[Header, ...] = (), record_key: bytes | None = b"k", **fields: Any
) -> Record:
    """Return a record whose value is a good event with fields replaced or (by None) null."""
    value = {"key": f"k{offset}", "at": SENT_AT, "x": 1.0} | fields
    return record(json.dumps(value).encode(), offset, headers=headers, key=record_key)


def record(
    value: bytes | None, offset: int = 0, *, headers: tuple[Header, ...] = (), key: bytes | None = b"k"
) -> Record:
    """Return a record of partition 3."""
    return Record("events", 3, offset, SENT_MS, key, value, headers)


def handler(
    bundle: Bundle,
    store: OnlineStore | None = None,
    when_down: StorePolicy = StorePolicy.PAUSE,
    *,
    topics: Topics = TOPICS,
    policy: EventPolicy | None = None,
    **pinned: Bundle,
) -> Handler:
    """Return a handler whose clock stands still; of a pinned version ``v1_0_0`` stands for 1.0.0."""
    versions = {name[1:].replace("_", "."): one for name, one in pinned.items()}
    lookup = Lookup(store, when_down)
    return Handler(bundle, lookup, topics, IDENTITY, pinned=versions, policy=policy, clock=NOW)


def winds(bundle: Bundle, hours: int = -1, **wind: float) -> MemoryOnlineStore:
    """Return a store with the wind at places, as it was some hours before :data:`SENT_AT` and known at once."""
    (weather,) = bundle.view.stored
    at = pa.array([SENT_MS * 1000 + hours * 3_600_000_000] * len(wind), pa.int64()).cast(pa.timestamp("us", "UTC"))
    rows = pa.RecordBatch.from_arrays([pa.array(list(wind.values()), pa.float32()), at, at], list(weather.columns))
    store = MemoryOnlineStore()
    store.write(encode_values(bundle.view.name, weather, list(wind), rows))
    return store


def value_of(message: Message) -> dict[str, Any]:
    """Return a message's value as JSON."""
    found: dict[str, Any] = json.loads(message.value or b"")
    return found


def header(message: Message, name: str) -> str:
    """Return a message's header as text."""
    return (dict(message.headers)[name] or b"").decode()


def reason(message: Message) -> str:
    """Return why a dead letter is one."""
    assert message.topic == TOPICS.dead_letters, message.value
    return str(json.loads(header(message, "scoretrail-dead-letter"))["reason"])
