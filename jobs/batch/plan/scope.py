"""A scope: what a run may replace. One slice of one input, for one model and role; and the book of those published."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from scoretrail import digest
from scoretrail.errors import ObjectExistsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scoretrail.storage import Storage

_DIGITS = 12


@dataclass(frozen=True)
class Scope:
    """What a run may replace."""

    root: str
    """The input's name: ``--dataset``, or its URI."""
    slice: str
    model: str
    role: str

    @cached_property
    def id(self) -> str:
        """12 hex digits, as file names and the table's guards carry them."""
        return digest.of_json([self.root, self.slice, self.model, self.role])[:_DIGITS]


class ScopeBook:
    """What the ids in a table's file names mean."""

    def __init__(self, storage: Storage) -> None:
        """Open the book below ``<table>/_scoretrail``."""
        self._storage = storage

    def note(self, scopes: Iterable[Scope]) -> None:
        """Write scopes down, before their first rows are published."""
        there = {found.key for found in self._storage.list("scopes")}
        for scope in scopes:
            if _key(scope.id) not in there:
                with contextlib.suppress(ObjectExistsError):
                    self._storage.put_new(_key(scope.id), digest.canonical_json(asdict(scope)))

    def read(self, scope_id: str) -> Scope | None:
        """Return the scope of an id, or None."""
        data = self._storage.get_or_none(_key(scope_id))
        return Scope(**json.loads(data)) if data is not None else None


def _key(scope_id: str) -> str:
    return f"scopes/{scope_id}.json"
