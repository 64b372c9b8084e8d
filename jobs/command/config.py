"""``scoretrail config``: every setting, its value and where it came from."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.command.frame import command, group
from jobs.command.invocation import Invocation

app = group("Show the settings.")


@command(app)
def show(
    invocation: Invocation,
    origin: Annotated[bool, typer.Option("--origin", help="Show where each value came from.")] = False,
) -> None:
    """Show every setting as it is in force; secrets are masked.

    Later layers win: defaults, base.yaml, env/NAME.yaml, secret files, the environment, the command line.
    """
    rows = list(invocation.resolved.rows())
    terminal = invocation.terminal
    if origin:
        terminal.table("settings", ("setting", "value", "origin"), [(name, _shown(v), o) for name, v, o in rows])
    else:
        terminal.table("settings", ("setting", "value"), [(name, _shown(value)) for name, value, _ in rows])
    terminal.result({"settings": {name: {"value": value, "origin": o} if origin else value for name, value, o in rows}})
    if not origin:
        terminal.next("scoretrail config show --origin")


def _shown(value: object) -> str:
    """Return a value as one writes it in a settings file."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value) if value != {} else "none"
