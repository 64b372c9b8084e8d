"""``scoretrail status``: what is wrong with a model, and everything that is known of its health."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.command.invocation import Invocation
from scoretrail.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from jobs.command.terminal import Terminal
    from jobs.health.gathering import Subject
    from jobs.health.report import Report


def status(
    invocation: Invocation,
    *,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The model; default that of the table's newest run, or the registry's only one."
        ),
    ] = None,
    table: Annotated[
        str | None, typer.Option("--table", metavar="URI", help="The scored table (setting batch.table).")
    ] = None,
    archive: Annotated[
        str | None, typer.Option(metavar="URI", help="The archive of the stream (setting archive.table).")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="URI", help="The labelled table (setting labels.table).")
    ] = None,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Write the page on the model's health there.")
    ] = None,
) -> None:
    """Show what is wrong with a model, worst first; then what serves, runs, stream, drift, performance, deployments.

    Raises:
        UsageError: it is not clear which model is meant.
        ConfigurationError: the page cannot be written there.
    """
    from jobs.health.gathering import gather
    from jobs.health.keeping import subject_of
    from jobs.health.page import render
    from jobs.health.report import report
    from scoretrail.feature.lean import keep_pandas_out

    keep_pandas_out()
    settings = invocation.settings
    subject = subject_of(settings, model or "", table=table, archive=archive, labelled=labels)
    subject = subject if model else replace(subject, model=_only_model(invocation, subject))
    found = report(gather(subject, invocation.registry, settings, invocation.clock))
    show_report(invocation.terminal, found, settings.health.runbooks)
    invocation.terminal.result(found.to_json())
    if page is not None:
        try:
            page.write_text(render(found, settings.health.runbooks), encoding="utf-8")
        except OSError as error:
            raise ConfigurationError("the page cannot be written", where=str(page), got=str(error)) from error
        invocation.terminal.step(f"page: {page.absolute()}")


def show_report(terminal: Terminal, found: Report, runbooks: str | None) -> None:
    """Print a report for people: the same sections as the page's.

    Args:
        terminal: where to.
        found: what is said.
        runbooks: where the runbook pages lie, if they are linked.
    """
    from jobs.health.problem import runbook_of
    from jobs.health.wording import moment

    terminal.text(f"{found.facts.model}, {moment(found.facts.at)}: {found.headline}")
    for one in found.problems:
        book = runbook_of(one, runbooks)
        terminal.text("")
        terminal.text(f"{one.severity}: {one.what}")
        more = (one.detail, one.command and f"$ {one.command}", book and f"runbook: {book[1] or book[0]}")
        for line in filter(None, more):
            terminal.text(f"  {line}")
    for section in found.sections:
        terminal.text("")
        terminal.text(f"{section.title.upper()}" + (f": {section.lead}" if section.lead else ""))
        for table in section.tables:
            terminal.table(table.caption, table.columns, [[cell.text for cell in row] for row in table.rows])
            if table.note:
                terminal.text(table.note)


def keep_page(invocation: Invocation, table: str, model: str | None) -> None:
    """Write the page of a model below a scored table, and say where; nothing where no model is known.

    Args:
        invocation: how the program was called.
        table: the scored table.
        model: its name; None where a run failed before it knew.
    """
    from jobs.health import keeping

    if model is None:
        return
    subject = keeping.subject_of(invocation.settings, model, table=table)
    place = keeping.keep_page(subject, invocation.registry, invocation.settings, invocation.clock)
    if place:
        invocation.terminal.step(f"model health: {place}")


def _only_model(invocation: Invocation, subject: Subject) -> str:
    """Return the model of the scored table's newest run, or the only one of the registry.

    Raises:
        UsageError: there are several, or none.
    """
    from jobs.health.batch import newest_model, read_runs
    from scoretrail.storage import Storage, join
    from scoretrail.trail.run import TRAIL_FOLDER, RunStore

    if subject.table:
        options = invocation.settings.storage.plain()
        found = newest_model(read_runs(RunStore(Storage(join(subject.table, TRAIL_FOLDER), options))))
        if found:
            return found
    models = invocation.registry.models()
    if len(models) != 1:
        raise UsageError(
            "which model?",
            where=invocation.registry_uri,
            got=", ".join(models) or "no model",
            fix="give --model NAME, or --table URI of a scored table",
        )
    return models[0]
