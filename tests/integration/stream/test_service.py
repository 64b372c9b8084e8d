"""`scoretrail stream run` on a real broker: it scores, drains, switches models and answers about its health."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.services.port import free_port
from scoretrail.clock import SystemClock
from scoretrail.model.registry import Registry
from scoretrail.storage import Storage
from tests.factory import example
from tests.factory.registered import Registered
from tests.factory.services import Kafka
from tests.factory.workshop import MODEL_NAME, make_registry

LIMIT_S = 90
PARTITIONS = 2


class Stage:
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
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        log = (self.folder / "log.jsonl").open("a", encoding="utf-8")
        with log:
            worker = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=self.folder, env=environment
            )
        self.workers.append(worker)
        return worker

    def verify(self) -> tuple[int, dict[str, Any]]:
        """Return the exit code of the command that holds outcomes against events, and what it found."""
        topics = ("--input", self.input, "--predictions", self.predictions, "--dead-letters", self.dead_letters)
        command = [sys.executable, "-m", "jobs.cli", "--json", "stream", "verify", "--all", "--group", self.group]
        command += ["--bootstrap", self.kafka.bootstrap, *topics]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
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


@pytest.fixture
def stage(kafka: Kafka, tmp_path: Path, registered_linear: Registered, registered_trees: Registered) -> Iterator[Stage]:
    registry = make_registry(tmp_path / "registry", registered_linear, registered_trees)
    found = Stage(kafka, tmp_path, registry)
    yield found
    found.end()


def test_it_scores_refuses_drains_and_goes_on(stage: Stage) -> None:
    stage.write(100, b"{", b"[]", None)
    worker = stage.run()
    stage.until(lambda: stage.settled() == 103, "not all are settled")
    assert len(stage.outcomes()) == 100
    assert (stage.ask("/livez")[0], stage.ask("/readyz")[0], stage.ask("/nowhere")[0]) == (200, 200, 404)
    assert json.loads(stage.ask("/version")[1])["version"] == "1.0.0"
    assert b"scoretrail_stream_events_total 103.0" in stage.ask("/metrics")[1]
    worker.send_signal(signal.SIGTERM)
    out, _ = worker.communicate(timeout=LIMIT_S)
    assert worker.returncode == 0
    assert json.loads(out)["events"] == 103
    stage.write(50)
    stage.run()
    stage.until(lambda: stage.settled() == 153, "it does not go on")
    places = Counter(json.dumps(one["trail"]["source"], sort_keys=True) for one in stage.outcomes())
    assert set(places.values()) == {1}


def test_what_was_published_is_verified_and_a_forged_copy_is_found(stage: Stage) -> None:
    from kafka import KafkaProducer

    stage.write(60, b"{", None)
    stage.run()
    stage.until(lambda: stage.settled() == 62, "not all are settled")
    code, found = stage.verify()
    assert (code, found["events"], found["predictions"], found["dead_letters"]) == (0, 62, 60, 2)
    assert (found["faults"], found["before"], found["foreign"]) == ({}, 0, 0)
    forged = stage.kafka.read(stage.predictions)[7]
    producer = KafkaProducer(bootstrap_servers=stage.kafka.bootstrap)
    producer.send(stage.predictions, key=forged.key, value=forged.value, headers=forged.headers).get(30)
    producer.close()
    code, found = stage.verify()
    assert (code, found["faults"]) == (3, {"a second first outcome": 1})


def test_a_drain_under_load_loses_and_doubles_nothing(stage: Stage) -> None:
    stage.write(2000)
    worker = stage.run("--set", "stream.batch_records=50")
    stage.until(lambda: bool(stage.outcomes()), "nothing is scored")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(LIMIT_S) == 0
    done = stage.settled()
    stage.run()
    stage.until(lambda: stage.settled() >= 2000, "it does not go on")
    places = Counter(json.dumps(one["trail"]["source"], sort_keys=True) for one in stage.outcomes())
    assert (len(places), set(places.values())) == (2000, {1})
    assert done <= 2000


def test_an_alias_switches_between_transactions_and_leaves_its_trail(stage: Stage) -> None:
    stage.write(20)
    stage.run("--set", "stream.registry_poll_s=0.1")
    stage.until(lambda: stage.settled() == 20, "not all are settled")
    record = stage.aliases().move_alias(MODEL_NAME, "champion", "1.1.0")
    began = time.monotonic()
    while not stage.logged("model_switched") or stage.logged("model_switched")[-1]["alias_no"] != record.number:
        stage.write(1)
        assert time.monotonic() - began < LIMIT_S
    stage.until(lambda: stage.settled() == stage.sent, "not all are settled")
    by_partition: dict[int, list[tuple[int, str]]] = {}
    for one in stage.outcomes():
        source = one["trail"]["source"]
        by_partition.setdefault(source["partition"], []).append((source["offset"], one["trail"]["version"]))
    for scored in by_partition.values():
        versions = [version for _, version in sorted(scored)]
        assert versions == sorted(versions)  # once the newer one, never the older one again
    assert {version for scored in by_partition.values() for _, version in scored} == {"1.0.0", "1.1.0"}
    stage.until(lambda: len(list((stage.folder / "trail").glob("*/run.json"))) == 2, "no record of the switch")
    runs = [json.loads(path.read_bytes()) for path in (stage.folder / "trail").glob("*/run.json")]
    assert {(run["reason"], run["model"]["version"]) for run in runs} == {("start", "1.0.0"), ("switch", "1.1.0")}
    assert json.loads(stage.ask("/version")[1])["alias_no"] == record.number


def test_a_restart_with_an_older_alias_waits_for_the_newer_one(stage: Stage) -> None:
    stage.write(20)
    stage.aliases().move_alias(MODEL_NAME, "champion", "1.1.0")
    worker = stage.run()
    stage.until(lambda: stage.settled() == 20, "not all are settled")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(LIMIT_S) == 0
    newest = max((stage.registry / MODEL_NAME / "aliases").iterdir())
    kept = newest.read_bytes()
    newest.unlink()  # a replica of the registry that is behind
    stage.write(20)
    stage.run("--set", "stream.registry_poll_s=0.1")
    stage.until(lambda: bool(stage.logged("partitions_held")), "no partition is held")
    time.sleep(0.5)
    assert stage.settled() == 20
    newest.write_bytes(kept)
    stage.until(lambda: stage.settled() == 40, "it does not go on")
    assert {one["trail"]["version"] for one in stage.outcomes()} == {"1.1.0"}


def test_a_topic_that_is_not_there_is_named(stage: Stage) -> None:
    stage.predictions = "nowhere"
    worker = stage.run()
    assert worker.wait(LIMIT_S) == 78
    assert "there is no topic 'nowhere'" in (stage.folder / "log.jsonl").read_text(encoding="utf-8")


def test_preflight_names_what_it_saw(stage: Stage) -> None:
    command = [sys.executable, "-m", "jobs.cli", "stream", "preflight", "--json"]
    settings = {
        "kafka.bootstrap": json.dumps([stage.kafka.bootstrap]),
        "stream.input": json.dumps([stage.input]),
        "stream.predictions": stage.predictions,
        "stream.dead_letters": "nowhere",
    }
    options = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    run = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, env=environment, cwd=stage.folder
    )
    assert run.returncode == 78, run.stderr
    seen = {one["name"]: one for one in json.loads(run.stdout)["seen"]}
    assert seen[f"tcp {stage.kafka.bootstrap}"]["ok"]
    assert seen["login"]["ok"]
    assert seen[f"topic {stage.input}"]["text"] == f"{PARTITIONS} partitions"
    assert not seen["topic nowhere"]["ok"]
