"""What became of December's flights, as an airline's data would tell it: late or on time, once a flight has landed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from examples.flights.landing import COLUMNS, landed_at
from examples.flights.prepare import SCORED_MONTH, read_flights, source_archive, with_keys
from examples.flights.stored import read_source
from examples.flights.train import CLASSES

OUTCOME: Final = "outcome"
KNOWN_AT: Final = "landed_at"
SEGMENTS: Final = ("carrier", "origin")


def write_truth(root: Path) -> int:
    """Write the outcomes of December's flights, in a folder for each day, and return how many are known.

    The outcome of a flight that was cancelled or diverted is null: it is not known, and never will be. Where the source
    knows no clock at the destination, nobody can say since when the outcome is known.
    """
    archive = source_archive()
    flights = with_keys(read_flights(archive.read_bytes(), COLUMNS), tuple(COLUMNS))
    flights = flights.filter(pc.equal(flights["month"], SCORED_MONTH))
    landed = landed_at(flights, read_source(archive.parent / "airports.csv"))
    on_time, late = CLASSES
    outcome = pc.if_else(flights["late"].combine_chunks(), late, on_time)
    names = ("flight_id", "sched_dep_at", *SEGMENTS)
    table = pa.table({**{name: flights[name] for name in names}, OUTCOME: outcome, KNOWN_AT: landed})
    day = pc.utf8_slice_codeunits(table["flight_id"], 0, len("2013-12-01"))
    for one in pc.unique(day).to_pylist():
        folder = root / f"ds={one}"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.filter(pc.equal(day, one)), folder / "part.parquet", compression="zstd")
    known: int = len(outcome) - outcome.null_count
    return known
