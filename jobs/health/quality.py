"""Tells how good scores were once outcomes were known, and how many outcomes are known how late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobs.health.activity import nothing
from jobs.health.chart import band, blocks, reliability, sparkline
from jobs.health.deployment import importance
from jobs.health.gathering import LABELS
from jobs.health.section import Cell, Mark, Picture, Section, Table, figure, level
from jobs.health.wording import ABSENT, ago, counted, decimals, duration, moment, number, plain, share

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jobs.health.fact import Assessment, Facts, Figure, LabelJoin

_DRAWN: Final = ("roc_auc", "calibration_error")
_SHOWN: Final = (
    "roc_auc",
    "pr_auc",
    "log_loss",
    "brier",
    "calibration_error",
    "precision",
    "recall",
    "f1",
    "cost",
)
_ROWS: Final = (
    "predictions",
    "labelled",
    "unlabelled",
    "repeated",
    "corrected",
    "conflicting",
    "early",
    "unmatched",
)
_DELAYS: Final = ("p50", "p95", "max")
_SEGMENTS: Final = 8
_WEEKS: Final = 26
_BEHIND: Final[dict[str, Mark]] = {"warn": "note", "drift": "bad"}


def performance(facts: Facts) -> Section:
    """Return the rolling windows against what was promised, the weeks before them, calibration and segments."""
    title = "Performance"
    found = facts.labels.assessments if facts.labels else ()
    rolling = sorted((one for one in found if one.kind == "rolling"), key=lambda one: importance(one.role))
    if not rolling:
        return Section("performance", title, nothing(facts.source(LABELS), "No labelled prediction of this model yet."))
    pictures: list[Picture] = []
    tables: list[Table] = []
    for i, one in enumerate(rolling):
        whose = f"{one.role} {one.version}"
        weeks = [
            each for each in found if each.kind == "history" and (each.role, each.version) == (one.role, one.version)
        ]
        pictures += _drawn(f"performance-{i}", whose, one, weeks[-_WEEKS:])
        tables.append(_window(one))
        tables += _weeks(whose, weeks[-_WEEKS:])
        tables += _calibration(whose, one)
        tables += _segments(whose, found, one)
    lead = (
        "The rolling window against what the model's manifest promises, with intervals; drift: the whole interval lies "
        "on the bad side of the promised one."
    )
    return Section("performance", title, lead, pictures, tables)


def labels(facts: Facts) -> Section:
    """Return how many predictions have a label, and how late labels come."""
    title = "Labels"
    found = facts.labels
    if found is None:
        return Section("labels", title, nothing(facts.source(LABELS), "No labels were joined yet."))
    lead = f"Joined {ago(found.finished_at, facts.at)}, {moment(found.finished_at)}."
    return Section("labels", title, lead, (), [_coverage(found, facts.coverage)])


def _drawn(name: str, whose: str, now: Assessment, weeks: Sequence[Assessment]) -> Iterable[Picture]:
    for figure_name in _DRAWN if weeks else ():
        values = [_ends(one.figures.get(figure_name)) for one in weeks]
        promised = now.promised.get(figure_name)
        title = f"{plain(figure_name)} by week, {whose}"
        svg = band(
            f"{name}-{figure_name}",
            title,
            values,
            _ends(promised) if promised else None,
            (weeks[0].start, weeks[-1].end),
        )
        yield Picture(svg, f"{title}: value and interval; the grey band is what was promised")
    if now.calibration:
        title = f"Calibration, {whose}, {now.start} to {now.end}"
        yield Picture(reliability(f"{name}-calibration", title, now.calibration), title)


def _window(one: Assessment) -> Table:
    rows = []
    for name in _SHOWN:
        found, then = one.figures.get(name), one.promised.get(name)
        if found is not None:
            behind = one.behind.get(name)
            said = Cell(behind or ("ok" if then else ABSENT), _BEHIND.get(behind or "", "good" if then else None))
            rows.append([Cell(plain(name)), *_shown(found), *_shown(then), said])
    caption = f"{one.role} {one.version}, {one.start} to {one.end}: {plain(one.level)}"
    note = f"{counted(one.rows, 'labelled row')}, {number(one.positives)} of the second class."
    return Table(caption, ("", "now", "95 %", "promised", "95 %", "verdict"), rows, note)


def _weeks(whose: str, weeks: Sequence[Assessment]) -> Iterable[Table]:
    if weeks:
        rows = [
            [
                Cell(one.start),
                figure(number(one.rows)),
                *(cell for name in _DRAWN for cell in _shown(one.figures.get(name))),
                level(one.level),
            ]
            for one in reversed(weeks)
        ]
        heads = [head for name in _DRAWN for head in (plain(name), "95 %")]
        yield Table(f"{whose}, week by week, the newest first", ("week of", "rows", *heads, "verdict"), rows)


def _calibration(whose: str, one: Assessment) -> Iterable[Table]:
    if one.calibration:
        rows = [
            [figure(decimals(score)), figure(decimals(part)), figure(number(rows))]
            for score, part, rows in one.calibration
        ]
        yield Table(f"Calibration, {whose}", ("mean score", "came true", "rows"), rows)


def _segments(whose: str, found: Sequence[Assessment], window: Assessment) -> Iterable[Table]:
    ours = [
        one
        for one in found
        if one.kind == "segment"
        and (one.role, one.version) == (window.role, window.version)
        and one.figures.get("roc_auc")
    ]
    # By the upper end: where few rows make an interval wide, a low value says little.
    worst = sorted(ours, key=lambda one: _ends(one.figures["roc_auc"])[2] or 1.0)[:_SEGMENTS]
    if worst:
        rows = [
            [Cell(one.segment or ABSENT), figure(number(one.rows)), *_shown(one.figures["roc_auc"])] for one in worst
        ]
        caption = f"Segments that rank worst, {whose}: {len(worst)} of {len(ours)}"
        yield Table(caption, ("segment", "rows", "roc auc", "95 %"), rows)


def _coverage(found: LabelJoin, coverage: Sequence[tuple[str, float]]) -> Table:
    # In the order of a reader's questions; a record has its names in that of the alphabet.
    rows = [[Cell(plain(name)), figure(number(found.rows[name]))] for name in _ROWS if name in found.rows]
    values = [part for _, part in coverage]
    if values:
        rows.insert(0, [Cell("coverage"), figure(share(values[-1]))])
    if len(values) > 1:
        title = f"Share of predictions with a label, over {counted(len(values), 'join')}"
        rows.insert(1, [Cell("coverage by join"), Cell(blocks(values), picture=sparkline("coverage", title, values))])
    rows += [[Cell(f"delay of a label, {name}"), figure(duration(seconds))] for name, seconds in _delays(found)]
    return Table(f"Join {found.join_id}", ("", ""), rows)


def _delays(found: LabelJoin) -> list[tuple[str, float | None]]:
    return [(name, found.delay_s[name]) for name in _DELAYS if name in found.delay_s]


def _shown(found: Figure | None) -> list[Cell]:
    if found is None:
        return [figure(ABSENT), figure(ABSENT)]
    known = found.low is not None and found.high is not None
    return [
        figure(decimals(found.value)),
        figure(f"{decimals(found.low)} to {decimals(found.high)}" if known else ABSENT),
    ]


def _ends(found: Figure | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if found is None else (found.value, found.low, found.high)
