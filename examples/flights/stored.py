"""The stored features of flights as tables, and the records that name what to look up.

::

    records/training/month=2013-01/flights.parquet   January to November: the demo's records and ``tail_number``
    records/december/ds=2013-12-01/flights.parquet   the days to score
    tables/origin_weather/month=2013-01/values.parquet
    tables/plane/…  tables/carrier_delay/…  tables/origin_delay/…
    prepared.json                                    the sha256 of the sources and of each file

A table has the columns ``entity``, ``event_time`` (what the value describes), ``available_at`` (when it could be
known) and the features; `month` is the UTC month of ``event_time``: a file for each day would be a few kilobytes, and
Spark reads a thousand of these in the time that it joins all flights in.

===============  ===========  ==========================================  =============================================
table            entity       event_time                                  available_at
===============  ===========  ==========================================  =============================================
origin_weather   origin       the hour that was observed                  an hour later: the observation may be the
                                                                          hour's last
plane            tail number  the start of the year: a register           the same
carrier_delay    carrier      the hourly tick                             ten minutes after the tick
origin_delay     origin       the hourly tick                             ten minutes after the tick
===============  ===========  ==========================================  =============================================

The tail number is missing where a flight was cancelled, and only there, so it would tell the label if cancelled flights
had one. They have none, so training never sees a missing tail number; what it sees is a tail number that the register
does not know (15.6 %), which says something of the carrier's fleet and nothing of the day. The source names the plane
that flew; a plane that was exchanged on the day is known here earlier than it was then.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from examples.flights import landing, tick
from examples.flights.folder import Progress, make_once
from examples.flights.prepare import (
    RECORD_COLUMNS,
    SCORED_MONTH,
    read_flights,
    source_archive,
    with_keys,
)
from scoretrail import digest
from scoretrail.digest import Json
from scoretrail.errors import InputError

STORED_VERSION: Final = 2
"""Raised when this module writes other rows or columns, so that folders made before are made again."""
SETS: Final = ("origin_weather", "plane", "carrier_delay", "origin_delay")
WEATHER: Final = ("temp", "humid", "wind_speed", "precip", "visib", "pressure")
PLANE: Final = {"plane_year": "year", "plane_engines": "engines", "plane_seats": "seats"}
WEATHER_DELAY: Final = timedelta(hours=1)
"""The source names an observation by its hour: it may have been made at any minute of it."""
REGISTERED_AT: Final = datetime(2013, 1, 1, tzinfo=UTC)
"""The register is one state, without dates; all flights are later."""

_SOURCES: Final = ("flights.csv.zip", "airports.csv", "planes.csv", "weather.csv")
_UTC: Final = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class StoredFlights:
    """Where the tables and the records lie."""

    root: Path

    @property
    def training(self) -> Path:
        """Records to train on, a partition ``month=2013-MM`` for each of January to November."""
        return self.root / "records" / "training"

    @property
    def december(self) -> Path:
        """Records to score, a partition ``ds=YYYY-MM-DD`` for each day."""
        return self.root / "records" / "december"

    def table(self, name: str) -> Path:
        """Return the folder of one of ``SETS``."""
        return self.root / "tables" / name


def prepare_stored(target: Path, progress: Progress = lambda _: None, source: Path | None = None) -> StoredFlights:
    """Return tables and records below ``target``, made there unless they are there already and unchanged.

    Args:
        target: a folder of its own; made if it is not there.
        progress: called with one line of text for each thing done.
        source: a folder with the source's four files; default the installed package's, which is never imported.

    Raises:
        DependencyError: the package with the data is not installed.
        InputError: a source is not what it must be.
        UsageError: ``target`` is a folder of something else.
    """
    folder = source or source_archive().parent
    sources = {name: _bytes(folder / name) for name in _SOURCES}
    made_of: dict[str, Json] = {
        "stored_version": STORED_VERSION,
        "sources": {name: digest.of_bytes(data) for name, data in sources.items()},
    }

    def write(made: Path) -> Iterator[Path]:
        place = StoredFlights(made)
        also = {**landing.COLUMNS, "arr_delay": pa.int16(), "tailnum": pa.string()}
        flights = with_keys(read_flights(sources["flights.csv.zip"], also), tuple(also))
        flights = flights.rename_columns({"tailnum": "tail_number"})
        yield from _write_records(flights, place)
        for name, table in _tables(flights, sources):
            progress(f"{name}: {table.num_rows:,} values")
            yield from _write_table(table, place.table(name))

    make_once(target, made_of, write, progress)
    return StoredFlights(target)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError("a source of the stored features is missing", where=path.name, got=str(error)) from error


def _tables(flights: pa.Table, sources: dict[str, bytes]) -> Iterator[tuple[str, pa.Table]]:
    yield "origin_weather", _weather(_read(sources["weather.csv"], "weather.csv"))
    yield "plane", _plane(_read(sources["planes.csv"], "planes.csv"))
    at = landing.landed_at(flights, _read(sources["airports.csv"], "airports.csv"))
    landed = flights.append_column("landed_at", at)
    landed = landed.filter(pc.and_(landed["landed_at"].is_valid(), landed["arr_delay"].is_valid()))
    for key in ("carrier", "origin"):
        yield f"{key}_delay", tick.delay_ticks(landed, key)


def read_source(path: Path) -> pa.Table:
    """Return one of the source's tables beside the flights.

    Raises:
        InputError: it is missing or cannot be read.
    """
    return _read(_bytes(path), path.name)


def _read(data: bytes, name: str) -> pa.Table:
    options = csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
    try:
        return csv.read_csv(io.BytesIO(data), convert_options=options)
    except pa.ArrowException as error:
        raise InputError("a source of the stored features cannot be read", where=name, got=str(error)) from error


def _weather(source: pa.Table) -> pa.Table:
    hour = source["time_hour"].cast(_UTC)
    later = pc.add(hour.cast(pa.int64()), WEATHER_DELAY // timedelta(microseconds=1)).cast(_UTC)
    columns = {name: source[name].cast(pa.float32(), safe=False) for name in WEATHER}
    return pa.table({"entity": source["origin"], "event_time": hour, "available_at": later, **columns})


def _plane(source: pa.Table) -> pa.Table:
    at = pa.repeat(pa.scalar(REGISTERED_AT, _UTC), len(source))
    columns = {name: source[given].cast(pa.float32()) for name, given in PLANE.items()}
    return pa.table({"entity": source["tailnum"], "event_time": at, "available_at": at, **columns})


def _write_records(flights: pa.Table, place: StoredFlights) -> Iterator[Path]:
    columns = [*RECORD_COLUMNS, "tail_number"]
    december = pc.equal(flights["month"], SCORED_MONTH)
    days = flights.filter(december)
    for ds in sorted(days["ds"].unique().to_pylist()):
        rows = days.filter(pc.equal(days["ds"], ds)).select(columns)
        yield _write_one(rows, place.december / f"ds={ds}" / "flights.parquet")
    others = flights.filter(pc.invert(december))
    for month in sorted(others["month"].unique().to_pylist()):
        rows = others.filter(pc.equal(others["month"], month)).select(columns)
        yield _write_one(rows, place.training / f"month=2013-{month:02d}" / "flights.parquet")


def _write_table(table: pa.Table, folder: Path) -> Iterator[Path]:
    ordered = table.sort_by([("event_time", "ascending"), ("entity", "ascending")]).combine_chunks()
    at = np.asarray(ordered["event_time"].cast(pa.int64())).astype("datetime64[us]")
    month = at.astype("datetime64[M]")
    _, starts = np.unique(month, return_index=True)
    for start, stop in zip(starts, [*starts[1:], len(month)], strict=True):
        yield _write_one(ordered.slice(start, stop - start), folder / f"month={month[start]}" / "values.parquet")


def _write_one(table: pa.Table, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")
    return path
