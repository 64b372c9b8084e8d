"""Redrive on a real broker: back into the stream and scored as a further outcome; killed or raced, each once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.services.topics import create_topics
from jobs.stream.handling.handler import Handler
from jobs.stream.handling.lookup import Lookup, StorePolicy
from jobs.stream.kafka.cluster import KafkaCluster
from jobs.stream.message.identity import Identity, Topics
from jobs.stream.message.redrive_header import REDRIVE, redrive_topic
from jobs.stream.record import Record
from scoretrail.setting import KafkaSettings
from tests.factory.registered import Registered
from tests.factory.services import Kafka
from tests.factory.stream_stage import StreamStage
from tests.factory.streamed import numbers
from tests.factory.workshop import make_registry

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("redrive_program.py")
LIMIT_S = 90
LETTERS = 5_000
QUICK = {"delivery_s": 1.5, "transaction_s": 2, "watchdog_s": 3, "max_poll_interval_s": 4}


class Redrives(StreamStage):
    """A worker's stage with a redrive topic."""

    def __init__(self, kafka: Kafka, folder: Path, registry: Path) -> None:
        super().__init__(kafka, folder, registry)
        self.redriven = redrive_topic(self.input)
        create_topics([kafka.bootstrap], {self.redriven: 2})

    def send(self, *values: bytes, **headers: bytes) -> None:
        from kafka import KafkaProducer

        producer = KafkaProducer(bootstrap_servers=self.kafka.bootstrap)
        for value in values:
            producer.send(self.input, key=uuid.uuid4().bytes, value=value, headers=list(headers.items()))
        producer.flush(30)
        producer.close()
        self.sent += len(values)

    def redrive(self, *more: str, code: int = 0) -> dict[str, Any]:
        places = ("--bootstrap", self.kafka.bootstrap, "--input", self.input, "--dead-letters", self.dead_letters)
        run = subprocess.run(
            [sys.executable, "-m", "jobs.cli", "stream", "redrive", *places, "--json", *more],
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert run.returncode == code, run.stderr[-3000:]
        return dict(json.loads(run.stdout))

    def drain(self) -> None:
        worker = self.workers[-1]
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(LIMIT_S) == 0

    def trails(self) -> list[dict[str, Any]]:
        letters = [dict(record.headers) for record in self.kafka.read(self.dead_letters)]
        refused = [json.loads(headers["scoretrail-dead-letter"] or b"") for headers in letters]
        return [*(one["trail"] for one in self.outcomes()), *refused]


@pytest.fixture
def stage(
    kafka: Kafka, tmp_path: Path, registered_linear: Registered, registered_trees: Registered
) -> Iterator[Redrives]:
    registry = make_registry(tmp_path / "registry", registered_linear, registered_trees)
    found = Redrives(kafka, tmp_path, registry)
    yield found
    found.end()


def test_what_was_refused_is_scored_again_as_its_next_outcome(stage: Redrives) -> None:
    stage.write(20)
    good = stage.kafka.read(stage.input)[0].value
    stage.send(good, good, good, scoretrail_model_version=b"1.1.0", traceparent=b"x")
    stage.send(b"{", b"[]")
    stage.run("--set", "stream.redrive=true")
    stage.until(lambda: stage.settled() == 25, "not all are settled")
    stage.drain()

    told = stage.redrive("--dry-run")
    assert (told["seen"], told["redriven"]) == (5, 5)
    assert told["reasons"] == {"model_version_not_allowed": 3, "not_json": 1, "wrong_type": 1}
    assert stage.kafka.read(stage.redriven) == []
    told = stage.redrive("--reason", "model_version_not_allowed")
    assert (told["redriven"], told["left_out"]) == (3, 2)
    redriven = stage.kafka.read(stage.redriven)
    assert [record.value for record in redriven] == [good] * 3
    assert [[name for name, _ in record.headers] for record in redriven] == [
        ["scoretrail_model_version", "traceparent", REDRIVE]
    ] * 3

    stage.run("--set", "stream.redrive=true", "--set", 'stream.allowed_versions=["1.1.0"]')
    stage.until(lambda: stage.settled() == 28, "what was redriven is not settled")
    again = [one["trail"] for one in stage.outcomes() if one["trail"]["outcome"] == 1]
    assert [one["version"] for one in again] == ["1.1.0"] * 3
    assert {one["source"]["topic"] for one in again} == {stage.input}
    told = stage.redrive()
    assert (told["redriven"], told["already"]) == (2, 3)
    stage.until(lambda: stage.settled() == 30, "what was redriven is not settled")
    told = stage.redrive("--dry-run")
    assert (told["redriven"], told["already"]) == (2, 5)  # the two are refused again, and may come a third time
    places = Counter((json.dumps(one["source"], sort_keys=True), one["outcome"]) for one in stage.trails())
    assert (len(places), set(places.values())) == (30, {1})


class Letters:
    """Many dead letters of a topic, and redrives in processes of their own."""

    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka
        self.input, self.dead_letters = kafka.topic(), kafka.topic()
        self.redriven = redrive_topic(self.input)
        create_topics([kafka.bootstrap], {self.redriven: 3})
        self.running: list[subprocess.Popen[str]] = []

    def write(self) -> None:
        from kafka import KafkaProducer

        settings = KafkaSettings(bootstrap=(self.kafka.bootstrap,))
        with KafkaCluster(settings) as cluster:
            identity = Identity(app="parcels", cluster=cluster.id())
        topics = Topics(predictions="none", dead_letters=self.dead_letters)
        handler = Handler(numbers(), Lookup(None, StorePolicy.PAUSE), topics, identity)
        events = [Record(self.input, 0, i, 0, b"%d" % i, b"{") for i in range(LETTERS)]
        producer = KafkaProducer(bootstrap_servers=self.kafka.bootstrap, linger_ms=5)
        for message in handler.handle(events):
            head = [(name, value or b"") for name, value in message.headers]
            producer.send(message.topic, key=message.key, value=message.value, headers=head)
        producer.flush(60)
        producer.close()

    def start(self, **plan: Any) -> subprocess.Popen[str]:
        places = {"bootstrap": self.kafka.bootstrap, "input": self.input, "dead_letters": self.dead_letters}
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), json.dumps({**places, "kafka": QUICK, **plan})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.running.append(process)
        return process

    def run(self) -> dict[str, Any]:
        process = self.start()
        out, told = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, told[-3000:]
        return dict(json.loads(out.splitlines()[-1]))

    def keys(self) -> list[bytes]:
        return [record.key for record in self.kafka.read(self.redriven)]

    def end(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=10)


@pytest.fixture
def letters(kafka: Kafka) -> Iterator[Letters]:
    found = Letters(kafka)
    found.write()
    yield found
    found.end()


@pytest.mark.parametrize("step", ["sent", "checked", "committed"])
def test_killed_between_two_steps_and_started_again_each_goes_once(letters: Letters, step: str) -> None:
    killed = letters.start(fault="kill", step=step, times=2)
    _, told = killed.communicate(timeout=LIMIT_S)
    assert killed.returncode == -signal.SIGKILL, told
    assert len(letters.keys()) < LETTERS  # it was killed on its way
    again = letters.run()
    assert again["already"] + again["redriven"] == LETTERS
    assert again["already"] > 0
    keys = letters.keys()
    assert (len(keys), len(set(keys))) == (LETTERS, LETTERS)


def test_of_two_at_once_the_older_one_is_fenced(letters: Letters) -> None:
    patient = {"transaction_s": 60, "watchdog_s": 61, "max_poll_interval_s": 62}
    older = letters.start(fault="wait", step="sent", times=2, kafka=patient)
    assert older.stdout is not None
    assert json.loads(older.stdout.readline()) == {"fault": "sent"}
    newer = letters.run()
    assert newer["already"] + newer["redriven"] == LETTERS
    _, told = older.communicate("\n", timeout=LIMIT_S)
    assert older.returncode == 75, told
    assert "FencedError" in told
    keys = letters.keys()
    assert (len(keys), len(set(keys))) == (LETTERS, LETTERS)


def test_a_redrive_topic_that_is_not_there_is_named(stage: Redrives) -> None:
    stage.input = stage.kafka.topic()
    told = stage.redrive(code=78)
    assert f"there is no topic '{stage.input}.redrive'" in told["error"]["what"]
