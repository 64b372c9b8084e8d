"""``scoretrail stream archive`` and ``stream reproduce``: predictions kept in a table, and made again from it alone."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from jobs.command.again import EngineOption, scored_by
from jobs.command.frame import command, group
from jobs.command.invocation import Invocation
from scoretrail.errors import DifferenceError, OutputTableError, UsageError

app = group("Archive predictions, and make them again from the archive.")

ArchiveOption = Annotated[
    str | None, typer.Option("--table", metavar="URI", help="The archive, a Delta table (archive.table).")
]


@command(app)
def archive(
    invocation: Invocation,
    *,
    table: ArchiveOption = None,
    model: Annotated[
        str | None, typer.Option(metavar="URI", help="models:/NAME@ALIAS, whose predictions these are (stream.model).")
    ] = None,
    predictions: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Topic of predictions (stream.predictions).")
    ] = None,
    bootstrap: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help="A broker (kafka.bootstrap). Repeatable.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Archive what is there now, then end.")] = False,
) -> None:
    """Copy predictions to a Delta table, each exactly once, until SIGTERM.

    Raises:
        UsageError: no model is named.
    """
    from jobs.archive.service import ArchiveRequest, archive_uri
    from jobs.archive.service import archive as run
    from jobs.health.keeping import keep_page, subject_of
    from jobs.stream.operation.stopping import Stopping

    invocation.override(
        {
            "archive.table": table,
            "stream.model": model,
            "stream.predictions": predictions,
            "kafka.bootstrap": bootstrap or None,
        }
    )
    settings = invocation.settings
    if not settings.stream.model:
        raise UsageError("whose predictions?", expected="--model models:/NAME@ALIAS, or stream.model")
    uri = archive_uri(settings)
    stopping = Stopping(settings.stream.drain_s)
    stopping.listen()
    named = invocation.registry.resolve(settings.stream.model, settings.storage.plain()).manifest.name
    subject = subject_of(settings, named, archive=uri)

    def keep() -> None:
        keep_page(subject, invocation.registry, settings, invocation.clock)

    request = ArchiveRequest(model=settings.stream.model, once=once, on_kept=keep)
    totals = run(settings, invocation.registry, request, invocation.clock, stopping)
    invocation.terminal.facts(f"archived to {uri}", vars(totals))
    invocation.terminal.result({"table": uri, **vars(totals)})
    invocation.terminal.next(f"scoretrail stream reproduce --table {shlex.quote(uri)}")


@command(app)
def reproduce(
    invocation: Invocation,
    rows: Annotated[
        str | None, typer.Argument(metavar="[COLUMN=VALUE]", help="Which rows, such as event_date=2013-12-02.")
    ] = None,
    table: ArchiveOption = None,
    engine: EngineOption = None,
) -> None:
    """Score archived inputs again and compare every bit; exit 3 when one differs.

    Any engine must come to the same bits: --engine onnxruntime shows it of rows that the tree kernel scored.

    Raises:
        DifferenceError: one does.
        OutputTableError: there is no table.
    """
    from jobs.archive.reproduce import reproduce as compare
    from jobs.archive.service import archive_uri
    from jobs.command.trail import row_filter
    from scoretrail.table import OutputTable

    settings = scored_by(invocation.settings, engine)
    opened = OutputTable(archive_uri(settings, table), settings.storage.plain())
    if not opened.exists:
        raise OutputTableError("there is no table here", where=opened.uri, fix="`scoretrail stream archive` makes one")
    chosen = row_filter(opened.to_pyarrow_dataset(), rows) if rows else None
    result = compare(opened, invocation.registry, settings, invocation.terminal.progress(), chosen)
    invocation.terminal.facts(
        opened.uri,
        {
            "rows": result.rows,
            "equal, bit for bit": result.equal,
            "different": result.different,
            "bundles": len(result.bundles),
        },
    )
    if result.differences:
        columns = ("source", "column", "archived", "again")
        shown = [[getattr(one, name) for name in columns] for one in result.differences]
        invocation.terminal.table("the first differences", columns, shown)
    invocation.terminal.result(result.to_json())
    if result.different:
        raise DifferenceError(f"{result.different} of {result.rows} rows came out differently", where=opened.uri)
