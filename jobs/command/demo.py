"""``scoretrail demo``: the example of a checkout, run from its root."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Final

import typer

from jobs.command.invocation import Invocation
from scoretrail.errors import UsageError

_PROGRAM: Final = Path("examples/flights/demo.py")


def demo(
    invocation: Invocation,
    *,
    december: Annotated[
        bool, typer.Option("--december", help="Replay the whole of December to the stream, not only a week.")
    ] = False,
) -> None:
    """Score real flights, in batch and as a stream, and show that both score the same; some minutes.

    Raises:
        UsageError: this is no checkout.
    """
    if not _PROGRAM.is_file():
        raise UsageError(
            "the demo runs in a checkout of the project",
            where=str(Path.cwd()),
            expected=str(_PROGRAM),
            fix="clone the repository and run `make demo` there",
        )
    # The example belongs to the checkout, not to the installed packages: find it from here.
    sys.path.insert(0, str(Path.cwd()))
    import_module("examples.flights.demo").run(invocation, whole_month=december)
