"""The verdict: what was scored, held against the baseline. Effects decide; p-values and usual days keep noise out."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, get_args

from scoretrail.config import DriftSettings
from scoretrail.errors import BundleError
from scoretrail.monitor.measure import Kind, Measured, indications, measure
from scoretrail.monitor.significance import adjusted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scoretrail.monitor.baseline import Baseline, Column
    from scoretrail.monitor.tally import Tally

_DEFAULT: Final = DriftSettings()
MINIMUM_ROWS: Final = _DEFAULT.minimum_rows
"""Below, shares of a few per cent are chance."""
FALSE_DISCOVERIES: Final = _DEFAULT.false_discoveries
"""Of what is called a difference, so much may be chance (Benjamini and Hochberg)."""


class Level(enum.StrEnum):
    """What is said of a column, or of everything; the later, the worse."""

    UNKNOWN = "not_enough_data"
    OK = "ok"
    WARN = "warn"
    DRIFT = "drift"


_ORDER: Final = tuple(Level)
_RAISED: Final = (Level.WARN, Level.DRIFT)


@dataclass(frozen=True)
class Check:
    """One measure of one column, and what is said of it."""

    measure: str
    kind: Kind
    level: Level
    value: float
    """The effect: a distance, or a share of rows."""
    warn: float
    drift: float
    """The thresholds."""
    source: str
    """Where they come from."""
    usual: float | None
    """The most that a day of the reference had; None where the rows are more than a day's, or it had too few days."""
    p_value: float
    """How often chance makes such a difference, adjusted for the number of checks."""
    detail: str


@dataclass(frozen=True)
class ColumnVerdict:
    """What is said of one column."""

    group: str
    name: str
    level: Level
    rows: int
    checks: tuple[Check, ...]
    """What decides."""
    indications: dict[str, float]
    """What else was measured."""

    @property
    def worst(self) -> Check | None:
        """The check that says most; None where there is none."""
        return max(self.checks, key=lambda one: (_ORDER.index(one.level), _reach(one)), default=None)


@dataclass(frozen=True)
class Verdict:
    """What is said of everything that was scored."""

    level: Level
    kinds: dict[str, Level]
    """Of the inputs' values (data), of scores and decisions (prediction), of how the data is made (upstream)."""
    rows: int
    is_day: bool
    """Whether the event times lie within a day, so that the reference's usual days count."""
    baseline_sha256: str
    tally_sha256: str
    columns: tuple[ColumnVerdict, ...]
    rows_left_out: int = 0
    """Of the run's input, that were scored before and have no counts in these bins: nothing is said of them."""
    before: str | None = None
    """The run before, of the same bundle, that a verdict was given on."""
    confirmed: tuple[str, ...] = ()
    """Columns that drifted in that run as well: one window may be an accident, two agree."""

    @property
    def raised(self) -> tuple[ColumnVerdict, ...]:
        """The columns at the verdict's level, the one that moved most first; none where all is well."""
        if self.level not in _RAISED:
            return ()
        found = [one for one in self.columns if one.level is self.level]
        return tuple(sorted(found, key=lambda one: -_reach(one.worst)))

    def after(self, run_id: str, verdict: Mapping[str, Any]) -> Verdict:
        """Return the verdict with what the one on an earlier run (:meth:`to_json`) confirms.

        Args:
            run_id: the earlier run.
            verdict: what was said of it.
        """
        then = {(one["group"], one["name"]) for one in verdict["columns"] if one["level"] == Level.DRIFT}
        now = [one for one in self.columns if one.level is Level.DRIFT]
        return replace(self, before=run_id, confirmed=tuple(one.name for one in now if (one.group, one.name) in then))

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as JSON values."""
        return asdict(self)


def judge(
    baseline: Baseline,
    tally: Tally,
    *,
    minimum_rows: int = MINIMUM_ROWS,
    false_discoveries: float = FALSE_DISCOVERIES,
) -> Verdict:
    """Return what is to be said of counted rows.

    A check is raised if its effect reaches a threshold; if chance does not make such differences (its p-value, adjusted
    for the number of checks, is at most ``false_discoveries``); and, for the rows of one day, if the effect is above
    what any day of the reference had: every day has but one day of the week.

    Args:
        baseline: what the rows are held against.
        tally: what was counted of them, in the baseline's bins.
        minimum_rows: with fewer rows nothing is said of a column.
        false_discoveries: see above.

    Raises:
        BundleError: the rows were counted in other bins.
    """
    if tally.baseline != baseline.sha256:
        raise BundleError("the counts are not of this baseline", expected=baseline.sha256, got=tally.baseline)
    pairs = list(zip(baseline.columns, tally.columns, strict=True))
    found = [list(measure(one.reference, now)) if now.rows >= minimum_rows else [] for one, now in pairs]
    p_values = iter(adjusted([one.p_value for several in found for one in several]))
    columns = []
    for (column, now), several in zip(pairs, found, strict=True):
        checks = tuple(_decide(one, column, next(p_values), false_discoveries, tally.is_day) for one in several)
        level = _worst(one.level for one in checks)
        others = indications(column.reference, now)
        columns.append(ColumnVerdict(column.group, column.name, level, now.rows, checks, others))
    every = [one for column in columns for one in column.checks]
    return Verdict(
        level=_worst(column.level for column in columns),
        kinds={kind: _worst(one.level for one in every if one.kind == kind) for kind in get_args(Kind)},
        rows=max((now.rows for now in tally.columns), default=0),
        is_day=tally.is_day,
        baseline_sha256=tally.baseline,
        tally_sha256=tally.digest,
        columns=tuple(columns),
    )


def _decide(one: Measured, column: Column, p_value: float, false_discoveries: float, is_day: bool) -> Check:  # noqa: FBT001
    limit = column.thresholds[one.measure]
    usual = column.usual.get(one.measure) if is_day else None
    level = Level.OK
    if p_value <= false_discoveries and one.value >= limit.warn and (usual is None or one.value > usual):
        level = Level.DRIFT if one.value >= limit.drift else Level.WARN
    return Check(
        measure=one.measure,
        kind=one.kind,
        level=level,
        value=one.value,
        warn=limit.warn,
        drift=limit.drift,
        source=limit.source,
        usual=usual,
        p_value=p_value,
        detail=one.detail,
    )


def _reach(check: Check | None) -> float:
    """Return how far a check is beyond its threshold."""
    return 0.0 if check is None else check.value / check.drift


def _worst(levels: Iterable[Level]) -> Level:
    return max(levels, key=_ORDER.index, default=Level.UNKNOWN)
