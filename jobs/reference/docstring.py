"""Docstrings that Python forgets, those of attributes and constants, read from the source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

_PAIRS = {"minimum": "maximum", "cap_minimum": "cap_maximum", "low": "high", "window_start": "window_end"}
"""Two attributes that one docstring explains, below the second."""


def of_attributes(cls: type[Any]) -> dict[str, str]:
    """Return attribute -> docstring for the annotated attributes of a class, in order; empty where there is none."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef))
    found = _documented(body)
    return {name: text or found.get(_PAIRS.get(name, ""), "") for name, text in found.items()}


def of_constants(module: ModuleType) -> dict[str, str]:
    """Return constant -> docstring for the annotated constants of a module, in order; empty where there is none."""
    return _documented(ast.parse(inspect.getsource(module)).body)


def of_module(path: Path) -> str:
    """Return the first paragraph of a module's docstring, in one line."""
    return first_paragraph(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))))


def first_paragraph(text: str | None) -> str:
    r"""Return what a docstring says first, in one line.

    >>> first_paragraph("One sentence\nin two lines.\n\nMore.")
    'One sentence in two lines.'
    """
    return " ".join((text or "").partition("\n\n")[0].split())


def _documented(body: Sequence[ast.stmt]) -> dict[str, str]:
    found: dict[str, str] = {}
    for node, after in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            told = after.value if isinstance(after, ast.Expr) else None
            is_text = isinstance(told, ast.Constant) and isinstance(told.value, str)
            found[node.target.id] = " ".join(inspect.cleandoc(told.value).split()) if is_text else ""  # type: ignore[union-attr]
    return found
