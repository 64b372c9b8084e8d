"""A view with two stored sets, and offline tables and records for it, written by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from scoretrail.feature.source import load_view

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = b"""
import pyarrow as pa
from scoretrail.feature import DEFAULT, FeatureView, Field, Request, Stored

parcel_live = FeatureView(
    name="parcel_live",
    entity_key="parcel_id",
    event_time="sent_at",
    request=[
        Request("depot", pa.string(), normalise=("strip", "upper")),
        Request("route", pa.int32(), nullable=True),
        Request("weight", pa.float32()),
    ],
    stored=[
        Stored(
            "depot_load",
            key="depot",
            fields=[
                Field(name="waiting", type=pa.float32(), nullable=True),
                Field(name="shift", type=pa.string(), nullable=True),
            ],
            max_age="3h",
            when_missing=DEFAULT,
        ),
        Stored(
            "route_time",
            key="route",
            fields=[Field(name="minutes", type=pa.int32(), default=0)],
            max_age=None,
            when_missing=DEFAULT,
        ),
    ],
    inputs=["weight", "waiting", "minutes"],
)
"""
VIEW = load_view(SOURCE, "parcel_live")
START = datetime(2024, 3, 1, tzinfo=UTC)
UTC_US = pa.timestamp("us", "UTC")


def at(hours: float) -> datetime:
    """Return a time so many hours after ``START``."""
    return START + timedelta(hours=hours)


def loads(*rows: tuple[str | None, float | None, float | None, float | None]) -> pa.Table:
    """Return values of ``depot_load``: entity, hours of event time and availability, waiting."""
    return pa.table(
        {
            "entity": pa.array([row[0] for row in rows], pa.string()),
            "event_time": pa.array([None if row[1] is None else at(row[1]) for row in rows], UTC_US),
            "available_at": pa.array([None if row[2] is None else at(row[2]) for row in rows], UTC_US),
            "waiting": pa.array([row[3] for row in rows], pa.float32()),
            "shift": pa.array([None if row[3] is None else f"shift {row[3]:g}" for row in rows], pa.string()),
        }
    )


def times(*rows: tuple[str, float, float, int]) -> pa.Table:
    """Return values of ``route_time``: entity, hours of event time and availability, minutes."""
    return pa.table(
        {
            "entity": pa.array([row[0] for row in rows], pa.string()),
            "event_time": pa.array([at(row[1]) for row in rows], UTC_US),
            "available_at": pa.array([at(row[2]) for row in rows], UTC_US),
            "minutes": pa.array([row[3] for row in rows], pa.int16()),
        }
    )


def parcels(*rows: tuple[str, float, str, int | None]) -> pa.Table:
    """Return records: parcel, hours of sending, depot, route."""
    return pa.table(
        {
            "parcel_id": pa.array([row[0] for row in rows], pa.string()),
            "sent_at": pa.array([at(row[1]) for row in rows], UTC_US),
            "depot": pa.array([row[2] for row in rows], pa.string()),
            "route": pa.array([row[3] for row in rows], pa.int16()),
            "weight": pa.array([float(i) for i in range(len(rows))], pa.float32()),
        }
    )


def write(table: pa.Table, path: Path, **options: Any) -> Path:
    """Write a file, its folder too, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return path
