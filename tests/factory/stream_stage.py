"""``scoretrail stream run`` on a real broker: topics, a registry and a group of a test's own, and its processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs.services.port import free_port
from scoretrail.clock import SystemClock
from scoretrail.model.registry import Registry
from scoretrail.storage import Storage
from tests.factory import example
from tests.factory.services import Kafka
from tests.factory.workshop import MODEL_NAME

LIMIT_S = 90
PARTITIONS = 2


class StreamStage:
    """Topics, a registry and a group of a test's own, and the worker's processes."""

    def __init__(self, kafka: Kafka, folder: Path, registry: Path) -> None:
        self.kafka, self.folder, self.registry = kafka, folder, registry
        self.input, self.predictions = kafka.topic(PARTITIONS), kafka.topic(PARTITIONS)
        self.dead_letters = kafka.topic()
        self.group = f"g-{uuid.uuid4().hex[:8]}"
        self.port = free_port()
        self.sent = 0
        self.workers: list[subprocess.Popen[str]] = []

    def aliases(self) -> Registry:
        return Registry(Storage(str(self.registry)), SystemClock())

    def write(self, n: int, *more: bytes | None) -> None:
        """Send n good events, and values as they are."""
        from kafka import KafkaProducer

        rows = example.parcels(max(example.ROWS, self.sent + n)).slice(self.sent, n).to_pylist()
        values = [json.dumps({**row, "sent_at": f"{row['sent_at']:%Y-%m-%dT%H:%M:%SZ}"}).encode() for row in rows]
        producer = KafkaProducer(bootstrap_servers=self.kafka.bootstrap, linger_ms=5)
        for value in (*values, *more):
            producer.send(self.input, key=uuid.uuid4().bytes, value=value)
        producer.flush(30)
        producer.close()
        self.sent += n + len(more)

    def run(self, *more: str) -> subprocess.Popen[str]:
        settings = {
            "registry.uri": str(self.registry),
            "stream.trail": str(self.folder / "trail"),
            "stream.health_port": str(self.port),
            "log.level": "info",
            "log.render": "json",
        }
        options = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
        named = ("--model", f"models:/{MODEL_NAME}@champion", "--slot", "0", "--group", self.group)
        topics = ("--input", self.input, "--predictions", self.predictions, "--dead-letters", self.dead_letters)
        place = ("--bootstrap", self.kafka.bootstrap, "--from", "earliest", "--json")
        command = [sys.executable, "-m", "jobs.cli", "stream", "run", *options, *named, *topics, *place, *more]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        log = (self.folder / "log.jsonl").open("a", encoding="utf-8")
        with log:
            worker = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=self.folder, env=environment
            )
        self.workers.append(worker)
        return worker

    def verify(self, *more: str) -> tuple[int, dict[str, Any]]:
        """Return the exit code of the command that holds outcomes against events, and what it found."""
        topics = ("--input", self.input, "--predictions", self.predictions, "--dead-letters", self.dead_letters)
        command = [sys.executable, "-m", "jobs.cli", "--json", "stream", "verify", "--all", "--group", self.group]
        command += ["--bootstrap", self.kafka.bootstrap, *topics, *more]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder, env=environment)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def ask(self, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def until(self, holds: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + LIMIT_S
        while not holds():
            log = (self.folder / "log.jsonl").read_text(encoding="utf-8")
            assert self.workers[-1].poll() is None, log[-3000:]
            assert time.monotonic() < end, f"{what}: {log[-3000:]}"
            time.sleep(0.05)

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = (self.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        return [entry for entry in entries if entry["event"] == event]

    def outcomes(self) -> list[dict[str, Any]]:
        return [json.loads(record.value) for record in self.kafka.read(self.predictions)]

    def settled(self) -> int:
        return len(self.outcomes()) + len(self.kafka.read(self.dead_letters))

    def end(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait(10)
            if worker.stdout:
                worker.stdout.close()
