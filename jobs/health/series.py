"""Verdicts on drift, one after the other, become a series: how far each column is, and how it came there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from jobs.health.deployment import importance
from jobs.health.fact import DriftSeries, Trend
from scoretrail.monitor.drift import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_ORDER: Final = tuple(Level)
"""The later, the worse."""


@dataclass(frozen=True)
class Judged:
    """A verdict, and what it is on."""

    source: Literal["batch", "stream"]
    role: str
    version: str
    point: str
    """What is scored there, in a word: a slice, a run, a day."""
    run_id: str | None
    """None where it is no run."""
    verdict: Mapping[str, Any]
    """As :meth:`scoretrail.monitor.drift.Verdict.to_json` gives it."""


def series(judged: Iterable[Judged]) -> tuple[DriftSeries, ...]:
    """Return one series for each source and role that has verdicts, batch first, then the champion.

    A series holds the verdicts against the baseline of its newest one: effects against another are other figures.

    Args:
        judged: the verdicts, oldest first within a source and role.
    """
    grouped: dict[tuple[str, str], list[Judged]] = {}
    for one in judged:
        grouped.setdefault((one.source, one.role), []).append(one)
    ordered = sorted(grouped, key=lambda key: (key[0], importance(key[1])))
    return tuple(_series(grouped[key]) for key in ordered)


def _series(judged: Sequence[Judged]) -> DriftSeries:
    newest = judged[-1]
    now = newest.verdict
    same = [one for one in judged if one.verdict["baseline_sha256"] == now["baseline_sha256"]]
    looked_up = [_checks(one.verdict) for one in same]
    confirmed = set(now["confirmed"])
    trends = [
        _trend(column, looked_up, is_confirmed=column["name"] in confirmed)
        for column in now["columns"]
        if column["checks"]
    ]
    return DriftSeries(
        source=newest.source,
        role=newest.role,
        version=newest.version,
        run_id=newest.run_id,
        level=now["level"],
        kinds=now["kinds"],
        rows=now["rows"],
        rows_left_out=now["rows_left_out"],
        points=tuple(one.point for one in same),
        levels=tuple(one.verdict["level"] for one in same),
        trends=tuple(
            sorted(trends, key=lambda one: _badness(one.level, one.value, one.drift, one.usual), reverse=True)
        ),
    )


_Checks = dict[tuple[str, str, str], tuple[float, Any]]


def _checks(verdict: Mapping[str, Any]) -> _Checks:
    """Return (group, column, measure) -> the effect and what was said of it."""
    return {
        (column["group"], column["name"], check["measure"]): (check["value"], check["level"])
        for column in verdict["columns"]
        for check in column["checks"]
    }


def _trend(column: Mapping[str, Any], looked_up: Sequence[_Checks], *, is_confirmed: bool) -> Trend:
    worst = max(column["checks"], key=lambda one: _badness(one["level"], one["value"], one["drift"], one["usual"]))
    found = [checks.get((column["group"], column["name"], worst["measure"])) for checks in looked_up]
    return Trend(
        group=column["group"],
        name=column["name"],
        level=column["level"],
        measure=worst["measure"],
        value=worst["value"],
        warn=worst["warn"],
        drift=worst["drift"],
        usual=worst["usual"],
        detail=worst["detail"],
        is_confirmed=is_confirmed,
        values=tuple(one[0] if one else None for one in found),
        levels=tuple(one[1] if one else None for one in found),
    )


def _badness(level: str, value: float, drift: float, usual: float | None) -> tuple[int, float]:
    """Return by what checks are put in order: by level, then by how far the effect is on its way to the next one.

    On a usual day an effect may be far above its threshold, and means nothing.
    """
    return _ORDER.index(Level(level)), value / max(drift, usual or 0.0)
