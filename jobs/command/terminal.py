"""What goes where: results on standard output, for people or as one JSON object; all else on standard error."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeAlias

from scoretrail.errors import Disposition, ScoretrailError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jobs.progress import Progress
    from scoretrail.digest import Json

Cell: TypeAlias = "str | bool | int | float | None"
GOOD: Final = "✓"
BAD: Final = "✗"
_MARK_STYLES: Final = {GOOD: "green", BAD: "bold red"}
"""A cell that is only a mark gets its colour."""
_GAP: Final = "  "
_WHOLE_FROM: Final = 1000
"""From here on nobody reads a float's decimals."""


class Terminal:
    """Speaks to whoever runs a command.

    On a terminal there are colours and bars, elsewhere plain lines. ``quiet`` leaves results, warnings and errors;
    ``as_json`` makes the result the one thing on standard output, as one JSON object in one line. Commands call
    everything that they have to say; what does not apply here is not shown.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        as_json: bool = False,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        """Open both streams; by default the process's own."""
        self._quiet = quiet
        self._as_json = as_json
        self._out = _Stream(stdout or sys.stdout)
        self._err = _Stream(stderr or sys.stderr)
        self._progress: Progress | None = None
        self._has_result = False

    # --- results, on standard output ----------------------------------------------------------------------------------

    def result(self, value: Mapping[str, Any]) -> None:
        """Print the command's result, JSON values, under ``--json``; call it once, whether or not it is asked for."""
        self._has_result = True
        if self._as_json:
            # ASCII, so that it is valid JSON whatever the encoding of the stream is.
            self._out.line(json.dumps(value, allow_nan=False, default=_refuse))

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """Print rows for people: drawn on a terminal, aligned text elsewhere; numbers to the right."""
        if not self._as_json:
            self._out.table(title, columns, list(rows))

    def facts(self, title: str, pairs: Mapping[str, Cell]) -> None:
        """Print names and their values for people, one pair a line."""
        if not self._as_json:
            self._out.table(title, ("", ""), list(pairs.items()))

    def text(self, text: str) -> None:
        """Print a text for people."""
        if not self._as_json:
            self._out.line(text)

    def markdown(self, text: str) -> None:
        """Print Markdown for people: set on a terminal, as it is elsewhere."""
        if not self._as_json:
            self._out.markdown(text)

    # --- messages, on standard error ----------------------------------------------------------------------------------

    def step(self, text: str) -> None:
        """Say what begins now."""
        self.progress().step(text)

    def warn(self, text: str) -> None:
        """Say what someone should look at; also when quiet."""
        self._err.line(f"warning: {text}", style="yellow")

    def next(self, *commands: str) -> None:
        """Say what to run next: a command's last words."""
        if self._quiet or self._as_json or not commands:
            return
        self._out.flush()
        head, *more = commands
        self._err.line(f"next: {head}", style="cyan")
        for command in more:
            self._err.line(f"      {command}", style="cyan")

    def progress(self) -> Progress:
        """Return who listens to a job: a bar on a terminal, plain lines elsewhere, nobody when quiet."""
        if self._progress is None:
            self._progress = self._listener()
        return self._progress

    def _listener(self) -> Progress:
        if self._quiet:
            from jobs.progress import SilentProgress

            return SilentProgress()
        from jobs.command.progress import BarProgress, LineProgress

        return BarProgress(self._err.console()) if self._err.is_terminal else LineProgress(self._err.file)

    def error(self, error: ScoretrailError, exit_code: int | None = None) -> None:
        """Print the five parts of a failure; under ``--json`` also as the object, if there was no result.

        Args:
            error: what went wrong.
            exit_code: the process's exit code, where it is not the error's own.
        """
        self.close()
        self._out.flush()
        self._err.line(f"error: {error.what}", style="bold red")
        for name, text in parts(error).items():
            self._err.line(f"  {name}: {text}")
        if self._as_json and not self._has_result:
            code = int(error.exit_code) if exit_code is None else exit_code
            self.result({"error": {**_as_json(error), "exit_code": code}})

    def close(self) -> None:
        """Stop a bar that a failure left running."""
        if self._progress is not None:
            self._progress.stop()


def parts(error: ScoretrailError) -> dict[str, str]:
    """Return the parts of a failure below its first line, the empty ones left out.

    >>> parts(ScoretrailError("no such model", got="fligt"))
    {'got': 'fligt'}
    """
    fix = error.fix
    if fix is None and error.disposition is Disposition.RETRY:
        fix = "run the same command again later"
    named = {"where": error.where, "expected": error.expected, "got": error.got, "what to do": fix}
    return {name: text for name, text in named.items() if text}


def _as_json(error: ScoretrailError) -> dict[str, Json]:
    return {
        "type": type(error).__name__,
        "what": error.what,
        "where": error.where,
        "expected": error.expected,
        "got": error.got,
        "fix": error.fix,
        "disposition": error.disposition.value,
    }


class _Stream:
    """One of the two streams, drawn on or written to."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.is_terminal = file.isatty() and os.environ.get("TERM") != "dumb"
        self._console: Any = None

    def console(self) -> Any:  # noqa: ANN401  (rich loads only where there is a terminal)
        if self._console is None:
            from rich.console import Console

            self._console = Console(file=self.file)
        return self._console

    def line(self, text: str, style: str | None = None) -> None:
        if self.is_terminal:
            # Soft wrap: a command that is copied from the screen must not hold line breaks of ours.
            self.console().print(text, style=style, markup=False, highlight=False, soft_wrap=True)
        else:
            self.file.write(f"{text}\n")

    def table(self, title: str, columns: Sequence[str], rows: list[Sequence[Cell]]) -> None:
        right = [_is_numeric(row[i] for row in rows) for i in range(len(columns))]
        if self.is_terminal:
            self.console().print(_drawn(title, columns, rows, right))
        else:
            self.file.write(_aligned(title, columns, rows, right))

    def markdown(self, text: str) -> None:
        if self.is_terminal:
            from rich.markdown import Markdown

            self.console().print(Markdown(text))
        else:
            self.file.write(f"{text.rstrip()}\n")

    def flush(self) -> None:
        self.file.flush()


def _drawn(title: str, columns: Sequence[str], rows: list[Sequence[Cell]], right: list[bool]) -> Any:  # noqa: ANN401
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_header=any(columns))
    for name, numeric in zip(columns, right, strict=True):
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        shown = [shown_cell(cell) for cell in row]
        table.add_row(*(Text(text, style=_MARK_STYLES.get(text, "")) for text in shown))
    return table


def _aligned(title: str, columns: Sequence[str], rows: list[Sequence[Cell]], right: list[bool]) -> str:
    lines = [[" ".join(shown_cell(cell).splitlines()) for cell in row] for row in rows]
    if any(columns):
        lines.insert(0, list(columns))
    widths = [max((len(line[i]) for line in lines), default=0) for i in range(len(columns))]
    aligned = [
        _GAP.join(
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    ]
    return "".join(f"{line}\n" for line in [title, *aligned] if line)


def shown_cell(cell: Cell) -> str:
    """Return a value as people read it.

    >>> shown_cell(336776), shown_cell(0.61234567), shown_cell(812345.6), shown_cell(True), shown_cell(None)
    ('336,776', '0.6123', '812,346', 'yes', '-')
    """
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= _WHOLE_FROM else f"{cell:.4g}"
    return cell


def _is_numeric(cells: Iterable[Cell]) -> bool:
    there = [cell for cell in cells if cell is not None]
    return bool(there) and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in there)


def _refuse(value: object) -> str:
    msg = f"{type(value).__name__} is no JSON: convert it where the result is made"
    raise TypeError(msg)
