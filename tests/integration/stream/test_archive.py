"""The archive of a real topic: killed anywhere, raced, made again when the topic is gone; each prediction one row."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoretrail.table import OutputTable
from tests.factory.archive_stage import LIMIT_S, MODEL, PARTITIONS, ArchiveStage
from tests.factory.registered import Registered
from tests.factory.services import Kafka
from tests.factory.workshop import make_registry


@pytest.fixture
def stage(
    kafka: Kafka, tmp_path: Path, registered_linear: Registered, registered_trees: Registered
) -> Iterator[ArchiveStage]:
    registry = make_registry(tmp_path / "registry", registered_linear, registered_trees)
    found = ArchiveStage(kafka, tmp_path, registry)
    yield found
    found.end()


def test_archived_erased_and_made_again_after_the_topic_is_gone(stage: ArchiveStage) -> None:
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
    for engine in ("auto", "onnxruntime"):
        told = stage.command("stream", "reproduce", "--engine", engine)
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
def test_killed_between_two_steps_no_row_is_lost_or_doubled(stage: ArchiveStage, step: str, times: int) -> None:
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


def test_two_archivers_at_once(stage: ArchiveStage) -> None:
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


def test_a_topic_made_anew_under_its_name_is_another_one(stage: ArchiveStage) -> None:
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


def test_retention_that_was_faster_is_named(stage: ArchiveStage) -> None:
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
