"""Tells what was scored of late, in batch and as a stream, and what waits for somebody."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from jobs.health.chart import blocks, sparkline
from jobs.health.deployment import importance
from jobs.health.gathering import METRICS, RUNS, STREAM
from jobs.health.section import Cell, Mark, Section, Table, code, figure, level
from jobs.health.wording import ABSENT, ago, counted, duration, listed, moment, number, share

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobs.health.fact import Facts, Flow, Run, Source, Volume

_RUNS: Final = 10
"""Of each role."""
_STATUS: Final[dict[str, Mark]] = {
    "published": "good",
    "unchanged": "good",
    "held": "note",
    "unfinished": "note",
    "refused": "bad",
    "damaged": "bad",
}


def runs(facts: Facts) -> Section:
    """Return the newest runs, the rates of those before, and what is held."""
    title = "Batch runs"
    if not facts.runs:
        return Section("runs", title, nothing(facts.source(RUNS), "No run of this model."))
    held = [one for one in facts.runs if one.status == "held" and not one.is_settled]
    roles = sorted({one.role for one in facts.runs}, key=importance)
    newest = [_newest(role, [one for one in facts.runs if one.role == role]) for role in roles]
    tables = [*([_held(held, facts)] if held else []), *newest, *_reasons(facts.runs), *_rates(facts.runs, roles)]
    return Section("runs", title, _lead(facts, roles), (), tables)


def stream(facts: Facts) -> Section:
    """Return how the workers do, and what they have archived."""
    asked, kept = facts.source(METRICS), facts.source(STREAM)
    lines = [] if facts.flows else [nothing(asked, "Prometheus knows no worker of this model.")]
    if facts.archived_at:
        lines.append(
            f"The archive was last committed to {ago(facts.archived_at, facts.at)}, {moment(facts.archived_at)}."
        )
    elif not facts.volumes:
        lines.append(nothing(kept, "The archive has no prediction of this model."))
    tables = []
    if facts.flows:
        columns = ("role", "workers", "events/s", "dead letters", "lag, records", "lag", "latency p50", "p95", "p99")
        tables.append(
            Table("Workers now, rates of the last five minutes", columns, [_flow(one) for one in facts.flows])
        )
    if facts.volumes:
        tables.append(_volumes(facts.volumes))
    return Section("stream", "Stream", " ".join(lines), (), tables)


def nothing(source: Source | None, otherwise: str) -> str:
    """Return why there is nothing to be shown of a source."""
    if source is None or source.state in {"read", "empty"}:
        return otherwise
    why = "was not read" if source.state == "absent" else "cannot be read"
    return f"{source.name[:1].upper()}{source.name[1:]} {why}: {source.detail}."


def _lead(facts: Facts, roles: Sequence[str]) -> str:
    told = []
    for role in roles:
        at = max(
            (one.finished_at or "" for one in facts.runs if (one.role, one.status) == (role, "published")), default=""
        )
        if role:
            told.append(f"{role} {ago(at, facts.at)}, {moment(at)}" if at else f"{role} none")
    return f"Last publications: {'; '.join(told)}." if told else ""


def _newest(role: str, found: Sequence[Run]) -> Table:
    shown = found[-_RUNS:][::-1]
    caption = f"{role or 'Role not known'}, the newest runs first: {len(shown)} of the {len(found)} that were read"
    columns = (
        "run",
        "status",
        "version",
        "slices",
        "finished",
        "rows in",
        "scored",
        "rejected",
        "rows/s",
        "took",
        "drift",
    )
    return Table(caption, columns, [_run(one) for one in shown])


def _run(run: Run) -> list[Cell]:
    return [
        code(run.run_id),
        Cell(run.status, _STATUS[run.status]),
        Cell(run.version or ABSENT),
        Cell(_slices(run)),
        Cell(moment(run.finished_at or None)),
        *(figure(number(run.rows.get(name))) for name in ("in", "scored", "rejected")),
        figure(number(run.rows_per_s)),
        figure(duration(run.seconds)),
        level(run.level),
    ]


def _slices(run: Run) -> str:
    if not run.slices:
        return ABSENT
    return run.slices[0] if len(run.slices) == 1 else counted(len(run.slices), "slice")


def _held(held: Sequence[Run], facts: Facts) -> Table:
    source = facts.source(RUNS)
    place = shlex.quote(source.place) if source and source.place else "TABLE"
    rows = [
        [
            code(one.run_id),
            Cell(_slices(one)),
            Cell(moment(one.finished_at)),
            level(one.level),
            code(f"scoretrail runs release {shlex.quote(one.run_id)} --table {place}"),
        ]
        for one in reversed(held)
    ]
    return Table("Held: complete, not published", ("run", "slices", "since", "drift", "publishes it"), rows)


def _reasons(found: Sequence[Run]) -> list[Table]:
    """Return why rows were rejected, over all runs that were read; none where none was."""
    sums: dict[str, list[int]] = {}
    last: dict[str, str] = {}
    for run in found:
        for reason, rows in run.reasons.items():
            sums.setdefault(reason, []).append(rows)
            last[reason] = run.run_id
    if not sums:
        return []
    lines = [
        [Cell(reason), figure(number(sum(each))), figure(number(len(each))), code(last[reason])]
        for reason, each in sorted(sums.items(), key=lambda item: -sum(item[1]))
    ]
    return [Table("Why rows were rejected", ("reason", "rows", "runs", "newest"), lines)]


def _rates(found: Sequence[Run], roles: Sequence[str]) -> list[Table]:
    rows: list[list[Cell]] = []
    for i, role in enumerate(roles):
        done = [run for run in found if run.role == role and run.status in {"published", "held"} and run.rows.get("in")]
        if done:
            rejected = [run.rows.get("rejected", 0) / run.rows["in"] for run in done]
            rows += [
                _rate(f"rows/s, {role}", [run.rows_per_s or 0.0 for run in done], number, f"speed-{i}"),
                _rate(f"rows in, {role}", [float(run.rows["in"]) for run in done], number, f"size-{i}"),
                _rate(f"share rejected, {role}", rejected, share, f"rejected-{i}"),
            ]
    return [Table("Rates, oldest run to newest", ("", "newest", "lowest", "highest", "runs"), rows)] if rows else []


def _rate(what: str, values: Sequence[float], told: Callable[[float], str], name: str) -> list[Cell]:
    svg = sparkline(name, f"{what}, over {counted(len(values), 'run')}", values)
    ends = [figure(told(one)) for one in (values[-1], min(values), max(values))]
    return [Cell(what), *ends, Cell(blocks(values), picture=svg)]


def _flow(one: Flow) -> list[Cell]:
    return [
        Cell(one.role or ABSENT),
        figure(number(one.workers)),
        figure(number(one.events_per_s)),
        figure(share(one.dead_letter_ratio)),
        figure(number(one.lag_records)),
        *(figure(duration(value)) for value in (one.lag_s, one.p50_s, one.p95_s, one.p99_s)),
    ]


def _volumes(found: Sequence[Volume]) -> Table:
    rows: list[list[Cell]] = []
    for i, role in enumerate(dict.fromkeys(one.role for one in found)):
        ours = [one for one in found if one.role == role]
        days = dict.fromkeys(one.day for one in ours)
        values = [float(sum(one.rows for one in ours if one.day == day)) for day in days]
        uncounted = sum(one.rows - one.counted for one in ours)
        svg = sparkline(f"volume-{i}", f"Predictions a day, {role}, {ours[0].day} to {ours[-1].day}", values)
        versions = listed(list(dict.fromkeys(one.version for one in ours)))
        newest = [Cell(ours[-1].day), figure(number(values[-1])), figure(number(uncounted))]
        rows.append([Cell(role), Cell(versions), *newest, Cell(blocks(values), picture=svg)])
    columns = ("role", "versions", "newest day", "predictions on it", "not counted for drift", "days")
    return Table("Archived predictions by day of event time, oldest to newest", columns, rows)
