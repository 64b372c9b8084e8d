"""One measured figure, beside what it should reach; and how figures are written down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A row of the result."""

    name: str
    value: str
    target: str = ""
    reached: bool | None = None
    """None where nothing is asked."""

    def to_json(self) -> dict[str, Any]:
        """Return the figure as JSON values."""
        return vars(self)


def at_least(name: str, value: float, text: str, limit: float) -> Figure:
    """Return a figure that should not be smaller than its limit."""
    return Figure(name, text, f"≥ {limit:g}", reached=value >= limit)


def at_most(name: str, value: float, text: str, limit: float, unit: str = "") -> Figure:
    """Return a figure that should not be larger than its limit."""
    return Figure(name, text, f"≤ {limit:g}{unit}", reached=value <= limit)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figures_table(figures: Iterable[Figure]) -> str:
    """Return figures as a Markdown table."""
    marks = {True: "yes", False: "**no**", None: ""}
    return table(
        ("figure", "measured", "asked", "reached"),
        [(figure.name, figure.value, figure.target, marks[figure.reached]) for figure in figures],
    )
