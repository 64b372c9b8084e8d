"""``scoretrail erase``: an entity taken out of the online store, the archive, scored and labelled tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.command.invocation import Invocation
from scoretrail.errors import UsageError

if TYPE_CHECKING:
    from scoretrail.table import OutputTable

_TOPICS = (
    "topics (events, predictions, dead letters, redriven events): until their retention; an archiver that has not "
    "caught up copies from them, so erase again afterwards"
)
_SOURCES = (
    "input files of batch runs, outcomes and tables of stored features: the entity comes back when they are scored, "
    "joined or materialized again with it"
)
_COPIES = "copies that others made: backups, replicas, readers of topics and tables"


def erase(
    invocation: Invocation,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The entity's key.")],
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Who asked, and why; it is kept with the record.")],
    table: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URI",
            help="A scored or labelled table, or an archive; its rejects go too. Default: archive.table, batch.table, "
            "labels.table.",
        ),
    ] = None,
    vacuum: Annotated[
        bool, typer.Option("--vacuum", help="Remove files of earlier versions that hold it at once.")
    ] = False,
) -> None:
    """Erase an entity from online store, archive, scored and labelled tables, and record that it was done.

    Raises:
        UsageError: no table is named, or the reason quotes the key.
    """
    from jobs.archive.erasure import ErasureRequest
    from jobs.archive.erasure import erase as erase_rows
    from scoretrail import log

    settings = invocation.settings
    tables = _tables(invocation, table)
    if key in reason:
        raise UsageError("the reason quotes the key, and would be kept", fix="name a ticket, not the entity")
    request = ErasureRequest(
        key=key,
        reason=reason,
        at=invocation.clock.now(),
        vacuum=vacuum,
        row_group_rows=settings.batch.row_group_rows,
        options=settings.storage.plain(),
    )
    values = _erase_online(invocation, key)
    records = [erase_rows(one, request) for one in tables]
    log.get().info(log.ENTITY_ERASED, key_sha256=request.key_sha256, values=values, rows=sum(r.rows for r in records))
    terminal = invocation.terminal
    columns = ("table", "rows erased", "files rewritten", "files vacuumed", "superseded files that hold it")
    rows = [(r.table, r.rows, r.files_rewritten, r.files_vacuumed, r.superseded) for r in records]
    terminal.table(f"sha256 of the key: {request.key_sha256}", columns, rows)
    terminal.facts("online store", {"values erased": "no store is configured" if values is None else values})
    left = sum(record.superseded for record in records)
    beyond = [
        *([f"{left} superseded files: until `scoretrail table vacuum`, or --vacuum"] if left else []),
        _TOPICS,
        _SOURCES,
        _COPIES,
    ]
    terminal.text("not reached:")
    for line in beyond:
        terminal.text(f"- {line}")
    terminal.result(
        {
            "key_sha256": request.key_sha256,
            "online_values": values,
            "tables": [vars(record) for record in records],
            "not_reached": beyond,
        }
    )


def _tables(invocation: Invocation, given: list[str] | None) -> list[OutputTable]:
    """Return the tables that are meant, and the rejects beside them.

    Raises:
        UsageError: none is named, or one is not there.
    """
    from scoretrail.storage import normalise_uri
    from scoretrail.table import OutputTable

    settings = invocation.settings
    named = given or [uri for uri in (settings.archive.table, settings.batch.table, settings.labels.table) if uri]
    if not named:
        raise UsageError("which tables?", fix="give --table URI, or set archive.table, batch.table and labels.table")
    found: list[OutputTable] = []
    for uri in dict.fromkeys(normalise_uri(one) for one in named):
        table = OutputTable(uri, settings.storage.plain())
        if not table.exists:
            raise UsageError("there is no table here", where=uri)
        rejects = OutputTable(f"{uri}_rejects", settings.storage.plain())
        found += [table, *([rejects] if rejects.exists else [])]
    return found


def _erase_online(invocation: Invocation, key: str) -> int | None:
    """Return how many values the online store had; None where none is configured."""
    from jobs.online import open_store

    settings = invocation.settings
    if not settings.online.uri:
        return None
    store: Any = open_store(settings.online)
    try:
        return int(store.erase(key))
    finally:
        store.close()
