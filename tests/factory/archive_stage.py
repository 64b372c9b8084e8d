"""A topic of predictions on a real broker, an archive of it, and archivers in processes that may be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobs.stream.handling.handler import Handler
from jobs.stream.handling.lookup import Lookup, StorePolicy
from jobs.stream.message.identity import Identity, Topics
from jobs.stream.record import Message, Record
from scoretrail.clock import SystemClock
from scoretrail.model.bundle import open_bundle
from scoretrail.model.registry import Registry
from scoretrail.storage import Storage
from scoretrail.table import OutputTable
from tests.factory import example
from tests.factory.services import Kafka
from tests.factory.workshop import MODEL_NAME

ROOT = Path(__file__).parents[2]
MODEL = f"models:/{MODEL_NAME}@champion"
LIMIT_S = 120
PARTITIONS = 3


class ArchiveStage:
    """A topic of predictions, an archive, and the archivers that are ended with the test."""

    def __init__(self, kafka: Kafka, folder: Path, registry: Path) -> None:
        self.kafka, self.folder, self.registry = kafka, folder, registry
        self.topic = kafka.topic(PARTITIONS)
        self.table = str(folder / "archive")
        opened = Registry(Storage(str(registry)), SystemClock())
        self.bundle = open_bundle(opened.resolve(MODEL).files)
        self.sent = 0
        self.running: list[subprocess.Popen[str]] = []

    def predictions(self, n: int) -> list[Message]:
        """Return what a worker would publish of the next n events."""
        topics = Topics(predictions=self.topic, dead_letters="none")
        handler = Handler(self.bundle, Lookup(None, StorePolicy.PAUSE), topics, Identity(app="parcels", cluster="c1"))
        rows = example.parcels(max(example.ROWS, self.sent + n)).slice(self.sent, n).to_pylist()
        now_ms = round(time.time() * 1000)
        events = [
            Record("events", 0, self.sent + i, now_ms, None, json.dumps({**row, "sent_at": _text(row)}).encode())
            for i, row in enumerate(rows)
        ]
        self.sent += n
        return handler.handle(events)

    def write(self, messages: Sequence[Message]) -> None:
        from kafka import KafkaProducer

        producer = KafkaProducer(bootstrap_servers=self.kafka.bootstrap, linger_ms=5)
        for i, message in enumerate(messages):
            head = [(name, value or b"") for name, value in message.headers]
            producer.send(message.topic, key=message.key, value=message.value, headers=head, partition=i % PARTITIONS)
        producer.flush(30)
        producer.close()

    def settings(self) -> dict[str, Any]:
        return {
            "archive.table": self.table,
            "kafka.bootstrap": [self.kafka.bootstrap],
            "registry.uri": str(self.registry),
            "stream.predictions": self.topic,
        }

    def start(self, *, step: str = "", times: int = 1, once: bool = True, **settings: Any) -> subprocess.Popen[str]:
        values = {**self.settings(), **{name.replace("__", "."): value for name, value in settings.items()}}
        plan = {"settings": values, "model": MODEL, "once": once, "step": step, "times": times}
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.factory.archive_program", json.dumps(plan)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.running.append(process)
        return process

    def archive(self, code: int = 0, **asked: Any) -> dict[str, Any]:
        process = self.start(**asked)
        out, told = process.communicate(timeout=LIMIT_S)
        assert process.returncode == code, told[-3000:]
        return dict(json.loads(out.splitlines()[-1])) if code == 0 else {}

    def command(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        options = [part for name, value in self.settings().items() for part in ("--set", f"{name}={_option(value)}")]
        run = subprocess.run(
            [sys.executable, "-m", "jobs.cli", *arguments, "--json", *options],
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert run.returncode == code, run.stderr[-3000:]
        return dict(json.loads(run.stdout.splitlines()[0]))

    def rows(self) -> list[dict[str, Any]]:
        return list(OutputTable(self.table).to_pyarrow_dataset().to_table().to_pylist())

    def assert_each_once(self) -> None:
        places = [(row["prediction_partition"], row["prediction_offset"]) for row in self.rows()]
        assert len(places) == len(set(places)), "some twice"
        there = {(record.partition, record.offset) for record in self.kafka.read(self.topic)}
        assert set(places) == there, f"{len(there - set(places))} lost"

    def end(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=10)


def _text(row: dict[str, Any]) -> str:
    return f"{row['sent_at']:%Y-%m-%dT%H:%M:%SZ}"


def _option(value: object) -> str:
    return json.dumps(value) if isinstance(value, list) else str(value)
