"""``scoretrail table``: keeps a scored table in shape."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.command.frame import command, group
from jobs.command.invocation import Invocation
from jobs.command.place import TableOption, open_table
from scoretrail.errors import UsageError

app = group("Compact and vacuum a table without touching its trail.")

_MIB = 2**20


@command(app)
def compact(
    invocation: Invocation,
    table: TableOption = None,
    target_mib: Annotated[int, typer.Option(min=1, metavar="MIB", help="Size that merged files grow to.")] = 128,
) -> None:
    """Merge small files within a scope and partition value."""
    from jobs.batch.output.maintain import compact as merge

    opened = open_table(invocation, table)
    settings = invocation.settings
    removed, added = merge(
        opened,
        target_bytes=target_mib * _MIB,
        row_group_rows=settings.batch.row_group_rows,
        options=settings.storage.plain(),
    )
    invocation.terminal.facts(opened.uri, {"files merged": removed, "into": added, "version": opened.version})
    invocation.terminal.result(
        {"table": opened.uri, "files_removed": removed, "files_added": added, "table_version": opened.version}
    )


@command(app)
def vacuum(
    invocation: Invocation,
    table: TableOption = None,
    retention_days: Annotated[
        int | None, typer.Option(min=0, metavar="DAYS", help="Keep superseded files this long (batch.retention_days).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would go.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Allow a retention below a day.")] = False,
) -> None:
    """Remove superseded files past their retention, and orphans; live, held and unfinished runs are spared.

    Raises:
        UsageError: no retention at all, without --force.
    """
    from jobs.batch.output.maintain import vacuum as remove

    opened = open_table(invocation, table)
    days = invocation.settings.batch.retention_days if retention_days is None else retention_days
    if days == 0 and not force:
        raise UsageError("readers that began before would lose their files", fix="give --force if there are none")
    gone = remove(
        opened,
        retention_days=days,
        options=invocation.settings.storage.plain(),
        now=invocation.clock.now(),
        dry_run=dry_run,
    )
    invocation.terminal.facts(opened.uri, {"files that would go" if dry_run else "files removed": len(gone)})
    invocation.terminal.result({"table": opened.uri, "dry_run": dry_run, "files": gone})
