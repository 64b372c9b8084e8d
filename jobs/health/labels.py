"""Records of labels joined to predictions: how good scores were, how many have a label, how late labels come."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from jobs.health.fact import Assessment, Figure, LabelJoin
from scoretrail.storage import join

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scoretrail.storage import Storage

JOIN: Final = "join.json"
NEWEST: Final = 60
"""Joins whose coverage is shown."""
_READERS: Final = 16


def read_joins(storage: Storage, model: str, newest: int = NEWEST) -> tuple[list[LabelJoin], list[str]]:
    """Return the newest records of joins, oldest first, and the places of those that cannot be read.

    Args:
        storage: the place ``<labelled table>/_scoretrail``.
        model: whose assessments are kept.
        newest: how many at most.

    Raises:
        StorageError: the records cannot be listed.
    """
    folders = storage.folders()[-newest:]
    with ThreadPoolExecutor(_READERS) as readers:
        found = list(readers.map(lambda folder: _read(storage, f"{folder}/{JOIN}", model), folders))
    return [one for one in found if isinstance(one, LabelJoin)], [one for one in found if isinstance(one, str)]


def coverage(joins: Sequence[LabelJoin]) -> tuple[tuple[str, float], ...]:
    """Return each join and the share of its predictions that have a label."""
    return tuple(
        (one.join_id, one.rows.get("labelled", 0) / one.rows["predictions"])
        for one in joins
        if one.rows.get("predictions")
    )


def _read(storage: Storage, key: str, model: str) -> LabelJoin | str | None:
    """Return a record, its place if it cannot be read, or None where a folder is no join's."""
    data = storage.get_or_none(key)
    try:
        return None if data is None else _parsed(json.loads(data), model)
    except (ValueError, TypeError, KeyError, AttributeError):
        return join(storage.uri, key)


def _parsed(values: Mapping[str, Any], model: str) -> LabelJoin:
    ours = (one for one in values["performance"] if one["model"]["name"] == model)
    return LabelJoin(
        join_id=values["join_id"],
        finished_at=values["finished_at"],
        level=values["level"],
        rows=values["rows"],
        delay_s=values["delay_s"],
        assessments=tuple(_assessment(one) for one in ours),
    )


def _assessment(values: Mapping[str, Any]) -> Assessment:
    segment = values["segment"]
    return Assessment(
        kind=values["kind"],
        role=values["role"],
        version=values["model"]["version"],
        start=values["window"]["start"],
        end=values["window"]["end"],
        segment=None if segment is None else f"{segment['column']} {segment['value']}",
        rows=values["rows"],
        positives=values["positives"],
        level=values["level"],
        behind=values["behind"],
        figures=_figures(values["figures"]),
        promised=_figures(values["promised"]),
        calibration=tuple((score, share, rows) for score, share, rows in values["calibration"]),
    )


def _figures(values: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    return {one["name"]: Figure(value=one["value"], low=one["low"], high=one["high"]) for one in values}
