"""What is written down of a worker's start and of each switch."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from jobs.stream.port import Partition
from jobs.stream.serving.run import RunWriter
from scoretrail import digest, log
from scoretrail.config import load
from scoretrail.errors import StorageError
from scoretrail.model.engine import REFERENCE
from scoretrail.storage import Storage
from tests.factory.bare import NOW, bare_manifest


def served_of(alias_no: int = 1) -> Any:
    resolved = SimpleNamespace(
        uri="models:/parcel-linear@champion",
        location="registry/parcel-linear/1.0.0",
        role="champion",
        manifest=bare_manifest(),
        digest="0" * 64,
    )
    bundle = SimpleNamespace(digest=resolved.digest, repeats_bits=True, engine=REFERENCE)
    return SimpleNamespace(alias_no=alias_no, resolved=resolved, bundle=bundle, pinned={})


@pytest.fixture
def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunWriter:
    monkeypatch.setenv("SCORETRAIL__KAFKA__PASSWORD", "hunter2")
    resolved = load({"stream.group": "late"}, folder=tmp_path)
    return RunWriter(Storage(str(tmp_path / "trail")), resolved, "scoretrail-late-0", "scoretrail stream run", NOW)


def written(tmp_path: Path) -> dict[str, dict[str, Any]]:
    runs = [json.loads(path.read_bytes()) for path in (tmp_path / "trail").glob("*/run.json")]
    return {run["reason"]: run for run in runs}


def test_a_start_and_a_switch_are_written_and_belong_together(writer: RunWriter, tmp_path: Path) -> None:
    writer.started(served_of(1))
    writer.switched(served_of(2), {Partition("events", 1): 40, Partition("events", 0): 7})
    runs = written(tmp_path)
    assert runs["switch"]["process"] == runs["start"]["process"] == runs["start"]["run_id"]
    assert runs["switch"]["offsets"] == {"events/0": 7, "events/1": 40}
    assert (runs["start"]["model"]["alias_no"], runs["switch"]["model"]["alias_no"]) == (1, 2)
    assert runs["start"]["model"]["role"] == "champion"
    assert runs["start"]["started_at"] == "2013-12-01T12:00:00.000000Z"
    assert runs["start"]["settings_sha256"] == digest.of_json(runs["start"]["settings"])


def test_no_secret_is_written(writer: RunWriter, tmp_path: Path) -> None:
    writer.started(served_of())
    (text,) = [path.read_text(encoding="utf-8") for path in (tmp_path / "trail").glob("*/run.json")]
    assert "hunter2" not in text


def test_a_record_that_cannot_be_written_stops_nothing(writer: RunWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StorageError("away")

    monkeypatch.setattr(Storage, "put_new", fail)
    with capture_logs() as logs:
        writer.started(served_of())
    assert [entry["event"] for entry in logs] == [log.TRAIL_WRITE_FAILED]
