"""Options that several commands share: which table is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scoretrail.errors import UsageError

if TYPE_CHECKING:
    from jobs.command.invocation import Invocation
    from scoretrail.table import OutputTable

TableOption = Annotated[
    str | None,
    typer.Option("--table", metavar="URI", help="The scored table (setting batch.table)."),
]


def table_uri(invocation: Invocation, given: str | None) -> str:
    """Return the table that a command means.

    Raises:
        UsageError: neither the option nor the setting names one.
    """
    from scoretrail.storage import normalise_uri

    chosen = given or invocation.settings.batch.table
    if not chosen:
        raise UsageError("which table?", fix="give --table URI, or set batch.table in conf/base.yaml")
    return normalise_uri(chosen)


def open_table(invocation: Invocation, given: str | None) -> OutputTable:
    """Return the table that a command means, loaded.

    Raises:
        UsageError: neither the option nor the setting names one.
        OutputTableError: there is no table.
    """
    from scoretrail.errors import OutputTableError
    from scoretrail.table import OutputTable

    uri = table_uri(invocation, given)
    table = OutputTable(uri, invocation.settings.storage.plain())
    if not table.exists:
        raise OutputTableError("there is no table here", where=uri, fix="`scoretrail batch score` makes one")
    return table
