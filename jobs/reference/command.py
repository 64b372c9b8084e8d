"""The page of the command line, from the same declarations that ``--help`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from typer.main import get_command

from jobs.reference.page import anchor, page, prose, table

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMON: Final = "Common options"
"""The panel of the options that every command has."""
_SHELL: Final = frozenset({"install_completion", "show_completion"})

_INTRODUCTION: Final = """
Results go to standard output: tables on a terminal, plain lines elsewhere, one JSON object with `--json`. Progress,
logs and errors go to standard error. `NO_COLOR` and `TERM=dumb` are honoured. What the exit codes mean is in
[errors.md](errors.md), what can be set in [settings.md](settings.md).
"""


def commands_page() -> str:
    """Return the page."""
    from jobs.cli import NAME, app  # noqa: PLC0415  (the page is made of the program, the program not of the page)

    root: Any = get_command(app)
    found = list(_commands(root, NAME))
    index = table(
        ("command", "what it does"),
        [(f"[`{name}`](#{anchor(name)})", _summary(one)) for name, one in found],
    )
    common = [parameter for parameter in root.params if parameter.rich_help_panel == _COMMON]
    shell = [parameter for parameter in root.params if parameter.name in _SHELL or parameter.name == "version"]
    return page(
        "Command line",
        "jobs/cli.py and jobs/command/",
        _INTRODUCTION,
        index,
        "## Options of every command\n\nUnderstood before the command's name and after it.\n\n" + _parameters(common),
        "## Options of the program\n\n" + _parameters(shell),
        *(_section(name, one) for name, one in found),
    )


def _commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401  (typer's classes are private)
    for key, one in group.commands.items():
        full = f"{name} {key}"
        if hasattr(one, "commands"):
            yield from _commands(one, full)
        elif not one.hidden:
            yield full, one


def _section(name: str, one: Any) -> str:  # noqa: ANN401
    own = [parameter for parameter in one.params if parameter.rich_help_panel != _COMMON]
    arguments = [parameter for parameter in own if parameter.param_type_name == "argument"]
    required = [parameter for parameter in own if parameter.param_type_name == "option" and parameter.required]
    words = [name, *(_shown(parameter) for parameter in arguments), *(_shown(parameter) for parameter in required)]
    if len(own) > len(arguments) + len(required):
        words.append("[OPTIONS]")
    parts = [f"## {name}", f"```\n{' '.join(words)}\n```", prose(one.help or "")]
    return "\n\n".join([*parts, _parameters(own)] if own else parts)


def _parameters(parameters: list[Any]) -> str:
    return table(
        ("option", "meaning"),
        [(f"`{_shown(parameter)}`", _meaning(parameter)) for parameter in parameters if not parameter.hidden],
    )


def _shown(parameter: Any) -> str:  # noqa: ANN401
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    is_flag = parameter.is_bool_flag or parameter.name in _SHELL
    return names if is_flag else f"{names} {parameter.metavar or _kind(parameter)}"


def _kind(parameter: Any) -> str:  # noqa: ANN401
    annotation = parameter.type_descriptor.annotation
    return {"str": "TEXT", "int": "N", "float": "NUMBER"}.get(getattr(annotation, "__name__", ""), "VALUE")


def _meaning(parameter: Any) -> str:  # noqa: ANN401
    extra = []
    if parameter.required:
        extra.append("Required.")
    elif parameter.param_type_name == "option" and not parameter.is_bool_flag and parameter.default not in (None, ()):
        extra.append(f"Default: {parameter.default}.")
    return " ".join([prose(parameter.help or ""), *extra])


def _summary(one: Any) -> str:  # noqa: ANN401
    return prose((one.help or "").partition("\n\n")[0])
