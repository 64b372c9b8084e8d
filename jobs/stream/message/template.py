"""Canonical JSON with slots: a document that differs from row to row in a few places is laid out once."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from scoretrail import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scoretrail.digest import Json

_JSON: Final = "\0"
_TEXT: Final = "\1"
_SLOT: Final = re.compile(r'"\\u0000(?P<json>.*?)\\u0000"|\\u0001(?P<text>.*?)\\u0001')


def json_slot(name: str) -> str:
    """Return what stands in a document where a row's own JSON goes."""
    return f"{_JSON}{name}{_JSON}"


def text_slot(name: str) -> str:
    """Return what stands in a document where a row's own text goes, which holds nothing that JSON would escape."""
    return f"{_TEXT}{name}{_TEXT}"


class Template:
    """A document with slots, and the rows' JSON that it gives.

    >>> template = Template({"b": {"at": text_slot("at")}, "a": json_slot("score"), "c": 1})
    >>> template.fill({"score": ["0.5", "1.0"], "at": ["now", "then"]})
    [b'{"a":0.5,"b":{"at":"now"},"c":1}', b'{"a":1.0,"b":{"at":"then"},"c":1}']
    """

    def __init__(self, document: Json) -> None:
        """Lay a document out: canonical JSON, as :func:`scoretrail.digest.canonical_json` writes it, but for its slots.

        Args:
            document: nothing else in it may hold the characters NUL and SOH.
        """
        text = digest.canonical_json(document).decode().replace("%", "%%")
        self._slots = [json.loads(f'"{match["json"] or match["text"]}"') for match in _SLOT.finditer(text)]
        self._text = _SLOT.sub("%s", text)

    def fill_row(self, values: Mapping[str, object]) -> bytes:
        """Return one row's document; values as those of :meth:`fill`."""
        return (self._text % tuple(values[name] for name in self._slots)).encode()

    def fill(self, columns: Mapping[str, Iterable[object]]) -> list[bytes]:
        """Return each row's document.

        Args:
            columns: slot -> one value for each row: JSON for a JSON slot, numbers as themselves.
        """
        text = self._text
        rows: Sequence[tuple[object, ...]] = list(zip(*(columns[name] for name in self._slots), strict=True))
        return [(text % row).encode() for row in rows]
