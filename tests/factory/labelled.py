"""Predictions in tables, outcomes in files, and joins of them, without Spark or Kafka."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.batch.output.file import Target
from jobs.batch.output.writer import PartitionedWriter
from jobs.labels.join import JoinRequest, LabelJoining
from jobs.progress import SilentProgress
from scoretrail.clock import FixedClock
from scoretrail.config import load
from scoretrail.storage import filesystem
from scoretrail.table import OutputTable
from scoretrail.trail.prediction import prediction_columns, to_schema
from tests.factory.bare import BARE_FILES, bare_manifest, open_registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from scoretrail.model.manifest import Manifest
    from scoretrail.trail.label_join import LabelJoin

DAY = datetime(2013, 12, 2, tzinfo=UTC)
"""A Monday."""
HOUR = timedelta(hours=1)
SCORED_AT = datetime(2013, 12, 1, tzinfo=UTC)
NOW = FixedClock(datetime(2014, 1, 1, tzinfo=UTC))


def at(day: int = 0, hour: float = 12) -> datetime:
    """Return an instant of one of the days from :data:`DAY` on."""
    return DAY + timedelta(days=day, hours=hour)


def prediction(key: str, score: float = 0.7, when: datetime | None = None, **changes: Any) -> dict[str, Any]:
    """Return a row of a scored table, without what follows from the bundle."""
    said = "1" if score >= 0.5 else "0"
    row = {"parcel_id": key, "sent_at": when or at(), "score": score, "label": said, "decision": said}
    trail = {"model_sha256": "e" * 64, "data_sha256": "d" * 64, "source_path": "a.parquet", "source_row": 0}
    return {**row, **trail, "run_id": "r1", "work_key": "c" * 64, "scored_at": SCORED_AT, **changes}


def label(key: str, outcome: object = "1", known: datetime | None = None, **changes: Any) -> dict[str, Any]:
    """Return an outcome, known six hours after the prediction's time."""
    sent: datetime = changes.get("sent_at", at())
    row = {"parcel_id": key, "sent_at": sent, "came": outcome, "came_at": known or sent + 6 * HOUR, "place": "HERE"}
    return {**row, **changes}


@dataclass
class Truth:
    """A folder with a registry, predictions, outcomes and a labelled table."""

    folder: Path
    manifests: dict[str, Manifest] = field(default_factory=dict)
    files: int = 0

    @property
    def output(self) -> str:
        return str(self.folder / "labelled")

    @property
    def outcomes(self) -> Path:
        return self.folder / "outcomes"

    def register(self, version: str = "1.0.0", **changes: Any) -> Manifest:
        manifest = bare_manifest(name="parcel", version=version, **changes)
        open_registry(self.folder / "registry").publish(manifest, BARE_FILES)
        self.manifests[version] = manifest
        return manifest

    def scored(self, name: str = "scores") -> str:
        return str(self.folder / name)

    def predict(
        self,
        rows: Iterable[Mapping[str, Any]],
        *,
        version: str = "1.0.0",
        role: str = "champion",
        table: str = "scores",
    ) -> None:
        """Add rows to a scored table as a batch run does."""
        manifest = self.manifests[version]
        columns = prediction_columns(manifest)
        opened = OutputTable(self.scored(table))
        if not opened.exists:
            opened.create(to_schema(columns), [], "scores", 400, "sent_at")
        digest_ = _digest(manifest)
        same = {"model_name": "parcel", "model_version": version, "role": role, "bundle_sha256": digest_, "guard": None}
        batch = pa.Table.from_pylist([{**row, **same} for row in rows], schema=to_schema(columns)).combine_chunks()
        _append(opened, columns, batch, [], "sent_at")

    def arrive(self, rows: Iterable[Mapping[str, Any]], folder: str = "", **types: pa.DataType) -> Path:
        """Write outcomes to a file of their own."""
        place = self.outcomes / folder
        place.mkdir(parents=True, exist_ok=True)
        self.files += 1
        path = place / f"{self.files:03d}.parquet"
        known = {"sent_at": pa.timestamp("us", "UTC"), "came_at": pa.timestamp("us", "UTC"), **types}
        table = pa.Table.from_pylist(list(rows))
        for name, type_ in known.items():
            spot = table.schema.get_field_index(name)
            if spot >= 0:
                table = table.set_column(spot, name, table[name].cast(type_))
        pq.write_table(table, path)
        return path

    def joining(self, *tables: str, settings: Mapping[str, Any] | None = None, **changes: Any) -> LabelJoining:
        values = {
            "predictions": tuple(self.scored(table) for table in tables or ("scores",)),
            "outcomes": str(self.outcomes),
            "label": "came",
            "known_at": "came_at",
            "output": self.output,
            "window_days": 28,
        }
        resolved = load(settings or {}, folder=self.folder / "no-conf")
        registry = open_registry(self.folder / "registry")
        return LabelJoining(JoinRequest(**{**values, **changes}), registry, resolved.settings, NOW, SilentProgress())

    def join(self, *tables: str, **changes: Any) -> LabelJoin:
        return self.joining(*tables, **changes).run()

    def table(self) -> OutputTable:
        return OutputTable(self.output)

    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.table().to_pyarrow_dataset().to_table().to_pylist()
        return sorted(found, key=lambda row: (row["sent_at"], row["parcel_id"], row["role"], row["bundle_sha256"]))

    def row(self, key: str) -> dict[str, Any]:
        (found,) = (row for row in self.rows() if row["parcel_id"] == key)
        return found


def _digest(manifest: Manifest) -> str:
    from scoretrail import digest

    return digest.of_bytes(manifest.to_bytes())


def _append(table: OutputTable, columns: Any, rows: pa.Table, partition_by: list[str], stats: str) -> None:
    place, base = filesystem(table.uri)
    target = Target(place, base, "0" * 12, secrets.token_hex(32), secrets.token_hex(4), 1000)
    writer = PartitionedWriter(target, columns, partition_by, stats)
    for batch in rows.to_batches():
        writer.write({name: batch.column(name) for name in batch.schema.names})
    table.commit(adds=writer.close(), removes=[], guard={}, metadata={})
