"""`scoretrail stream shadow` beside a champion on a real broker: it compares, it skips, and it disturbs nobody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.services.port import free_port
from tests.factory.registered import Registered
from tests.factory.services import Kafka, read_committed
from tests.factory.stream_stage import LIMIT_S, StreamStage
from tests.factory.workshop import CHALLENGER, CHAMPION, make_registry

ROOT = Path(__file__).parents[3]


class Shadowed(StreamStage):
    """A stage with a challenger beside the champion."""

    def __init__(self, kafka: Kafka, folder: Path, registry: Path) -> None:
        super().__init__(kafka, folder, registry)
        self.own, self.own_dead_letters = kafka.topic(2), kafka.topic()
        self.report = folder / "comparison.jsonl"
        self.shadow_port = free_port()
        self.shadow_log = folder / "shadow.jsonl"

    def shadow(self, **more: Any) -> subprocess.Popen[str]:
        settings = {
            "registry.uri": str(self.registry),
            "stream.model": CHAMPION,
            "stream.group": self.group,
            "stream.input": json.dumps([self.input]),
            "stream.predictions": self.predictions,
            "stream.dead_letters": self.dead_letters,
            "stream.trail": str(self.folder / "shadow-trail"),
            "kafka.bootstrap": json.dumps([self.kafka.bootstrap]),
            "challenger.predictions": self.own,
            "challenger.dead_letters": self.own_dead_letters,
            "challenger.health_port": str(self.shadow_port),
            "challenger.window_s": "1",
            "log.level": "info",
            "log.render": "json",
            **{name.replace("__", "."): str(value) for name, value in more.items()},
        }
        options = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
        named = ("--model", CHALLENGER, "--slot", "0", "--from", "earliest", "--report", str(self.report), "--json")
        with self.shadow_log.open("a", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "jobs.cli", "stream", "shadow", *options, *named],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        self.workers.insert(0, process)
        return process

    def reports(self) -> list[dict[str, Any]]:
        lines = self.report.read_text(encoding="utf-8").splitlines() if self.report.exists() else []
        return [json.loads(line) for line in lines]

    def compared(self) -> int:
        return sum(one["pairs"] for report in self.reports() for one in report["comparisons"] if not one["segment"])

    def said(self, event: str) -> list[dict[str, Any]]:
        lines = self.shadow_log.read_text(encoding="utf-8").splitlines() if self.shadow_log.exists() else []
        return [entry for line in lines if line.startswith("{") and (entry := json.loads(line))["event"] == event]

    def by_place(self, topic: str) -> dict[tuple[int, int], dict[str, Any]]:
        values = [json.loads(record.value) for record in read_committed(self.kafka.bootstrap, topic)]
        places = [(one["trail"]["source"]["partition"], one["trail"]["source"]["offset"]) for one in values]
        assert len(set(places)) == len(places), "some twice"
        return dict(zip(places, values, strict=True))

    def metric(self, name: str) -> float:
        import urllib.request

        with urllib.request.urlopen(f"http://127.0.0.1:{self.shadow_port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        (line,) = (line for line in lines if line.startswith(f"scoretrail_stream_{name} "))
        return float(line.rpartition(" ")[2])


@pytest.fixture
def stage(
    kafka: Kafka, tmp_path: Path, registered_linear: Registered, registered_trees: Registered
) -> Iterator[Shadowed]:
    registry = make_registry(tmp_path / "registry", registered_linear, registered_trees)
    found = Shadowed(kafka, tmp_path, registry)
    yield found
    found.end()


def test_it_scores_the_recorded_vectors_and_compares_and_drains(stage: Shadowed) -> None:
    stage.write(200, b"{")
    stage.run()
    shadow = stage.shadow(challenger__segment="distance_km")
    stage.until(lambda: len(read_committed(stage.kafka.bootstrap, stage.own)) == 200, "it does not score")
    stage.until(lambda: stage.compared() == 200, "it does not compare")
    ours, theirs = stage.by_place(stage.own), stage.by_place(stage.predictions)
    assert ours.keys() == theirs.keys()
    for place, one in ours.items():
        assert one["inputs"] == theirs[place]["inputs"]
        assert one["trail"]["event_sha256"] == theirs[place]["trail"]["event_sha256"]
        assert (one["trail"]["role"], one["trail"]["version"]) == ("challenger", "2.0.0")
    agreeing = sum(ours[place]["decision"] == theirs[place]["decision"] for place in ours)
    report = [one for each in stage.reports() for one in each["comparisons"]]
    overall = [one for one in report if one["segment"] is None]
    assert sum(one["agreement"] * one["pairs"] for one in overall) == pytest.approx(agreeing)
    distances = [abs(ours[place]["score"] - theirs[place]["score"]) for place in ours]
    assert max(one["distance"]["max"] for one in overall) == max(distances)
    assert sum(one["pairs"] for one in report if one["segment"] is not None) == 200
    assert all(each["pinned"] for each in stage.reports())
    assert stage.metric("challenger_pairs_total") == 200
    shadow.send_signal(signal.SIGTERM)
    out, _ = shadow.communicate(timeout=LIMIT_S)
    assert shadow.returncode == 0
    assert json.loads(out)["events"] == 200
    logged = [one for entry in stage.said("challenger_compared") for one in entry["comparisons"]]
    assert logged
    assert all(one["segment"] is None for one in logged)  # a segment is a value of an event


def test_a_challenger_that_freezes_or_dies_in_its_transaction_neither_delays_nor_aborts_the_champion(
    stage: Shadowed,
) -> None:
    stage.write(100)
    stage.run()
    shadow = stage.shadow(stream__batch_records=5)
    stage.until(lambda: len(read_committed(stage.kafka.bootstrap, stage.own)) > 10, "it does not score")
    shadow.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    stage.write(300)
    stage.until(lambda: stage.settled() == 400, "the champion waits")
    assert time.monotonic() - began < 30
    shadow.kill()
    shadow.communicate(timeout=10)
    stage.write(100)
    stage.until(lambda: stage.settled() == 500, "the champion waits")
    moved = stage.logged("partitions_moved")
    assert len(moved) == 1, "the champion's group was rebalanced"
    assert not [one for one in stage.logged("transaction") if one["outcome"] != "committed"]
    assert b'turns_total{outcome="aborted"}' not in stage.ask("/metrics")[1]
    stage.shadow()
    stage.until(lambda: len(read_committed(stage.kafka.bootstrap, stage.own)) == 500, "it does not go on")
    assert len(stage.by_place(stage.own)) == 500


def test_one_that_lags_too_far_behind_skips_and_says_so_and_goes_on(stage: Shadowed) -> None:
    stage.write(600)
    stage.run()
    stage.until(lambda: stage.settled() == 600, "not all are settled")
    stage.shadow(challenger__max_lag_records=50, stream__batch_records=1, stream__batch_ms=0)
    stage.until(lambda: bool(stage.said("challenger_skipped")), "it does not skip")
    before = len(read_committed(stage.kafka.bootstrap, stage.own))
    assert before < 600
    stage.write(20)
    stage.until(lambda: stage.settled() == 620, "not all are settled")
    fresh = stage.by_place(stage.predictions).keys()
    stage.until(lambda: len(stage.by_place(stage.own)) >= before + 20, "it does not go on")
    assert stage.by_place(stage.own).keys() < fresh
    stage.until(lambda: stage.metric("challenger_skipped_total") == _skipped(stage) > 50, "it is not counted")
    assert sum(report["skipped"] for report in stage.reports()) == _skipped(stage)


def _skipped(stage: Shadowed) -> int:
    return sum(int(one["offsets"]) for one in stage.said("challenger_skipped"))


def test_it_reads_the_events_itself_and_says_so(stage: Shadowed) -> None:
    stage.write(50)
    stage.run()
    stage.until(lambda: stage.settled() == 50, "not all are settled")
    stage.shadow(challenger__source="events", challenger__segment="parcel_id")
    stage.until(lambda: len(read_committed(stage.kafka.bootstrap, stage.own)) == 50, "it does not score")
    stage.write(100, b"{")
    stage.until(lambda: stage.compared() >= 100, "it does not compare")
    assert {report["pinned"] for report in stage.reports()} == {False}
    assert len(stage.by_place(stage.own)) == 150
    assert len(read_committed(stage.kafka.bootstrap, stage.own_dead_letters)) == 1
