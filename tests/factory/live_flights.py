"""The demo's flights with stored features, for some days only, joined without Spark, and the model trained on them."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from examples.flights.train import LIVE_VIEW_NAME
from scoretrail.feature.source import load_view

if TYPE_CHECKING:
    from examples.flights.stored import StoredFlights
    from scoretrail.feature import Stored

LIVE_CODE = (Path(__file__).parents[2] / "features" / "flights_stored.py").read_bytes()
LIVE_VIEW = load_view(LIVE_CODE, LIVE_VIEW_NAME)


def built_by_hand(flights: StoredFlights, records: Path, target: Path) -> Path:
    """Write the records below a folder with the values that were available at their event times; return ``target``.

    It relies on what holds for these tables: a value that becomes available later describes a later time.
    """
    tables = {stored.name: _by_entity(read_files(flights.table(stored.name))) for stored in LIVE_VIEW.stored}
    for file in sorted(records.rglob("*.parquet")):
        joined = pq.read_table(file, partitioning=None)
        for stored in LIVE_VIEW.stored:
            joined = _joined(joined, stored, *tables[stored.name])
        place = target / file.relative_to(records)
        place.parent.mkdir(parents=True)
        pq.write_table(joined, place)
    return target


def read_files(folder: Path) -> pa.Table:
    """Return the rows of every Parquet file below a folder; what a build keeps beside them is left out."""
    files = sorted(path for path in folder.rglob("*.parquet") if "_scoretrail" not in path.parts)
    return pa.concat_tables([pq.read_table(path, partitioning=None) for path in files])


def _by_entity(values: pa.Table) -> tuple[pa.Table, dict[str, tuple[list[int], list[int]]]]:
    """Return the values by availability, and for each entity when each became available and its row."""
    ordered = values.sort_by("available_at")
    found: dict[str, tuple[list[int], list[int]]] = {}
    known = ordered["available_at"].cast(pa.int64()).to_pylist()
    for row, (entity, at) in enumerate(zip(ordered["entity"].to_pylist(), known, strict=True)):
        times, rows = found.setdefault(entity, ([], []))
        times.append(at)
        rows.append(row)
    return ordered, found


def _joined(
    records: pa.Table, stored: Stored, values: pa.Table, by_entity: dict[str, tuple[list[int], list[int]]]
) -> pa.Table:
    rows: list[int | None] = []
    at = records[LIVE_VIEW.event_time].cast(pa.int64()).to_pylist()
    for entity, asked in zip(records[stored.key].to_pylist(), at, strict=True):
        times, places = by_entity.get(entity, ([], []))
        until = bisect_right(times, asked)
        rows.append(places[until - 1] if until else None)
    found = values.take(pa.array(rows, pa.int64()))
    names = {stored.event_time: "event_time", stored.available_at: "available_at"}
    for field in stored.record_fields:
        records = records.append_column(field.name, found[names.get(field.name, field.name)])
    return records
