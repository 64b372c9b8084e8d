"""A stream of readings whose model has a baseline, archived in a folder: windows, verdicts, revisions."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from jobs.archive.counting import WindowCounter
from jobs.archive.judgement import DayJudge, VerdictStore
from jobs.archive.window_table import WindowTable
from jobs.stream.handling.handler import Handler
from jobs.stream.handling.lookup import Lookup, StorePolicy
from jobs.stream.record import Record
from scoretrail import digest
from scoretrail.clock import FixedClock, utc_text
from scoretrail.config import DriftSettings
from scoretrail.model.manifest import FEATURES, GOLDEN, MODEL
from scoretrail.monitor.baseline import BASELINE, SAMPLE
from scoretrail.monitor.learning import of_table
from tests.factory.archived import Archive
from tests.factory.registered import open_registry
from tests.factory.streamed import IDENTITY, TOPICS
from tests.factory.watched import readings, reference, view_bytes, watched_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.archive.judgement import JudgedSpan
    from jobs.stream.record import Message
    from scoretrail.model.bundle import Bundle
    from scoretrail.model.registry import Registry

LATER = FixedClock(datetime(2014, 6, 1, tzinfo=UTC))
LATER_MS = 1_401_580_800_000
RETENTION_DAYS = 400
SETTINGS = DriftSettings(minimum_rows=100)


def publish(registry: Registry, version: str = "1.0.0", *, with_baseline: bool = True) -> Bundle:
    """Publish the watched bundle, unproven, and return it as it scores."""
    bundle = watched_bundle()
    files = {MODEL: b"a model", FEATURES: view_bytes(), GOLDEN: b"golden rows"}
    if with_baseline:
        files |= {BASELINE: reference().to_bytes(), SAMPLE: _sample()}
    hashes = {name: digest.of_bytes(data) for name, data in files.items()}
    manifest = bundle.manifest.model_copy(update={"name": "readings", "version": version, "view_name": "view"})
    manifest = manifest.model_copy(update={"files": hashes})
    return replace(bundle, manifest=manifest, digest=registry.publish(manifest, files))


@functools.cache
def _sample() -> bytes:
    return of_table(readings(2_000))(watched_bundle())[SAMPLE]


def predictions(bundle: Bundle, records: pa.Table) -> list[Message]:
    """Return what a worker publishes of records."""
    handler = Handler(bundle, Lookup(None, StorePolicy.PAUSE), TOPICS, IDENTITY, clock=LATER)
    events = [
        Record("events", 3, i, LATER_MS, b"k", json.dumps({**row, "at": utc_text(row["at"])}).encode())
        for i, row in enumerate(records.to_pylist())
    ]
    found = handler.handle(events)
    assert {message.topic for message in found} == {TOPICS.predictions}
    return found


@dataclass
class Windowed:
    """An archive, the registry of its model, and its windows."""

    folder: Path
    registry: Registry = field(init=False)
    bundle: Bundle = field(init=False)
    archive: Archive = field(init=False)

    def __post_init__(self) -> None:
        self.registry = open_registry(self.folder / "registry")
        self.bundle = publish(self.registry)
        self.archive = Archive(self.folder, self.bundle, self.registry)

    @property
    def counter(self) -> WindowCounter:
        return WindowCounter(self.registry, {})

    @property
    def windows(self) -> WindowTable:
        return WindowTable(self.archive.uri, {})

    def judged(self) -> list[JudgedSpan]:
        """Copy the windows, and return what is new to be said."""
        windows = self.windows
        touched = windows.copy(RETENTION_DAYS)
        return DayJudge(windows, self.counter, SETTINGS, {}).judge(touched)

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        return VerdictStore(self.windows.table.uri, {}).newest(1000)

    def score(self, records: pa.Table, bundle: Bundle | None = None) -> None:
        """Score records and archive what came of them in one commit."""
        self.archive.topic.write(predictions(bundle or self.bundle, records))
        self.archive.archiver().turn()
