"""The repository as the rule tests see it: its files, its modules and what they import."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("scoretrail", "jobs")

#: Not part of the repository, where there is no git to ask.
UNTRACKED = {".git", ".venv", "__pycache__", "build", "dist", "htmlcov"}


@dataclass(frozen=True, kw_only=True)
class Module:
    """One Python module: its dotted name and its text."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def n_lines(self) -> int:
        return len(self.text.splitlines())

    @property
    def top_level(self) -> bool:
        """Whether it lies directly in its package, in the folder that spark-submit puts first on the path."""
        return self.name.count(".") == 1

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    def imported_roots(self) -> set[str]:
        """Return the top-level names that it imports anywhere, also by ``import_module("name")``."""
        roots = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                roots |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                roots.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Call) and _is_dynamic_import(node.func) and node.args:
                name = node.args[0]
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    roots.add(name.value.partition(".")[0])
        return roots


def _is_dynamic_import(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in {"import_module", "__import__"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(*packages: str) -> list[Module]:
    """Return every module of the packages, by default of all of ours, in order of their names."""
    return [
        Module(name=module_name(path), text=path.read_text(encoding="utf-8"))
        for package in packages or PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


def tracked_files() -> list[Path]:
    """Return what belongs to the repository: tracked by git, or new and not ignored."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode == 0:
        names = [ROOT / name for name in listing.stdout.split("\0") if name]
    else:
        names = [path for path in ROOT.rglob("*") if not UNTRACKED & set(path.relative_to(ROOT).parts)]
    return sorted(path for path in names if path.is_file())


def tracked_text() -> Iterator[tuple[str, str]]:
    """Yield the relative name and the text of each tracked file that is text."""
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        yield path.relative_to(ROOT).as_posix(), text
