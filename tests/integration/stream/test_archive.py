"""The archive of a real topic: killed anywhere, raced, made again when the topic is gone; each prediction one row."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.stream.handler import Handler
from jobs.stream.identity import Identity, Topics
from jobs.stream.lookup import Lookup, StorePolicy
from jobs.stream.record import Message, Record
from scoretrail.clock import SystemClock
from scoretrail.model.bundle import open_bundle
from scoretrail.model.registry import Registry
from scoretrail.storage import Storage
from scoretrail.table import OutputTable
from tests.factory import example
from tests.factory.registered import Registered
from tests.factory.services import Kafka
from tests.factory.workshop import MODEL_NAME, make_registry

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("archive_program.py")
MODEL = f"models:/{MODEL_NAME}@champion"
LIMIT_S = 120
PARTITIONS = 3


class Stage:
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
            [sys.executable, str(PROGRAM), json.dumps(plan)],
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


@pytest.fixture
def stage(kafka: Kafka, tmp_path: Path, registered_linear: Registered, registered_trees: Registered) -> Iterator[Stage]:
    registry = make_registry(tmp_path / "registry", registered_linear, registered_trees)
    found = Stage(kafka, tmp_path, registry)
    yield found
    found.end()


def test_archived_erased_and_made_again_after_the_topic_is_gone(stage: Stage) -> None:
    from kafka import KafkaAdminClient

    messages = stage.predictions(300)
    stage.write(messages)
    told = stage.command("stream", "archive", "--model", MODEL, "--once")
    assert (told["rows"], told["passed_over"]) == (300, 0)
    stage.assert_each_once()
    scores = {json.loads(one.value or b"")["entity_key"]: json.loads(one.value or b"")["score"] for one in messages}
    assert {row["parcel_id"]: row["score"] for row in stage.rows()} == scores

    admin = KafkaAdminClient(bootstrap_servers=stage.kafka.bootstrap)
    admin.delete_topics([stage.topic])
    admin.close()
    told = stage.command("stream", "reproduce")
    assert (told["rows"], told["equal"], told["different"]) == (300, 300, 0)

    key = next(iter(scores))
    told = stage.command("erase", key, "--reason", "ticket 12", "--vacuum")
    assert told["tables"][0]["rows"] == 1
    assert key not in json.dumps(told)
    assert stage.command("stream", "reproduce")["equal"] == 299

    file = OutputTable(stage.table).live_files()[0].path
    path = Path(stage.table) / file
    table = pq.ParquetFile(path).read()
    at = table.schema.get_field_index("score")
    path.unlink()
    pq.write_table(table.set_column(at, "score", pa.array([0.5] * table.num_rows)), path)
    told = stage.command("stream", "reproduce", code=3)
    assert (told["different"], told["equal"]) == (table.num_rows, 299 - table.num_rows)


@pytest.mark.parametrize(("step", "times"), [("written", 2), ("committed", 2)])
def test_killed_between_two_steps_no_row_is_lost_or_doubled(stage: Stage, step: str, times: int) -> None:
    for _ in range(4):
        stage.write(stage.predictions(50))
    killed = stage.start(step=step, times=times, archive__commit_rows=1, once=False)
    deadline = time.monotonic() + LIMIT_S
    while killed.poll() is None:
        assert time.monotonic() < deadline
        stage.write(stage.predictions(20))
        time.sleep(0.2)
    assert killed.returncode == -signal.SIGKILL, killed.communicate()[1]
    stage.archive()
    stage.assert_each_once()
    assert stage.archive()["records"] == 0  # the table says that there is nothing left


def test_two_archivers_at_once(stage: Stage) -> None:
    stage.write(stage.predictions(200))
    both = [stage.start(archive__commit_s=0.1, once=False) for _ in range(2)]
    for one in both:
        assert one.stdout is not None
        assert one.stdout.readline()
    for _ in range(15):
        stage.write(stage.predictions(40))
        time.sleep(0.2)
    for one in both:
        one.send_signal(signal.SIGTERM)
    told = []
    for one in both:
        out, error = one.communicate(timeout=LIMIT_S)
        assert one.returncode == 0, error[-3000:]
        told.append(json.loads(out.splitlines()[-1]))
    assert sum(one["conflicts"] for one in told) > 0, "they never met"
    stage.archive()
    stage.assert_each_once()


def test_a_topic_made_anew_under_its_name_is_another_one(stage: Stage) -> None:
    from kafka import KafkaAdminClient

    from jobs.services.topics import create_topics

    stage.write(stage.predictions(30))
    assert stage.archive()["rows"] == 30
    admin = KafkaAdminClient(bootstrap_servers=stage.kafka.bootstrap)
    admin.delete_topics([stage.topic])
    admin.close()
    time.sleep(1)
    create_topics([stage.kafka.bootstrap], {stage.topic: PARTITIONS})
    stage.write(stage.predictions(12))
    assert stage.archive()["rows"] == 12
    assert len(stage.rows()) == 42


def test_retention_that_was_faster_is_named(stage: Stage) -> None:
    from kafka import KafkaAdminClient, TopicPartition

    stage.write(stage.predictions(30))
    assert stage.archive()["rows"] == 30
    stage.write(stage.predictions(30))
    admin = KafkaAdminClient(bootstrap_servers=stage.kafka.bootstrap)
    admin.delete_records({TopicPartition(stage.topic, number): -1 for number in range(PARTITIONS)}, timeout_ms=10_000)
    admin.close()
    process = stage.start()
    _, told = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 78
    assert "no longer there" in told
    assert f"{stage.topic}/0 from 20" in told
