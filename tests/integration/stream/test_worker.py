"""The loop on a real broker: killed between any two steps, rebalanced, fenced, stalled; each event once, or none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.factory.services import Kafka

PROGRAM = Path(__file__).with_name("program.py")
ROOT = Path(__file__).parents[3]
STEPS = ("polled", "begun", "sent", "flushed", "checked", "offsets", "committed")
PARTITIONS = 4
EVENTS = 200
LIMIT_S = 90
#: The shortest times that the broker allows: what is shown does not depend on them.
QUICK = {"delivery_s": 1.5, "transaction_s": 2, "watchdog_s": 3, "max_poll_interval_s": 4, "session_s": 6}


@dataclass
class Running:
    """A worker in a process of its own, and what it said."""

    process: subprocess.Popen[str]
    said: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                self.said.append(json.loads(line))

    def until(self, holds: Callable[[dict[str, Any]], bool], limit_s: float = LIMIT_S) -> dict[str, Any]:
        """Wait until the worker says something; return it."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            for one in self.said:
                if holds(one):
                    return one
            assert not self.process.poll(), f"it ended before: {self.said[-5:]}"
            time.sleep(0.02)
        raise AssertionError(f"not said within {limit_s} s: {self.said[-5:]}")

    def code(self, limit_s: float = LIMIT_S) -> int:
        """Wait until the worker ends; return its exit code."""
        code = self.process.wait(limit_s)
        self._thread.join(10)
        return code

    def outcomes(self) -> set[str]:
        return {one["outcome"] for one in self.said if "outcome" in one}


class Stage:
    """Topics and a group of a test's own, and workers that are ended with it."""

    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka
        self.input, self.output = kafka.topic(PARTITIONS), kafka.topic(PARTITIONS)
        self.group = f"g-{uuid.uuid4().hex[:8]}"
        self.sent: list[bytes] = []
        self.workers: list[Running] = []

    def write(self, n: int = EVENTS) -> None:
        from kafka import KafkaProducer

        producer = KafkaProducer(bootstrap_servers=self.kafka.bootstrap, linger_ms=5)
        values = [f"{len(self.sent) + i}".encode() for i in range(n)]
        for value in values:
            producer.send(self.input, key=value, value=value)
        producer.flush(30)
        producer.close()
        self.sent += values

    def work(self, **plan: Any) -> Running:
        asked = {"bootstrap": self.kafka.bootstrap, "group": self.group, "input": self.input, "output": self.output}
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), json.dumps({**asked, **plan})],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        worker = Running(process)
        self.workers.append(worker)
        return worker

    def seen(self) -> list[bytes]:
        """Return what a reader of committed records sees, in any order."""
        return [record.value for record in self.kafka.read(self.output)]

    def assert_each_once(self) -> None:
        seen = self.seen()
        assert len(seen) == len(set(seen)), "some twice"
        assert set(seen) == set(self.sent), f"{len(set(self.sent) - set(seen))} lost"

    def end(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.kill()
            worker.process.wait(10)
            worker._thread.join(10)
            if worker.process.stdout:
                worker.process.stdout.close()


@pytest.fixture
def stage(kafka: Kafka) -> Iterator[Stage]:
    found = Stage(kafka)
    yield found
    found.end()


def test_each_event_once(stage: Stage) -> None:
    stage.write()
    worker = stage.work()
    assert worker.code() == 0
    assert worker.outcomes() == {"committed"}
    stage.assert_each_once()


@pytest.mark.parametrize("step", STEPS)
def test_killed_between_any_two_steps_and_restarted_in_its_slot(stage: Stage, step: str) -> None:
    stage.write()
    killed = stage.work(fault="kill", step=step, times=3)
    assert killed.code() == -signal.SIGKILL
    assert {"fault": "kill", "step": step} in killed.said
    assert set(stage.seen()) < set(stage.sent)  # it was killed on its way
    assert stage.work().code() == 0
    stage.assert_each_once()


def test_killed_before_its_commit_and_not_restarted_another_slot_goes_on(stage: Stage) -> None:
    stage.write()
    killed = stage.work(slot="0", fault="kill", step="offsets", times=2, kafka=QUICK)
    assert killed.code() == -signal.SIGKILL
    other = stage.work(slot="1", kafka=QUICK, quits=False)
    began = time.monotonic()
    other.until(lambda said: said.get("outcome") == "committed")
    # The transaction that was left open blocks the partitions it wrote to until the broker aborts it.
    while set(stage.seen()) != set(stage.sent):
        assert time.monotonic() - began < LIMIT_S
        time.sleep(0.2)
    stage.assert_each_once()


def test_a_rebalance_under_load(stage: Stage) -> None:
    stage.write()
    first = stage.work(slot="0", quits=False, batch_records=5)
    first.until(lambda said: said.get("outcome") == "committed")
    second = stage.work(slot="1", quits=False, batch_records=5)
    for _ in range(10):
        stage.write(100)
        time.sleep(0.3)
    second.until(lambda said: said.get("outcome") == "committed")
    second.process.kill()
    stage.write(100)
    end = time.monotonic() + LIMIT_S
    while set(stage.seen()) != set(stage.sent):
        assert time.monotonic() < end, "the first worker does not take over"
        time.sleep(0.2)
    stage.assert_each_once()


def test_a_worker_that_was_put_out_of_its_group_joins_anew_before_a_heartbeat_tells_it(stage: Stage) -> None:
    from kafka import KafkaAdminClient
    from kafka.admin import MemberToRemove

    stage.write()
    worker = stage.work(quits=False, kafka={"session_s": 90})  # a heartbeat every 30 s
    worker.until(lambda said: said.get("outcome") == "committed")
    admin = KafkaAdminClient(bootstrap_servers=stage.kafka.bootstrap)
    (member,) = admin.describe_groups([stage.group])[stage.group]["members"]
    removed = admin.remove_group_members(stage.group, [MemberToRemove(group_instance_id=member["group_instance_id"])])
    admin.close()
    assert [error.__name__ for error in removed.values()] == ["NoError"]
    stage.write()
    began = time.monotonic()
    while set(stage.seen()) != set(stage.sent):
        assert time.monotonic() - began < 15, "it waits to be told"
        time.sleep(0.2)
    assert worker.process.poll() is None
    assert "aborted" in worker.outcomes()
    stage.assert_each_once()


def test_two_workers_in_one_slot_the_older_one_ends(stage: Stage) -> None:
    stage.write()
    older = stage.work(quits=False)
    older.until(lambda said: said.get("outcome") == "committed")
    newer = stage.work(quits=False)
    newer.until(lambda said: "joined" in said)
    stage.write()
    assert older.code() == 75
    assert older.said[-1]["error"] == "FencedError"
    end = time.monotonic() + LIMIT_S
    while set(stage.seen()) != set(stage.sent):
        assert time.monotonic() < end
        time.sleep(0.2)
    stage.assert_each_once()
    assert newer.process.poll() is None


def test_a_loop_that_stalls_beyond_the_poll_interval_commits_nothing_of_what_it_had(stage: Stage) -> None:
    stage.write(40)
    stalled = stage.work(slot="0", fault="stall", step="polled", times=2, stall_s=14, watched=False, kafka=QUICK)
    stalled.until(lambda said: "fault" in said)
    other = stage.work(slot="1", kafka=QUICK, quits=False)
    end = time.monotonic() + LIMIT_S
    while set(stage.seen()) != set(stage.sent):
        assert time.monotonic() < end
        time.sleep(0.2)
    assert other.process.poll() is None
    stalled.code()
    stage.assert_each_once()


def test_a_loop_that_stalls_in_a_transaction_is_ended_by_its_watchdog(stage: Stage) -> None:
    stage.write()
    stalled = stage.work(fault="stall", step="flushed", times=2, stall_s=60, kafka=QUICK)
    began = time.monotonic()
    assert stalled.code() == 75
    assert time.monotonic() - began < 30
    assert stage.work().code() == 0
    stage.assert_each_once()


def test_a_transaction_that_ran_into_its_time_limit_ends_the_worker(stage: Stage) -> None:
    stage.write()
    late = stage.work(fault="stall", step="flushed", times=2, stall_s=25, watched=False, kafka=QUICK)
    code = late.code()
    assert code in {0, 75}, late.said
    assert stage.work().code() == 0
    stage.assert_each_once()


def test_a_group_without_commits_is_not_guessed(stage: Stage) -> None:
    worker = stage.work(start=None)
    assert worker.code() == 78
    assert "--from earliest" in worker.said[-1]["text"]


def test_latest_takes_what_comes_from_then_on(stage: Stage) -> None:
    stage.write(20)
    worker = stage.work(start="latest", quits=False)
    worker.until(lambda said: "joined" in said)
    before = set(stage.sent)
    stage.write(20)
    worker.until(lambda said: said.get("outcome") == "committed")
    time.sleep(1)
    assert set(stage.seen()) == set(stage.sent) - before


def test_offsets_that_retention_removed_are_named(stage: Stage) -> None:
    from kafka import KafkaAdminClient, TopicPartition

    stage.write()
    assert stage.work().code() == 0
    stage.write()
    admin = KafkaAdminClient(bootstrap_servers=stage.kafka.bootstrap)
    ends = {TopicPartition(stage.input, number): -1 for number in range(PARTITIONS)}
    admin.delete_records(ends, timeout_ms=10_000)
    admin.close()
    worker = stage.work()
    assert worker.code() == 78
    said = worker.said[-1]
    assert said["error"] == "OffsetError"
    assert "no longer there" in said["text"]
    assert f"{stage.input}/0: " in said["text"]


def test_a_topic_that_does_not_exist_is_named(stage: Stage) -> None:
    stage.input = "nowhere"
    worker = stage.work()
    assert worker.code() == 78
    assert "there is no topic 'nowhere'" in worker.said[-1]["text"]


def test_brokers_that_do_not_answer_are_tried_again_later(stage: Stage) -> None:
    asked = {"bootstrap": "127.0.0.1:1", "kafka": {"bootstrap_s": 1}}
    worker = stage.work(**asked)
    assert worker.code() == 75
    assert worker.said[-1]["error"] == "BrokerError"
