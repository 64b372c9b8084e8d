"""One event date: predictions, and what is known of their events, become labelled rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from jobs.labels.columns import EVENT_DATE, IDENTITY, Status
from jobs.labels.known import known
from scoretrail.trail.prediction import to_schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from jobs.labels.outcomes import OutcomeColumns
    from scoretrail.trail.prediction import Column

COUNTS: Final = ("predictions", "labelled", "unlabelled", "repeated", "corrected", "conflicting", "early", "unmatched")
_MICROSECONDS: Final = 1e6


@dataclass
class Counts:
    """What was found, over any number of event dates."""

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))

    def add(self, **found: int) -> None:
        """Count."""
        for name, number in found.items():
            self.rows[name] += number


@dataclass(frozen=True)
class Day:
    """What there is of one event date."""

    day: date
    predictions: pa.Table
    received: pa.Table
    before: pa.Table
    """The rows that the labelled table has of it."""


def match(day: Day, names: OutcomeColumns, columns: Sequence[Column], counts: Counts) -> pa.Table:
    """Return the labelled rows of an event date, in the order of the table's columns and sorted.

    Args:
        day: what there is.
        names: what the columns of outcomes are called.
        columns: those of the labelled table.
        counts: what is found is added.
    """
    event = [names.key, names.event_time]
    events = known(names, day.received, day.before)
    rows = day.predictions.join(events, event, join_type="inner", use_threads=False).combine_chunks()
    outcome, known_at, at = rows["outcome"], rows["known_at"], rows[names.event_time]
    early = pc.and_(outcome.is_valid(), pc.fill_null(pc.less_equal(known_at, at), fill_value=False))
    status = pc.if_else(
        outcome.is_null(), Status.CONFLICTING.value, pc.if_else(early, Status.EARLY.value, Status.LABELLED.value)
    )
    delay = pc.divide(pc.subtract(known_at.cast(pa.int64()), at.cast(pa.int64())).cast(pa.float64()), _MICROSECONDS)
    made: dict[str, Any] = {name: rows[name] for name in rows.schema.names} | {
        EVENT_DATE: pa.repeat(pa.scalar(day.day, pa.date32()), rows.num_rows),
        "status": status,
        "label_delay_s": delay,
    }
    _count(counts, made, day, events, event)
    table = pa.table([made[column.name] for column in columns], schema=to_schema(columns))
    return table.sort_by([(name, "ascending") for name in (*event, *IDENTITY)]).combine_chunks()


def _count(counts: Counts, made: dict[str, Any], day: Day, events: pa.Table, event: Sequence[str]) -> None:
    def of(status: Status) -> int:
        found: int = pc.sum(pc.equal(made["status"], status.value), min_count=0).as_py()
        return found

    labelled = len(made["status"])
    arrived = day.received.group_by(list(event), use_threads=False).aggregate([])
    met = arrived.join(day.predictions.select(list(event)), list(event), join_type="left semi", use_threads=False)
    counts.add(
        predictions=day.predictions.num_rows,
        labelled=of(Status.LABELLED),
        unlabelled=day.predictions.num_rows - labelled,
        repeated=pc.sum(events["repeated"], min_count=0).as_py(),
        corrected=pc.sum(pc.greater(made["labels_replaced"], 0), min_count=0).as_py(),
        conflicting=of(Status.CONFLICTING),
        early=of(Status.EARLY),
        unmatched=arrived.num_rows - met.num_rows,
    )
