"""How a function becomes a command: it is handed the invocation, and its options are joined by the common ones."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from jobs.command.invocation import Invocation

if TYPE_CHECKING:
    from collections.abc import Callable

_PANEL: Final = "Common options"
_EXIT_CODES: Final = (
    "Exit codes: 0 done, 2 usage, 3 a gate said no, 65 bad data or bundle, 70 limit exceeded, 75 try again later, "
    "78 configuration."
)


def _common(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object.", rich_help_panel=_PANEL)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the result only, no progress.", rich_help_panel=_PANEL)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Print the traceback of a failure.", rich_help_panel=_PANEL)
    ] = False,
    conf: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Folder with base.yaml and env/ (SCORETRAIL_CONF, else conf).",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option(
            "--env", metavar="NAME", help="Settings of env/NAME.yaml (SCORETRAIL_ENV).", rich_help_panel=_PANEL
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SECTION.KEY=VALUE", help="One setting, over all others.", rich_help_panel=_PANEL
        ),
    ] = None,
) -> None:
    """Hold the common options in the form in which typer reads options."""


_COMMON: Final = tuple(inspect.signature(_common, eval_str=True).parameters.values())
_CONTEXT: Final = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)


def group(summary: str) -> typer.Typer:
    """Return an application for a group of commands; ``jobs.cli`` adds it under its name."""
    return typer.Typer(help=summary, no_args_is_help=True, add_completion=False)


def command(app: typer.Typer, name: str | None = None, **options: Any) -> Callable[[Callable[..., None]], Any]:  # noqa: ANN401
    """Return a decorator that adds a function to ``app`` as a command.

    The function takes an :class:`Invocation` first, then its own options, declared as typer wants them. The common
    options are understood before the command's name and after it.

    Args:
        app: the group, or the program itself.
        name: the command's name; default the function's.
        options: further arguments of :meth:`typer.Typer.command`.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        app.command(name, **options)(_handing_over(function))
        return function

    return decorate


def entry(app: typer.Typer) -> Callable[[Callable[..., None]], Any]:
    """Return a decorator for the function that runs before every command: it takes the invocation and root options."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        app.callback(epilog=_EXIT_CODES)(_handing_over(function))
        return function

    return decorate


def _handing_over(function: Callable[..., None]) -> Callable[..., None]:
    """Return the function as typer is to see it: without the invocation, with a context and the common options.

    Raises:
        TypeError: it does not take an invocation first.
    """
    signature = inspect.signature(function, eval_str=True)
    first, *own = signature.parameters.values()
    if first.annotation is not Invocation:
        msg = f"{function.__qualname__} takes an Invocation first"
        raise TypeError(msg)

    @functools.wraps(function)
    def handed(ctx: typer.Context, **values: Any) -> None:  # noqa: ANN401
        root = ctx.find_root()
        if root.obj is None:
            root.obj = Invocation()
        invocation: Invocation = root.obj
        invocation.take(**{parameter.name: values.pop(parameter.name) for parameter in _COMMON})
        function(invocation, **values)

    # The help is the docstring's prose; what may be raised is for readers of the code.
    handed.__doc__ = inspect.cleandoc(function.__doc__ or "").partition("\n\nRaises:")[0]
    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*own, *_COMMON)]
    handed.__signature__ = inspect.Signature([_CONTEXT, *keywords])  # type: ignore[attr-defined]
    return handed
