"""What the page and the terminal both show: sections of tables and pictures, without any mark-up of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Mark = Literal["good", "note", "bad", "none"]


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    """Also what the terminal shows in place of a picture."""
    mark: Mark | None = None
    """How it is to be taken: a sign beside the text, and a colour."""
    is_code: bool = False
    is_number: bool = False
    is_long: bool = False
    """Whether its line may be broken."""
    picture: str | None = None
    """Inline SVG, our own."""
    title: str | None = None
    """All of a text that is shown in part."""


@dataclass(frozen=True)
class Table:
    """Rows under a caption; the first cell of a row is its heading."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    @property
    def numeric(self) -> list[bool]:
        """Whether a column holds numbers only."""
        return [all(row[i].is_number for row in self.rows) for i in range(len(self.columns))]


@dataclass(frozen=True)
class Picture:
    """A larger picture; a table has its figures."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Section:
    """One part of the page."""

    name: str
    """An identifier."""
    title: str
    lead: str = ""
    pictures: Sequence[Picture] = field(default=())
    tables: Sequence[Table] = field(default=())


LEVELS: dict[str, Mark] = {"ok": "good", "warn": "note", "drift": "bad", "not_enough_data": "none"}
"""How a level is to be taken."""


def level(text: str | None) -> Cell:
    """Return a level as a cell."""
    return Cell("no verdict", "none") if text is None else Cell(text.replace("_", " "), LEVELS.get(text, "none"))


def figure(text: str) -> Cell:
    """Return a number as a cell."""
    return Cell(text, is_number=True)


def code(text: str, *, is_long: bool = False) -> Cell:
    """Return a name of the machine's as a cell."""
    return Cell(text, is_code=True, is_long=is_long)


def prose(text: str) -> Cell:
    """Return a sentence as a cell."""
    return Cell(text, is_long=True)
