"""A worker whose store is frozen scores with defaults in time, and once more when the store answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from tests.chaos.stream import windy
from tests.factory.services import Kafka, StartService, await_committed
from tests.factory.streamed import SENT_MS

LIMIT_S = 60
EVENTS = 30


@pytest.fixture(scope="module")
def windy_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("registry")
    windy.make_registry(folder)
    return folder


def send(bootstrap: str, topic: str, first: int) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for i in range(first, first + EVENTS):
        event = {"key": f"k{i}", "at": SENT_MS * 1000, "place": list(windy.WINDS)[i % 3]}
        producer.send(topic, key=f"k{i}".encode(), value=json.dumps(event).encode())
    producer.flush(30)
    producer.close()


def told(record: Any) -> tuple[int, bool, float]:
    value = json.loads(record.value)
    return value["trail"]["outcome"], value["store_unavailable"], value["score"]


def test_what_was_scored_without_the_store_is_superseded_once(
    kafka: Kafka, start_valkey: StartService, windy_registry: Path, tmp_path: Path
) -> None:
    store = start_valkey()
    windy.fill_store(store.program.port)
    events, predictions, dead_letters = kafka.topic(2), kafka.topic(2), kafka.topic()
    settings = {
        "registry.uri": windy_registry,
        "stream.trail": tmp_path / "trail",
        "online.uri": f"redis://{store.address}/0",
        "online.when_down": "default",
        "online.supersede_events": EVENTS,
        "log.level": "info",
    }
    options = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "jobs.cli", "stream", "run", *options, "--model", f"models:/{windy.NAME}@champion"]
    command += ["--slot", "0", "--group", f"g-{uuid.uuid4().hex[:8]}", "--from", "earliest"]
    command += ["--bootstrap", kafka.bootstrap, "--input", events, "--predictions", predictions]
    command += ["--dead-letters", dead_letters]
    send(kafka.bootstrap, events, 0)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, env=environment, stderr=log) as worker:
        try:
            await_committed(kafka.bootstrap, predictions, EVENTS, LIMIT_S)
            store.pause()
            send(kafka.bootstrap, events, EVENTS)
            first = await_committed(kafka.bootstrap, predictions, 2 * EVENTS, LIMIT_S)
            time.sleep(1.5)
            assert kafka.read(predictions) == first, "there is nothing to supersede with yet"
            store.resume()
            both = await_committed(kafka.bootstrap, predictions, 3 * EVENTS, LIMIT_S)
            time.sleep(1.5)
            assert len(kafka.read(predictions)) == 3 * EVENTS, "each is superseded once"
        finally:
            worker.terminate()
            worker.wait(LIMIT_S)
            store.stop()
    provisional = [one for one in first if told(one)[1]]
    late = [one for one in both if told(one)[0] == 1]
    assert len(provisional) == len(late) == EVENTS
    assert {told(one)[2] for one in provisional} == {-1.0}
    assert {told(one)[1:] for one in late} == {(False, wind) for wind in windy.WINDS.values()}
    ids = {dict(one.headers)["ce_id"] for one in provisional}
    assert {dict(one.headers)["ce_supersedes"] for one in late} == ids
    assert not kafka.read(dead_letters)
