"""Markdown of generated pages: a head that says where it comes from, and tables whose cells stay cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

COMMAND: Final = "make docs-reference"
"""What writes the generated pages again."""


def page(title: str, source: str, *parts: str) -> str:
    """Return a generated page.

    Args:
        title: its heading.
        source: the file that it follows from, below the repository's root.
        parts: sections and paragraphs, in order; empty ones are left out.
    """
    head = f"<!-- Generated from {source} by `{COMMAND}`: change that file, not this page. -->"
    return "\n\n".join([head, f"# {title}", *(part.strip() for part in parts if part.strip())]) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""Return a Markdown table.

    >>> print(table(("a", "b"), [("1", "2 | 3")]))
    | a | b |
    |---|---|
    | 1 | 2 \| 3 |
    """
    lines = [columns, *rows]
    drawn = [f"| {' | '.join(cell(text) for text in line)} |" for line in lines]
    return "\n".join([drawn[0], "|" + "---|" * len(columns), *drawn[1:]])


def cell(text: str) -> str:
    r"""Return a text as one cell: no line breaks, no bars of its own; an empty one as a dash.

    >>> cell("two\nlines"), cell("")
    ('two lines', '–')
    """
    return " ".join(text.split()).replace("|", "\\|") or "–"


def prose(text: str) -> str:
    """Return a docstring's words as Markdown: its roles and double backticks become code.

    >>> prose("As :func:`scoretrail.digest.of_json` says, ``null`` stays.")
    'As `of_json` says, `null` stays.'
    """
    words = text.replace("``", "`")
    pieces = words.split(":`")
    told = pieces[0]
    for piece in pieces[1:]:
        role = told.rpartition(":")
        name, tick, rest = piece.partition("`")
        told = f"{role[0]}`{name.rpartition('.')[2].lstrip('~')}{tick}{rest}"
    return told


def anchor(heading: str) -> str:
    """Return the fragment under which a heading can be linked to.

    >>> anchor("scoretrail batch score")
    'scoretrail-batch-score'
    """
    kept = "".join(sign for sign in heading.lower() if sign.isalnum() or sign in " -_")
    return kept.replace(" ", "-")
