"""`scoretrail stream run` on a real broker: it scores, drains, switches models and answers about its health."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.factory.registered import Registered
from tests.factory.services import Kafka
from tests.factory.stream_stage import LIMIT_S, PARTITIONS, StreamStage
from tests.factory.workshop import MODEL_NAME, make_registry


@pytest.fixture
def stage(
    kafka: Kafka, tmp_path: Path, registered_linear: Registered, registered_trees: Registered
) -> Iterator[StreamStage]:
    registry = make_registry(tmp_path / "registry", registered_linear, registered_trees)
    found = StreamStage(kafka, tmp_path, registry)
    yield found
    found.end()


def test_it_scores_refuses_drains_and_goes_on(stage: StreamStage) -> None:
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


def test_what_was_published_is_verified_and_a_forged_copy_is_found(stage: StreamStage) -> None:
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
    textfiles = stage.folder / "textfiles"
    textfiles.mkdir()
    told = (f"metrics.textfile_folder={textfiles}", f"registry.uri={stage.registry}")
    code, found = stage.verify("--model", f"models:/{MODEL_NAME}@champion", "--set", told[0], "--set", told[1])
    assert (code, found["faults"]) == (3, {"a second first outcome": 1})
    (file,) = textfiles.iterdir()
    assert re.search(
        rf'scoretrail_verify_faults{{model="parcel",output="{stage.predictions}",owner=".+",role="champion"}} 1.0',
        file.read_text(encoding="utf-8"),
    )


def test_a_drain_under_load_loses_and_doubles_nothing(stage: StreamStage) -> None:
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


def test_an_alias_switches_between_transactions_and_leaves_its_trail(stage: StreamStage) -> None:
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


def test_a_rollback_to_a_model_that_was_loaded_takes_a_second_at_most(stage: StreamStage) -> None:
    """From the command to the first event that it scores, with the default interval between looks at the registry."""
    stage.write(5)
    stage.run()
    stage.until(lambda: stage.settled() == 5, "not all are settled")
    took = []
    for version in ("1.1.0", "1.0.0", "1.1.0", "1.0.0"):
        record = stage.aliases().move_alias(MODEL_NAME, "champion", version)
        moved = datetime.now(UTC)
        while not stage.logged("model_switched") or stage.logged("model_switched")[-1]["alias_no"] != record.number:
            stage.write(1)
            assert (datetime.now(UTC) - moved).total_seconds() < LIMIT_S
        at = datetime.fromisoformat(stage.logged("model_switched")[-1]["timestamp"])
        took.append((at - moved).total_seconds())
    assert max(took[1:]) <= 1, took  # the first one had to be loaded


def test_a_record_on_the_control_topic_wakes_a_worker_that_seldom_looks(stage: StreamStage) -> None:
    from kafka import KafkaProducer

    control = stage.kafka.topic()
    stage.write(5)
    stage.run("--set", f"stream.control={control}", "--set", "stream.registry_poll_s=600")
    stage.until(lambda: stage.settled() == 5, "not all are settled")
    record = stage.aliases().move_alias(MODEL_NAME, "champion", "1.1.0")
    time.sleep(2)
    stage.write(1)
    stage.until(lambda: stage.settled() == 6, "not all are settled")
    assert not [one for one in stage.logged("model_loaded") if one["alias_no"] == record.number], "nobody rang yet"
    producer = KafkaProducer(bootstrap_servers=stage.kafka.bootstrap)
    producer.send(control, b"look").get(30)
    producer.close()
    stage.until(lambda: any(one["alias_no"] == record.number for one in stage.logged("model_loaded")), "not woken")


def test_a_group_that_has_committed_nothing_cannot_be_verified(stage: StreamStage) -> None:
    stage.write(1)
    code, said = stage.verify()
    assert (code, "committed nothing" in json.dumps(said)) == (78, True)


def test_a_restart_with_an_older_alias_waits_for_the_newer_one(stage: StreamStage) -> None:
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


def test_a_topic_that_is_not_there_is_named(stage: StreamStage) -> None:
    stage.predictions = "nowhere"
    worker = stage.run()
    assert worker.wait(LIMIT_S) == 78
    assert "there is no topic 'nowhere'" in (stage.folder / "log.jsonl").read_text(encoding="utf-8")


def test_preflight_names_what_it_saw(stage: StreamStage) -> None:
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
