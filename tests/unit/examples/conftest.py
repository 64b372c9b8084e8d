"""A small part of the real flights, the feature view of the demo, and records to put into it."""

import csv
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from examples.flights.prepare import PreparedFlights, prepare, source_archive
from scoretrail.feature import FeatureView
from scoretrail.feature.source import load_view

FEATURES = Path(__file__).parents[3] / "features" / "flights.py"

#: Two days of each month. The clocks change on 10 March; on 3 November they change back.
DAYS = {(month, day) for month in range(1, 13) for day in (9, 10)} | {(11, 3), (12, 1)}


@dataclass(frozen=True)
class Source:
    """A part of the source: as an archive to prepare, and as rows read in another way."""

    archive: Path
    rows: list[dict[str, str]]


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    with zipfile.ZipFile(source_archive()) as archive:
        lines = io.TextIOWrapper(archive.open("flights.csv"), "utf-8").readlines()
    kept = [lines[0], *(line for line in lines[1:] if _day(line) in DAYS)]
    path = tmp_path_factory.mktemp("source") / "flights.csv.zip"
    archive_of("".join(kept), path)
    return Source(path, list(csv.DictReader(kept)))


def archive_of(text: str, path: Path, name: str = "flights.csv") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, text)
    return path


def _day(line: str) -> tuple[int, int]:
    _, month, day, _ = line.split(",", 3)
    return int(month), int(day)


@pytest.fixture(scope="session")
def prepared(source: Source, tmp_path_factory: pytest.TempPathFactory) -> PreparedFlights:
    return prepare(tmp_path_factory.mktemp("prepared") / "data", source=source.archive)


@pytest.fixture(scope="session")
def features() -> bytes:
    return FEATURES.read_bytes()


@pytest.fixture(scope="session")
def view(features: bytes) -> FeatureView:
    return load_view(features, "flight_delay")


#: The first flight of the year as the timetable has it: Tuesday, 05:15 to 08:19.
FLIGHT = {
    "flight_id": "2013-01-01-UA-1545-EWR-IAH-0515",
    "sched_dep_at": datetime(2013, 1, 1, 10, 15, tzinfo=UTC),
    "carrier": "UA",
    "origin": "EWR",
    "dest": "IAH",
    "distance": 1400.0,
    "sched_arr_minute": 8 * 60 + 19,
}

MakeRecord = Callable[..., pa.RecordBatch]


@pytest.fixture
def record(view: FeatureView) -> MakeRecord:
    """Make a batch of flights like ``FLIGHT``, one for each mapping of what is different."""
    schema = pa.schema([(field.name, field.type) for field in view.record_fields])

    def make(*differences: dict[str, Any]) -> pa.RecordBatch:
        return pa.RecordBatch.from_pylist([FLIGHT | difference for difference in differences], schema)

    return make
