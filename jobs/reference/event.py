"""The page of the log events: each constant, where it is logged, at which level and with which fields."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobs.reference import docstring
from jobs.reference.meaning import MEANINGS
from jobs.reference.page import page, prose, table
from scoretrail import log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_INTRODUCTION: Final = """
Logs go to standard error, from `log.level` up (default `warning`): JSON, one object a line, unless a terminal
watches (`log.render`). Each has `event`, `level` and `timestamp` (UTC) besides the fields below. Feature values and
raw records are never logged. Set `log.level: info` for the canonical line of each run.
"""


@dataclass(frozen=True)
class Emission:
    """One place that logs an event."""

    event: str
    """The constant's name."""
    level: str
    fields: tuple[str, ...]
    module: str


def events_page(root: Path) -> str:
    """Return the page.

    Args:
        root: the repository.
    """
    told = {name: text or MEANINGS["log"].get(name, "") for name, text in docstring.of_constants(log).items()}
    emitted = list(emissions(root))
    rows = [
        (f"`{getattr(log, one.event)}`", one.level, _fields(one), prose(told.get(one.event, "")), f"`{one.module}`")
        for name in told
        for one in emitted
        if one.event == name
    ]
    return page(
        "Log events",
        "scoretrail/log.py and the modules that log",
        _INTRODUCTION,
        table(("event", "level", "fields", "meaning", "logged by"), rows),
    )


def emissions(root: Path) -> Iterator[Emission]:
    """Yield every call ``log.get(…).LEVEL(log.EVENT, field=…)`` below the packages, in order of path."""
    for path in sorted([*(root / "scoretrail").rglob("*.py"), *(root / "jobs").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and (event := _constant(node.args[0])):
                module = path.relative_to(root).with_suffix("").as_posix().replace("/", ".")
                yield Emission(event, _level(node), tuple(_names(node)), module)


def _constant(argument: ast.expr) -> str | None:
    is_ours = isinstance(argument, ast.Attribute) and ast.unparse(argument.value) == "log" and argument.attr.isupper()
    return argument.attr if is_ours else None  # type: ignore[attr-defined]


def _level(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else "by outcome"


def _names(call: ast.Call) -> Iterator[str]:
    """Yield the fields of a call, those bound by ``log.get(…)`` first; ``**x`` as every key of x or those spelt."""
    inner = call.func.value if isinstance(call.func, ast.Attribute) else None
    for keyword in [*(inner.keywords if isinstance(inner, ast.Call) else ()), *call.keywords]:
        yield from [keyword.arg] if keyword.arg else _unpacked(keyword.value)


def _unpacked(value: ast.expr) -> Iterator[str]:
    """Yield the keys that a dict display spells, and the name of each mapping that it, or the call, takes whole."""
    if not isinstance(value, ast.Dict):
        yield f"every key of {ast.unparse(value)}"
        return
    for key, item in zip(value.keys, value.values, strict=True):
        if key is None:
            yield from _unpacked(item)
        elif isinstance(key, ast.Constant):
            yield str(key.value)


def _fields(one: Emission) -> str:
    return ", ".join(f"`{name}`" if " " not in name else name for name in one.fields) or "none"
