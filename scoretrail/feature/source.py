"""Feature code as text: what it may import, and the view it declares."""

from __future__ import annotations

import ast
import types
from typing import TYPE_CHECKING, Final

from scoretrail import digest
from scoretrail.errors import FeatureViewError, nearest
from scoretrail.feature.view import FeatureView

if TYPE_CHECKING:
    from scoretrail.digest import Digest

_ALLOWED: Final = ("numpy", "pyarrow", "scoretrail.feature", "__future__", "math", "datetime")
_ALLOWED_BELOW: Final = ("numpy.", "pyarrow.")
_FORBIDDEN_NAMES: Final = frozenset(
    {
        "__import__",
        "eval",
        "exec",
        "compile",
        "open",
        "input",
        "globals",
        "breakpoint",
        "__builtins__",
        "__loader__",
    }
)


def load_view(source: bytes, name: str) -> FeatureView:
    """Return the view that feature code declares under ``name``.

    The code runs from these bytes, not from a path, so what was hashed is what runs. The check of its imports keeps it
    pure; it does not make it safe (SECURITY.md).

    Args:
        source: Python source, UTF-8.
        name: the module-level name of the view.

    Raises:
        FeatureViewError: it does not parse, imports what it may not, fails, or has no such view.
    """
    where = f"feature code {digest.of_bytes(source)[:12]}"
    tree = _parse(source, where)
    _refuse_impure(tree, where)
    module = types.ModuleType(_module_name(digest.of_bytes(source)))
    try:
        exec(compile(tree, where, "exec"), module.__dict__)  # noqa: S102  (a bundle is code; SECURITY.md)
    except (Exception, SystemExit) as error:
        raise FeatureViewError(
            "the feature code failed", where=where, got=f"{type(error).__name__}: {error}"
        ) from error
    view = getattr(module, name, None)
    if not isinstance(view, FeatureView):
        views = [key for key, value in vars(module).items() if isinstance(value, FeatureView)]
        raise FeatureViewError(
            f"the feature code has no view {name!r}",
            where=where,
            got=", ".join(views) or "no view at all",
            fix=f"did you mean {nearest(name, views) or (views or ['view = FeatureView(…)'])[0]}?",
        )
    return view


def _module_name(source_digest: Digest) -> str:
    return f"scoretrail_view_{source_digest[:16]}"


def _parse(source: bytes, where: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise FeatureViewError("the feature code does not parse", where=where, got=str(error)) from error


def _refuse_impure(tree: ast.Module, where: str) -> None:
    for node in ast.walk(tree):
        for imported in _imports(node):
            if imported not in _ALLOWED and not imported.startswith(_ALLOWED_BELOW):
                raise FeatureViewError(
                    f"feature code may not import {imported}",
                    where=f"{where}, line {getattr(node, 'lineno', '?')}",
                    expected=", ".join(_ALLOWED),
                    fix="compute it from the record with numpy or pyarrow, or bring it as a stored feature",
                )
        if isinstance(node, ast.Name) and node.id in _FORBIDDEN_NAMES:
            raise FeatureViewError(
                f"feature code may not use {node.id}",
                where=f"{where}, line {node.lineno}",
                fix="keep it a pure function",
            )


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return ["." * node.level + (node.module or "")]
    return []
