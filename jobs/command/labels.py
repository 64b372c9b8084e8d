"""``scoretrail labels``: outcomes joined to the predictions they belong to, and what is then known of performance."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from jobs.command.frame import command, group
from jobs.command.invocation import Invocation
from scoretrail.errors import DifferenceError, UsageError

if TYPE_CHECKING:
    from jobs.command.terminal import Cell, Terminal
    from scoretrail.model.manifest import Metric
    from scoretrail.trail.label_join import Assessment, LabelJoin

app = group("Join outcomes to predictions, and see how good these were.")

MARKS: Final = {"ok": "ok", "warn": "WARN", "drift": "DRIFT", "not_enough_data": "not enough data"}
_SHOWN: Final = ("roc_auc", "pr_auc", "brier", "log_loss", "calibration_error", "precision", "recall", "f1", "cost")
_BRIEF: Final = ("roc_auc", "brier", "calibration_error", "cost")
"""What is told of weeks and segments; the record has all."""
_SEGMENTS: Final = 8
"""Segments that are told."""

OutputOption = Annotated[str | None, typer.Option("--output", metavar="URI", help="The labelled table (labels.table).")]


@command(app)
def join(
    invocation: Invocation,
    *,
    predictions: Annotated[
        list[str], typer.Option(metavar="URI", help="A scored table, or the archive of a stream. Repeatable.")
    ],
    outcomes: Annotated[str, typer.Option(metavar="URI", help="Parquet file or folder with what came true.")],
    label: Annotated[str, typer.Option(metavar="COLUMN", help="Column of the outcome: one of the model's classes.")],
    known_at: Annotated[str, typer.Option(metavar="COLUMN", help="Column that says when the outcome became known.")],
    slices: Annotated[
        list[str] | None, typer.Option("--slice", metavar="KEY=VALUE", help="Outcomes of one partition. Repeatable.")
    ] = None,
    segment: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column of the outcomes to break down by (labels.segments). Repeatable."),
    ] = None,
    output: OutputOption = None,
    window: Annotated[
        int | None, typer.Option(min=7, metavar="DAYS", help="Event dates of the rolling window (labels.window_days).")
    ] = None,
    gate: Annotated[bool, typer.Option("--gate", help="Exit 3 if the verdict is drift.")] = False,
) -> None:
    """Join late outcomes to predictions by entity key and event time, and judge performance; twice changes nothing.

    Raises:
        UsageError: no labelled table is named.
        DifferenceError: performance fell behind what was promised, and ``--gate`` asked.
    """
    from jobs.health.keeping import keep_page, subject_of
    from jobs.labels.join import JoinRequest, LabelJoining
    from scoretrail.monitor.concept import deciding

    settings = invocation.settings
    chosen = output or settings.labels.table
    if not chosen:
        raise UsageError("which labelled table?", fix="give --output URI, or set labels.table in conf/base.yaml")
    request = JoinRequest(
        predictions=tuple(predictions),
        outcomes=outcomes,
        label=label,
        known_at=known_at,
        output=chosen,
        slices=tuple(slices or ()),
        segments=tuple(segment or settings.labels.segments),
        window_days=window or settings.labels.window_days,
        command=shlex.join(["scoretrail", *sys.argv[1:]]),
    )
    terminal = invocation.terminal
    record = LabelJoining(request, invocation.registry, settings, invocation.clock, terminal.progress()).run()
    for model in sorted({one.model["name"] for one in record.performance}):
        subject = subject_of(settings, model, labelled=record.output["table"])
        keep_page(subject, invocation.registry, settings, invocation.clock)
    show_join(terminal, record)
    terminal.result(record.to_json())
    if gate and record.level == "drift":
        raise DifferenceError(
            "performance fell behind what the model promised",
            where=record.output["table"],
            got="; ".join(
                f"{_whose(one)}: {_behind(one)}" for one in deciding(record.performance) if one.level == "drift"
            ),
        )
    terminal.next(f"scoretrail labels report --output {shlex.quote(record.output['table'])}")


@command(app)
def report(
    invocation: Invocation,
    join_id: Annotated[str, typer.Argument(metavar="[JOIN]", help="The join's id, or `latest`.")] = "latest",
    *,
    output: OutputOption = None,
) -> None:
    """Show the record of a join again.

    Raises:
        UsageError: no labelled table is named.
    """
    from scoretrail.storage import normalise_uri
    from scoretrail.trail.label_join import JoinStore

    settings = invocation.settings
    chosen = output or settings.labels.table
    if not chosen:
        raise UsageError("which labelled table?", fix="give --output URI, or set labels.table in conf/base.yaml")
    record = JoinStore(normalise_uri(chosen), settings.storage.plain()).find(join_id)
    show_join(invocation.terminal, record)
    invocation.terminal.result(record.to_json())


def show_join(terminal: Terminal, record: LabelJoin) -> None:
    """Print a record for people."""
    rows, delay = record.rows, record.delay_s
    share = f" ({rows['labelled'] / rows['predictions']:.1%})" if rows["predictions"] else ""
    facts = {
        "table": record.output["table"],
        "verdict": MARKS[record.level],
        "predictions": rows["predictions"],
        "labelled": f"{rows['labelled']:,}{share}",
        **{name: rows[name] for name in ("unlabelled", "repeated", "corrected", "conflicting", "early", "unmatched")},
        "label delay": ", ".join(f"{name} {_duration(seconds)}" for name, seconds in delay.items()),
    }
    terminal.facts(f"join {record.join_id}: {record.status}", facts)
    for one in record.performance:
        if one.kind == "rolling":
            _show_window(terminal, one)
    weeks = [one for one in record.performance if one.kind == "history"]
    _show_brief(terminal, "week by week", [(one.window["start"], one) for one in weeks])
    segments = [(f"{one.segment['column']} {one.segment['value']}", one) for one in record.performance if one.segment]
    lowest = sorted(segments, key=lambda named: _best_auc(named[1]))[:_SEGMENTS]
    _show_brief(terminal, f"segments that rank worst in the window, {len(lowest)} of {len(segments)}", lowest)


def _show_window(terminal: Terminal, one: Assessment) -> None:
    promised = {metric.name: metric for metric in one.promised}
    lines = []
    for name in _SHOWN:
        metric = one.figure(name)
        if metric is not None:
            then = promised.get(name)
            said = MARKS[one.behind.get(name, "ok")] if then and one.level != "not_enough_data" else ""
            lines.append([name.replace("_", " "), *_interval(metric), *_interval(then), said])
    title = (
        f"{_whose(one)}: {MARKS[one.level]}, {one.window['start']} to "
        f"{one.window['end']}, {one.rows:,} rows on {one.days} days"
    )
    terminal.table(title, ("", "now", "95 %", "promised", "95 %", ""), lines)


def _show_brief(terminal: Terminal, title: str, named: list[tuple[str, Assessment]]) -> None:
    if not named:
        return
    lines: list[list[Cell]] = []
    for name, one in named:
        auc, *others = (one.figure(figure) for figure in _BRIEF)
        shown = ["" if metric is None else f"{metric.value:.3f}" for metric in others]
        verdict = MARKS[one.level] if one.kind == "history" else ""
        lines.append([name, _whose(one), one.rows, *_interval(auc), *shown, verdict])
    auc_name, *names = (figure.replace("_", " ") for figure in _BRIEF)
    terminal.table(title, ("", "model", "rows", auc_name, "95 %", *names, ""), lines)


def _best_auc(one: Assessment) -> float:
    """Return the upper end of the area under the curve: where it is low, few rows are no excuse."""
    auc = one.figure("roc_auc")
    return 1.0 if auc is None or auc.high is None else auc.high


def _interval(metric: Metric | None) -> tuple[str, str]:
    if metric is None:
        return "", ""
    known = metric.low is not None and metric.high is not None
    return f"{metric.value:.3f}", f"{metric.low:.3f} to {metric.high:.3f}" if known else ""


def _whose(one: Assessment) -> str:
    return f"{one.model['name']} {one.model['version']}, {one.role}"


def _behind(one: Assessment) -> str:
    return ", ".join(name for name, level in sorted(one.behind.items()) if level == "drift")


def _duration(seconds: float | None) -> str:
    from jobs.command.progress import duration

    return "-" if seconds is None else duration(seconds)
