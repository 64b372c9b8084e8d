"""What a schedule works on: a week of parcels, the load of their depots, and a model that knows its usual days.

====================  ==============================================================================================
``2013-12-02``        records whose features are not built yet
``2013-12-03``, ``4``  usual days, their features built
``2013-12-05``        a usual day in four files, built
``2013-12-06``        parcels three times as heavy: records, not built; the model's baseline never saw such a day
``2013-12-07``        a day half written: files, and no marker
====================  ==============================================================================================
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoretrail.feature.schema import TIMESTAMP
from scoretrail.monitor.learning import of_table
from tests.factory.example import Example
from tests.factory.onnx_graph import sigmoid_network
from tests.factory.registered import register_example

if TYPE_CHECKING:
    from pathlib import Path

    from scoretrail.model.bundle import Bundle

ROWS = 600
"""Of a day: enough for a verdict."""
UNBUILT, USUAL, OTHER, PARTED, HEAVY, HALF = (f"2013-12-0{day}" for day in range(2, 8))
FILES = 4
MODEL = "models:/parcel-day@champion"
MARKER = "_SUCCESS"
BUILT_MARKER = "_scoretrail_build.json"
DEPOTS = ("A", "B", "C")
TRAINING_DAYS = 10

VIEW = b"""
import pyarrow as pa

from scoretrail.feature import DEFAULT, FeatureView, Field, Request, Stored

parcel_day = FeatureView(
    name="parcel_day",
    entity_key="parcel_id",
    event_time="sent_at",
    request=[Request("depot", pa.string()), Request("weight", pa.float32(), minimum=0)],
    stored=[
        Stored(
            "depot_load",
            key="depot",
            fields=[Field(name="waiting", type=pa.float32(), nullable=True)],
            max_age="3h",
            when_missing=DEFAULT,
        ),
    ],
    inputs=["weight", "waiting"],
)
"""


def parcels(day: str, rows: int = ROWS, factor: float = 1.0) -> pa.Table:
    """Return a day's records, with weights that many times as large."""
    random = np.random.default_rng(date.fromisoformat(day).toordinal())
    start = np.datetime64(day, "us").astype(np.int64)
    sent = start + np.sort(random.integers(6 * 3600, 22 * 3600, rows)) * 1_000_000
    return pa.table(
        {
            "parcel_id": pa.array([f"{day}-{i:05}" for i in range(rows)]),
            "sent_at": pa.array(sent, TIMESTAMP),
            "depot": pa.array([DEPOTS[i] for i in random.integers(0, len(DEPOTS), rows)]),
            "weight": pa.array((random.gamma(4, 2, rows) * factor).astype(np.float32)),
        }
    )


def joined(records: pa.Table) -> pa.Table:
    """Return records with the load of the depot an hour before, which follows from the hour."""
    at = records["sent_at"].to_numpy().astype("datetime64[us]").astype(np.int64)
    hour = at // 3_600_000_000 - 1
    return (
        records.append_column("waiting", pa.array((hour % 24).astype(np.float32)))
        .append_column("depot_load__event_time", pa.array(hour * 3_600_000_000, TIMESTAMP))
        .append_column("depot_load__available_at", pa.array(hour * 3_600_000_000, TIMESTAMP))
    )


def loads(days: int = 7) -> pa.Table:
    """Return the load of each depot by the hour, from the first of December."""
    start = np.datetime64("2013-12-01", "us").astype(np.int64)
    hours = np.arange(days * 24 + 24)
    at = pa.array(np.repeat(start + hours * 3_600_000_000, len(DEPOTS)), TIMESTAMP)
    return pa.table(
        {
            "entity": pa.array(list(DEPOTS) * len(hours)),
            "event_time": at,
            "available_at": at,
            "waiting": pa.array(np.repeat(hours % 24, len(DEPOTS)).astype(np.float32)),
        }
    )


@dataclass(frozen=True)
class Scheduled:
    """The folder of one deployment: also the home that its relative paths are found from."""

    folder: Path

    @property
    def registry(self) -> Path:
        return self.folder / "registry"

    def variable(self, scores: str = "scores", **changes: Any) -> dict[str, Any]:
        """Return the Airflow variable ``scoretrail``, with a table of that name."""
        return {
            "model": MODEL,
            "view": "parcel_day.py:parcel_day",
            "records": "records",
            "stored": {"depot_load": "loads"},
            "features": str(self.folder / "features"),
            "scores": scores,
            **changes,
        }

    def make(self) -> Scheduled:
        """Write everything."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "parcel_day.py").write_bytes(VIEW)
        _write(loads(), self.folder / "loads" / "values.parquet")
        for day in (UNBUILT, HEAVY):
            _write(parcels(day, factor=3.0 if day == HEAVY else 1.0), self._day("records", day) / "part.parquet")
            (self._day("records", day) / MARKER).touch()
        for day in (USUAL, OTHER, PARTED, HALF):
            table, files = joined(parcels(day)), FILES if day == PARTED else 1
            for i in range(files):
                part = table.slice(i * ROWS // files, ROWS // files)
                _write(part, self._day("features", day) / f"part-{i}.parquet")
            if day != HALF:
                (self._day("features", day) / BUILT_MARKER).write_text(json.dumps({}))
        self._register()
        return self

    def _day(self, root: str, day: str) -> Path:
        return self.folder / root / f"ds={day}"

    def _register(self) -> None:
        first = datetime.fromisoformat("2013-11-01")
        days = [f"{first + timedelta(days=n):%Y-%m-%d}" for n in range(TRAINING_DAYS)]
        training = pa.concat_tables([joined(parcels(day)) for day in days]).combine_chunks()
        example = Example(name="parcel-day", onnx=sigmoid_network(2), features=VIEW, view_name="parcel_day")

        def attach(bundle: Bundle) -> dict[str, bytes]:
            return of_table(training)(bundle)

        register_example(example, self.registry, records=training, attach=attach, classes=("on time", "late"))


def _write(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
