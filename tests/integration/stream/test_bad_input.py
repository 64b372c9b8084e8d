"""Every kind of bad event through a real broker and a real worker: a dead letter with its reason, and nothing waits."""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from kafka import KafkaProducer

from tests.factory.registered import Registered
from tests.factory.services import Kafka, await_committed, read_committed
from tests.factory.stream_stage import StreamStage
from tests.factory.workshop import make_registry

LIMIT_S = 60
GOOD = {
    "parcel_id": "p1",
    "sent_at": "2013-12-02T05:00:00Z",
    "weight_kg": 2.0,
    "distance_km": 10.0,
    "height_m": 0.5,
}
POISON_DELAY_MS = 500
"""Far above a micro-batch (10 ms and its transaction), for machines that do other things as well."""


def text(**fields: Any) -> bytes:
    return json.dumps({**GOOD, **fields}).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in GOOD.items() if key != name}).encode()


#: What is sent -> key, value, headers, and the reason; None is a prediction.
CASES: dict[str, tuple[bytes | None, bytes | None, list[tuple[str, bytes]], str | None]] = {
    "good": (b"k", text(), [], None),
    "extra field": (b"k", text(extra=1), [], None),
    "null key": (None, text(), [], None),
    "not JSON": (b"k", b"weight: 2", [], "not_json"),
    "wrong type": (b"k", text(weight_kg="2"), [], "wrong_type"),
    "missing field": (b"k", without("distance_km"), [], "missing_field"),
    "tombstone": (b"k", None, [], "no_value"),
    "from the future": (b"k", text(sent_at="2999-01-01T00:00:00Z"), [], "event_from_future"),
    "out of range": (b"k", text(weight_kg=1001), [], "out_of_range"),
    "10 MB": (b"k", text(note="x" * 10_000_000), [], "value_too_large"),
    "unknown version": (b"k", text(), [("scoretrail_model_version", b"9.9.9")], "model_version_not_allowed"),
    "forbidden version": (b"k", text(), [("scoretrail_model_version", b"1.1.0")], "model_version_not_allowed"),
    "1,000 headers": (b"k", text(), [(f"h{i}", b"v") for i in range(1000)], "too_many_headers"),
    "CloudEvents 0.3": (b"k", text(), [("ce_specversion", b"0.3")], "cloudevents_version"),
}


@pytest.fixture
def stage(kafka: Kafka, tmp_path: Path, registered_linear: Registered, registered_trees: Registered) -> Any:
    found = StreamStage(kafka, tmp_path, make_registry(tmp_path / "registry", registered_linear, registered_trees))
    yield found
    found.end()


def reason_of(record: Any) -> str:
    return str(json.loads(dict(record.headers)["scoretrail-dead-letter"])["reason"])


def test_each_has_one_outcome_and_good_events_between_them_are_scored(stage: StreamStage) -> None:
    # 10 MB of one letter are 10 KB on the wire, far below the topic's limit.
    producer = KafkaProducer(
        bootstrap_servers=stage.kafka.bootstrap, compression_type="gzip", max_request_size=20_000_000
    )
    sent = []
    for key, value, headers, expected in CASES.values():
        for one in ((b"before", text(), [], None), (key, value, headers, expected)):
            at = producer.send(stage.input, key=one[0], value=one[1], headers=one[2], partition=0).get(30)
            sent.append((at.offset, one[3]))
    producer.close()
    stage.run()
    stage.until(lambda: stage.settled() == len(sent), "not all are settled")
    letters = stage.kafka.read(stage.dead_letters)
    found = {one["trail"]["source"]["offset"]: None for one in stage.outcomes()}
    told = {int(dict(one.headers)["__connect.errors.offset"]): reason_of(one) for one in letters}
    assert {**found, **told} == dict(sent)
    code, verified = stage.verify()
    assert (code, verified["faults"]) == (0, {})


def test_events_after_poison_do_not_wait_for_it(stage: StreamStage, capsys: pytest.CaptureFixture[str]) -> None:
    """Poison fails the whole micro-batch at first; the events with it are published by the same transaction."""
    producer = KafkaProducer(bootstrap_servers=stage.kafka.bootstrap)
    stage.write(1)
    stage.run()
    stage.until(lambda: stage.settled() == 1, "the first is not settled")
    took: dict[str, list[int]] = {"alone": [], "after poison": []}
    for _ in range(5):
        for name, first in (("alone", text()), ("after poison", text(weight_kg=-0.0, height_m=0.0, distance_km=-1))):
            before = len(read_committed(stage.kafka.bootstrap, stage.predictions))
            producer.send(stage.input, key=b"p", value=first, partition=0)
            sent = producer.send(stage.input, key=b"g", value=text(), partition=0).get(30)
            seen = await_committed(
                stage.kafka.bootstrap, stage.predictions, before + (2 if name == "alone" else 1), LIMIT_S
            )
            took[name].append(max(one.timestamp for one in seen) - sent.timestamp)
            time.sleep(0.05)
    producer.close()
    with capsys.disabled():
        print(f"\nmedian ms to a prediction: { ({name: median(values) for name, values in took.items()}) }")  # noqa: T201
    assert median(took["after poison"]) <= median(took["alone"]) + POISON_DELAY_MS
    assert len(stage.kafka.read(stage.dead_letters)) == 5
