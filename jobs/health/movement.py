"""Tells how far what was scored is from what the model was trained on, column by column, the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobs.health.activity import nothing
from jobs.health.chart import Limits, blocks, sparkline
from jobs.health.gathering import RUNS
from jobs.health.section import Cell, Section, Table, figure, level
from jobs.health.wording import ABSENT, counted, number, plain

if TYPE_CHECKING:
    from jobs.health.fact import DriftSeries, Facts, Trend

_FIRST_COLUMNS: Final = 60
_OTHER_COLUMNS: Final = 15
"""Of further series fewer are shown, the worst first: the page stays small."""
_LEAD: Final = (
    "Each column by the measure that says most, as the newest verdict has it; the line shows that measure in all of "
    "them, with the thresholds of warn (dashed) and drift, and a strip below wherever one was raised. Where rows lie "
    "within one day, an effect also has to be above what a usual day of the training data had."
)


def drift(facts: Facts) -> Section:
    """Return the series of verdicts."""
    if not facts.series:
        otherwise = "No verdict: nothing was scored, or the bundle has no baseline (register it with --training-data)."
        return Section("drift", "Drift", nothing(facts.source(RUNS), otherwise))
    return Section("drift", "Drift", _LEAD, (), [_series(i, one) for i, one in enumerate(facts.series)])


def _series(place: int, one: DriftSeries) -> Table:
    shown = one.trends[: _OTHER_COLUMNS if place else _FIRST_COLUMNS]
    kinds = ", ".join(f"{kind} {plain(found)}" for kind, found in one.kinds.items())
    what = "runs" if one.source == "batch" else "days of the stream"
    caption = f"{one.role} {one.version}, {what}: {plain(one.level)}"
    left = f"; {counted(one.rows_left_out, 'row')} left out" if one.rows_left_out else ""
    more = len(one.trends) - len(shown)
    note = (
        f"Newest verdict on {one.points[-1]}: {kinds}; {counted(one.rows, 'row')}{left}. "
        f"{counted(len(one.points), 'verdict')} against this baseline, {one.levels.count('drift')} of them drift."
    )
    note += f" {counted(more, 'further column')} that moved less." if more else ""
    columns = (
        "column",
        "from",
        "verdict",
        "measure",
        "effect",
        "warn",
        "drift",
        "usual day",
        "verdicts, oldest to newest",
    )
    return Table(caption, columns, [_trend(f"series-{place}-{i}", one, trend) for i, trend in enumerate(shown)], note)


def _trend(name: str, one: DriftSeries, trend: Trend) -> list[Cell]:
    usual = trend.usual or 0.0
    limits = Limits(max(trend.warn, usual), max(trend.drift, usual))
    title = f"{trend.name}, {plain(trend.measure)}, {counted(len(trend.values), 'verdict')} to {one.points[-1]}"
    svg = sparkline(name, title, trend.values, trend.levels, limits)
    said = level(trend.level)
    return [
        Cell(trend.name, title=trend.detail or None),
        Cell(trend.group),
        Cell(f"{said.text}, confirmed", said.mark) if trend.is_confirmed else said,
        Cell(plain(trend.measure)),
        *(figure(number(value)) for value in (trend.value, trend.warn, trend.drift)),
        figure(ABSENT if trend.usual is None else number(trend.usual)),
        Cell(blocks(trend.values), picture=svg),
    ]
