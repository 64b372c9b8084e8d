"""The verdict on concept drift: labelled rows of one bundle in one role, held against what its manifest promised."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from scoretrail.errors import BundleError
from scoretrail.monitor.performance import (
    COST,
    LEVEL,
    MINIMUM_DAYS,
    RESAMPLES,
    Costs,
    Performance,
    Ranking,
    fell_behind,
    measure,
)
from scoretrail.trail.label_join import Assessment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from scoretrail.model.manifest import Manifest, Metric
    from scoretrail.monitor.performance import Array
    from scoretrail.trail.label_join import Kind, Level

COST_FALSE_ALARM: Final = "cost_false_alarm"
COST_MISS: Final = "cost_miss"
"""Metrics of a manifest that say at which costs its ``cost`` was measured; without them at 1 and 1."""
CHAMPION: Final = "champion"
BESIDE_RESAMPLES: Final = 200
"""Of weeks and segments, which have no say in the verdict: the ends of an interval rest on 5 draws each."""
_ORDER: Final[tuple[Level, ...]] = ("not_enough_data", "ok", "warn", "drift")


@dataclass(frozen=True)
class ConceptPolicy:
    """When something can be said, and what a wrong decision costs."""

    minimum_rows: int = 500
    """With fewer labelled rows there is no verdict."""
    costs: Costs = field(default_factory=Costs)


@dataclass(frozen=True)
class Labelled:
    """Labelled rows of one bundle in one role."""

    score: Array
    """(n_rows,) float64: P(second class)."""
    outcome: Array
    """(n_rows,) text: the class it was."""
    day: Array
    """(n_rows,) datetime64[D]: the event date, UTC."""

    def where(self, chosen: Array) -> Labelled:
        """Return the rows that a mask, (n_rows,) bool, chooses."""
        return Labelled(self.score[chosen], self.outcome[chosen], self.day[chosen])


@dataclass(frozen=True)
class Subject:
    """Whose rows they are."""

    manifest: Manifest
    bundle_sha256: str
    role: str

    @property
    def model(self) -> dict[str, str]:
        """The name, the version and the digest of the bundle."""
        return {"name": self.manifest.name, "version": self.manifest.version, "bundle_sha256": self.bundle_sha256}


def promises(manifest: Manifest, costs: Costs) -> dict[str, Metric]:
    """Return the figures with an interval that a manifest promises, by name.

    A cost that was measured at other costs per decision than ``costs`` is no promise, and is left out.
    """
    told = {one.name: one for one in manifest.metrics}
    then = Costs(*(told[name].value if name in told else 1.0 for name in (COST_FALSE_ALARM, COST_MISS)))
    return {
        name: one
        for name, one in told.items()
        if one.low is not None and one.high is not None and (name != COST or then == costs)
    }


def assess(
    rows: Labelled,
    subject: Subject,
    policy: ConceptPolicy,
    *,
    kind: Kind,
    window: tuple[date, date],
    segment: tuple[str, str] | None = None,
) -> Assessment:
    """Return how good scores were, and whether they fell behind what was promised.

    There is a verdict only where the bundle promised something, of at least ``minimum_rows`` rows of both classes and
    of seven days: of fewer, intervals are drawn from rows and too narrow. Nothing is promised of a segment.

    Args:
        rows: what is looked at.
        subject: whose scores they are.
        policy: see there.
        kind: what the rows are to the reader.
        window: first and last event date.
        segment: column and value that chose the rows.

    Raises:
        BundleError: the bundle decides between other than two classes.
    """
    manifest = subject.manifest
    if manifest.threshold is None:
        raise BundleError("only a binary classifier can be held against outcomes", where=manifest.name)
    start, end = window
    ranking = Ranking(rows.score, rows.outcome == manifest.output.classes[1], manifest.threshold, policy.costs)
    resamples = RESAMPLES if kind == "rolling" else BESIDE_RESAMPLES
    now = measure(ranking, rows.day, data=f"{start} to {end}", resamples=resamples)
    promised = {} if kind == "segment" else promises(manifest, policy.costs)
    named = tuple(promised[one.name] for one in now.figures if one.name in promised)
    level, behind = _judge(now, promised, policy) if named else ("not_enough_data", {})
    return Assessment(
        model=subject.model,
        role=subject.role,
        kind=kind,
        window={"start": start.isoformat(), "end": end.isoformat()},
        segment=None if segment is None else {"column": segment[0], "value": segment[1]},
        rows=now.rows,
        positives=now.positives,
        days=now.days,
        drawn=now.drawn,
        level=level,
        behind=behind,
        calibration=now.calibration,
        figures=now.figures,
        promised=named,
    )


def _judge(now: Performance, promised: Mapping[str, Metric], policy: ConceptPolicy) -> tuple[Level, dict[str, str]]:
    if now.rows < policy.minimum_rows or now.days < MINIMUM_DAYS:
        return "not_enough_data", {}
    behind = fell_behind(now, promised)
    return "drift" if "drift" in behind.values() else "warn" if behind else "ok", behind


def deciding(assessments: Iterable[Assessment]) -> list[Assessment]:
    """Return what decides: the rolling windows of champions, or of all roles where no champion has a verdict.

    A challenger is there to be tried: that it is worse than promised is no incident.
    """
    rolling = [one for one in assessments if one.kind == "rolling"]
    champions = [one for one in rolling if one.role == CHAMPION and one.level != "not_enough_data"]
    return champions or rolling


def overall(assessments: Iterable[Assessment]) -> Level:
    """Return the worst verdict of those that decide."""
    return max((one.level for one in deciding(assessments)), key=_ORDER.index, default="not_enough_data")


def delays(seconds: Array) -> dict[str, float | None]:
    """Return the median, the 95th percentile and the maximum of label delays, in seconds; None where there are none.

    >>> delays(np.array([1.0, 2.0, 9.0]))
    {'p50': 2.0, 'p95': 8.3, 'max': 9.0}
    """
    if not len(seconds):
        return {"p50": None, "p95": None, "max": None}
    p50, p95 = np.quantile(seconds, [0.5, LEVEL])
    return {"p50": float(p50), "p95": round(float(p95), 6), "max": float(seconds.max())}
