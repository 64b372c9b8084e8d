"""``scoretrail batch``: score Parquet files into a table."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.command.frame import command, group
from jobs.command.invocation import Invocation
from jobs.command.status import keep_page

if TYPE_CHECKING:
    from jobs.batch.request import BatchOutcome, DryRun

app = group("Score Parquet files into a Delta table, with a trail.")

_SHOWN_FILES = 10


class OnDrift(StrEnum):
    """What becomes of a run that drifts."""

    PUBLISH = "publish"
    HOLD = "hold"


@command(app)
def score(
    invocation: Invocation,
    *,
    model: Annotated[str, typer.Option(metavar="URI", help="models:/NAME/VERSION, models:/NAME@ALIAS, or a folder.")],
    input_: Annotated[str, typer.Option("--input", metavar="ROOT", help="Folder of Parquet files.")],
    output: Annotated[str, typer.Option(metavar="TABLE", help="The Delta table to publish to.")],
    slice_: Annotated[
        list[str] | None, typer.Option("--slice", metavar="K=V", help="Only partitions below it; repeatable.")
    ] = None,
    where: Annotated[str | None, typer.Option(metavar="EXPR", help="Only rows for which it is true.")] = None,
    partition_by: Annotated[
        list[str] | None,
        typer.Option(metavar="COL", help="Partition the table by it; repeatable. Default: as the input is."),
    ] = None,
    role: Annotated[str | None, typer.Option(metavar="R", help="Role of the scores. Default: the alias.")] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the input that stays when it moves.")
    ] = None,
    rejects: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Table of refused rows. Default: TABLE_rejects.")
    ] = None,
    master: Annotated[str | None, typer.Option(metavar="URL", help="Spark master (spark.master).")] = None,
    run_id: Annotated[str | None, typer.Option(metavar="ID", help="Name the run, or take it up again.")] = None,
    max_reject_ratio: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Publish nothing above it (batch.max_reject_ratio).")
    ] = None,
    on_drift: Annotated[
        OnDrift | None, typer.Option(help="What becomes of a run that drifts from the baseline (drift.on_drift).")
    ] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Do not publish: wait for `runs release` (exit 3).")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done; publish nothing.")] = False,
    rehash: Annotated[bool, typer.Option("--rehash", help="Hash every input file again.")] = False,
    allow_remove: Annotated[
        bool, typer.Option("--allow-remove", help="Let published rows go whose input is no longer there.")
    ] = False,
) -> None:
    """Score what is not scored yet, and publish it in one commit."""
    from jobs.batch.request import BatchRequest, outcome_of
    from jobs.batch.run import BatchRun
    from jobs.batch.spark.engine import SparkEngine
    from scoretrail.feature.lean import keep_pandas_out

    keep_pandas_out()
    invocation.override(
        {"spark.master": master, "batch.max_reject_ratio": max_reject_ratio, "drift.on_drift": on_drift}
    )
    request = BatchRequest(
        model=model,
        input=input_,
        output=output,
        slices=tuple(slice_ or ()),
        dataset=dataset,
        rejects=rejects,
        where=where,
        partition_by=tuple(partition_by or ()),
        role=role,
        run_id=run_id,
        hold=hold,
        dry_run=dry_run,
        rehash=rehash,
        allow_remove=allow_remove,
        command=shlex.join(["scoretrail", *sys.argv[1:]]),
    )
    engine = SparkEngine(invocation.settings.spark, f"scoretrail {model}")
    try:
        run = BatchRun(request, invocation.resolved, engine, invocation.terminal.progress())
        if dry_run:
            _show_dry_run(invocation, run.dry_run())
        else:
            try:
                outcome = outcome_of(run.score())
            finally:
                keep_page(invocation, run.output, run.model)
            # Last: under spark-submit messages share standard output, whose last line is the result.
            show_outcome(invocation, outcome)
    finally:
        engine.stop()


def show_outcome(invocation: Invocation, outcome: BatchOutcome) -> None:
    """Print what a run did."""
    terminal = invocation.terminal
    terminal.facts(
        f"run {outcome.run_id}: {outcome.status}",
        {
            "rows in": outcome.rows_in,
            "rows scored": outcome.rows_scored,
            "rows rejected": outcome.rows_rejected,
            "rows skipped": outcome.rows_skipped,
            "files scored": outcome.files_scored,
            "files skipped": outcome.files_skipped,
            "files removed": outcome.files_removed,
            "rows/s": outcome.rows_per_s,
            "seconds": outcome.seconds,
            "table": f"{outcome.table} version {outcome.table_version}",
            "rejects": outcome.rejects,
            "drift": _drift(outcome),
        },
    )
    terminal.result(outcome.to_json())
    table = shlex.quote(outcome.table)
    report = [f"scoretrail drift report --run {outcome.run_id} --table {table}"] if outcome.drift else []
    terminal.next(
        *report,
        f"scoretrail runs verify {outcome.run_id} --table {table}",
        f"scoretrail runs reproduce {outcome.run_id} --table {table}",
    )


def _drift(outcome: BatchOutcome) -> str:
    if outcome.drift is None:
        return "no verdict: nothing was scored, or the bundle has no baseline"
    level = outcome.drift.replace("_", " ")
    return f"{level}: {', '.join(outcome.drifted)}" if outcome.drifted else level


def _show_dry_run(invocation: Invocation, plan: DryRun) -> None:
    terminal = invocation.terminal
    terminal.facts(
        "dry run: nothing is published",
        {
            "slices": len(plan.slices),
            "files to score": len(plan.files_to_score),
            "rows to score": plan.rows_to_score,
            "files skipped": plan.files_skipped,
            "rows skipped": plan.rows_skipped,
            "files to remove": len(plan.files_to_remove),
            "rows to remove": plan.rows_to_remove,
        },
    )
    listed = [("score", path) for path in plan.files_to_score[:_SHOWN_FILES]]
    listed += [("remove", path) for path in plan.files_to_remove[:_SHOWN_FILES]]
    if listed:
        terminal.table(f"the first {_SHOWN_FILES} of each", ("", "file"), listed)
    terminal.result(plan.to_json())
