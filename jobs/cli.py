"""The console script ``scoretrail``: its commands, and the one place that turns an error into an exit code."""

from __future__ import annotations

import atexit
import contextlib
import os
import shlex
import sys
import traceback
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer
from typer.main import get_command

from jobs.command import (
    archive,
    batch,
    config,
    demo,
    doctor,
    drift,
    erase,
    features,
    labels,
    model,
    redrive,
    register,
    runs,
    services,
    status,
    stream,
    stream_verify,
    table,
    trail,
)
from jobs.command.frame import command, entry
from jobs.command.invocation import Invocation
from scoretrail import __version__
from scoretrail.errors import ScoretrailError

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME: Final = "scoretrail"
UNKNOWN: Final = 1
"""The exit code of a failure that none of our errors describes, and of a reader that went away."""
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""

app = typer.Typer(
    name=NAME,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
model.app.add_typer(register.app)  # without a name: its command joins the group's
app.add_typer(model.app, name="model")
app.add_typer(batch.app, name="batch")
app.add_typer(features.app, name="features")
app.add_typer(runs.app, name="runs")
app.add_typer(drift.app, name="drift")
app.add_typer(labels.app, name="labels")
stream.app.add_typer(redrive.app)
stream.app.add_typer(stream_verify.app)
stream.app.add_typer(archive.app)
app.add_typer(stream.app, name="stream")
command(app, "status")(status.status)
command(app, "trail")(trail.trail)
command(app, "erase")(erase.erase)
app.add_typer(table.app, name="table")
app.add_typer(services.app, name="services")
app.add_typer(config.app, name="config")
command(app, "doctor")(doctor.doctor)
command(app, "demo")(demo.demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{NAME} {__version__}")
        raise typer.Exit


@entry(app)
def root(
    invocation: Invocation,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Every score leaves a trail that anyone can re-run to the same bits."""
    del invocation, version


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; whatever goes wrong is said on standard error.

    Args:
        arguments: the command line without the program's name.
    """
    invocation = Invocation()
    _survive_any_encoding()
    try:
        code = _run(arguments, invocation)
        sys.stdout.flush()
    except ScoretrailError as error:
        code = _report(invocation, error)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        _hush()
        return UNKNOWN
    except Exception as error:  # noqa: BLE001  (the last frame: no traceback reaches a user who did not ask for it)
        code = _report_unknown(invocation, error, arguments)
    finally:
        invocation.terminal.close()
    return code


def _run(arguments: Sequence[str], invocation: Invocation) -> int:
    # Boxes are for people; a log or a pipe gets the plain form of help and usage errors.
    app.rich_markup_mode = "rich" if sys.stdout.isatty() and sys.stderr.isatty() else None
    try:
        get_command(app).main(args=list(arguments), prog_name=NAME, obj=invocation)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    return 0


def main() -> NoReturn:
    """Run the process's own command line, and leave without tearing the interpreter down.

    A pool of PyArrow's may still start a thread while the libraries are taken apart, and the process is aborted after
    all was said and done (7 of 100 calls of ``model verify`` with PyArrow 26.0.1). What waits for the exit runs before.
    """
    code = run(sys.argv[1:])
    atexit._run_exitfuncs()  # noqa: SLF001  (as multiprocessing's workers do, for the same reason)
    for file in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            file.flush()
    os._exit(code)


def _report(invocation: Invocation, error: ScoretrailError) -> int:
    if invocation.debug:
        traceback.print_exception(error)
    invocation.terminal.error(error)
    return int(error.exit_code)


def _report_unknown(invocation: Invocation, error: Exception, arguments: Sequence[str]) -> int:
    if invocation.debug:
        traceback.print_exception(error)
    named = ScoretrailError(
        "something unexpected went wrong",
        got=f"{type(error).__name__}: {error}",
        fix=f"for the traceback: {shlex.join([NAME, '--debug', *arguments])}",
    )
    invocation.terminal.error(named, UNKNOWN)
    return UNKNOWN


def _survive_any_encoding() -> None:
    """A mark that a stream cannot encode must not end a run."""
    for file in (sys.stdout, sys.stderr):
        reconfigure = getattr(file, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _hush() -> None:
    """Let the interpreter flush standard output into nothing at exit, for its reader is gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
