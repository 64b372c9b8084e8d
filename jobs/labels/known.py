"""What is known of each event: the labels received before and now, each different one once, and what they come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from jobs.labels.resolution import from_text, resolve, to_text
from scoretrail.feature.schema import TIMESTAMP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.labels.outcomes import OutcomeColumns

_COUNT: Final = "count_all"
RESOLVED: Final = {
    "outcome": pa.string(),
    "known_at": TIMESTAMP,
    "labels_received": pa.int64(),
    "labels_replaced": pa.int64(),
    "labels": pa.string(),
    "repeated": pa.int64(),
}
"""What :func:`known` says of each event, besides its key, its time and its segments."""


def known(columns: OutcomeColumns, received: pa.Table, before: pa.Table) -> pa.Table:
    """Return one row for each event that has labels, sorted by nothing.

    Args:
        columns: what the columns are called.
        received: labels of this reading, as :meth:`jobs.labels.outcomes.Outcomes.on` returns them.
        before: rows of the labelled table.

    Returns:
        Entity key, event time, ``RESOLVED`` and the segments. ``repeated`` counts labels that said again what counts,
        those that were read twice included; ``outcome`` is null where labels conflict.
    """
    event = [columns.key, columns.event_time]
    label = [*event, "outcome", "known_at"]
    read = _distinct(received, label, columns.segments)
    every = _distinct(
        pa.concat_tables([read.drop_columns([_COUNT]), *_kept(columns, before)]), label, columns.segments
    ).drop_columns([_COUNT])
    counted = every.group_by(event, use_threads=False).aggregate([([], _COUNT)])
    joined = every.join(counted, event, join_type="inner", use_threads=False)
    alone = joined.filter(pc.field(_COUNT) == 1)
    several = joined.filter(pc.field(_COUNT) > 1).select(every.schema.names)
    found = pa.concat_tables([_alone(columns, alone), _several(columns, several)])
    again = read.group_by(event, use_threads=False).aggregate([(_COUNT, "sum"), ([], _COUNT)])
    twice = pc.subtract(again[f"{_COUNT}_sum"], again[_COUNT])
    again = again.select(event).append_column("twice", twice)
    found = found.join(again, event, join_type="left outer", use_threads=False)
    repeated = pc.add(found["repeated"], pc.fill_null(found["twice"], 0))
    at = found.schema.get_field_index("repeated")
    return found.set_column(at, "repeated", repeated).select(_schema(columns).names)


def _schema(columns: OutcomeColumns) -> pa.Schema:
    own = [(columns.key, columns.key_type), (columns.event_time, TIMESTAMP)]
    return pa.schema([*own, *RESOLVED.items(), *((name, pa.string()) for name in columns.segments)])


def _distinct(rows: pa.Table, label: Sequence[str], segments: Sequence[str]) -> pa.Table:
    """Return each different label once, with the number of its rows; of its segments the first by alphabet."""
    wanted = [*((name, "min") for name in segments), ([], _COUNT)]
    found = rows.group_by(list(label), use_threads=False).aggregate(wanted)
    return found.rename_columns([*label, *segments, _COUNT])


def _kept(columns: OutcomeColumns, before: pa.Table) -> list[pa.Table]:
    """Return the labels that the labelled table has: of one label from its columns, of several from its text."""
    names = columns.schema.names
    for name in columns.segments:
        if name not in before.schema.names:
            before = before.append_column(name, pa.nulls(before.num_rows, pa.string()))
    alone = before.filter(pc.field("labels_received") == 1).select(names).cast(columns.schema)
    several = before.filter(pc.field("labels_received") > 1).select([*names, "labels"]).to_pylist()
    rows: list[dict[str, Any]] = []
    for row in several:
        labels = from_text(row["labels"])
        latest = max(labels, key=_moment)[1]
        for outcome, known_at in labels:
            # Segments are those of the latest label: an earlier one has no say in them.
            segments = {name: row[name] if known_at == latest else None for name in columns.segments}
            event = {columns.key: row[columns.key], columns.event_time: row[columns.event_time]}
            rows.append({**event, "outcome": outcome, "known_at": known_at, **segments})
    return [alone, pa.Table.from_pylist(rows, schema=columns.schema)]


def _alone(columns: OutcomeColumns, rows: pa.Table) -> pa.Table:
    """Return what events with one label come to: that label."""
    n = rows.num_rows
    given = {
        "labels_received": pa.repeat(pa.scalar(1, pa.int64()), n),
        "labels_replaced": pa.repeat(pa.scalar(0, pa.int64()), n),
        "labels": pa.nulls(n, pa.string()),
        "repeated": pa.repeat(pa.scalar(0, pa.int64()), n),
    }
    schema = _schema(columns)
    return pa.table([given[name] if name in given else rows[name] for name in schema.names], schema=schema)


def _several(columns: OutcomeColumns, rows: pa.Table) -> pa.Table:
    """Return what events with several labels come to, one by one: there are few of them."""
    events: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for row in rows.to_pylist():
        events.setdefault((row[columns.key], row[columns.event_time]), []).append(row)
    found = []
    for (key, at), own in events.items():
        labels = [(row["outcome"], row["known_at"]) for row in own]
        resolution = resolve(labels)
        latest = max(labels, key=_moment)[1]
        segments = {
            name: min((row[name] for row in own if row["known_at"] == latest and row[name] is not None), default=None)
            for name in columns.segments
        }
        values = {
            "outcome": resolution.outcome,
            "known_at": resolution.known_at,
            "labels_received": resolution.received,
            "labels_replaced": resolution.replaced,
            "labels": to_text(labels),
            "repeated": resolution.repeated,
        }
        found.append({columns.key: key, columns.event_time: at, **values, **segments})
    return pa.Table.from_pylist(found, schema=_schema(columns))


def _moment(label: tuple[str, Any]) -> tuple[bool, Any]:
    """Return what orders labels by time, those without one first."""
    return label[1] is not None, label[1]
