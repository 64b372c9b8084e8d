"""Which work keys a merged file holds: written beside the table before the commit that makes the file live."""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scoretrail import digest
from scoretrail.errors import TrailError
from scoretrail.trail.output import attempt_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scoretrail.storage import Storage
    from scoretrail.trail.output import LiveFile


@dataclass(frozen=True)
class LedgerEntry:
    """What one merged file was made of."""

    path: str
    work_keys: tuple[str, ...]
    """First 16 digits of each, sorted."""
    replaced: tuple[str, ...]
    """The files it took the place of."""
    sha256: str
    rows: int


class Ledger:
    """The entries of one table."""

    def __init__(self, storage: Storage) -> None:
        """Open the ledger below ``<table>/_scoretrail``."""
        self._storage = storage

    def write(self, entry: LedgerEntry) -> None:
        """Add an entry; its file's name is new, so no two entries meet."""
        self._storage.put_new(_key(entry.path), digest.canonical_json(vars(entry)))

    def read(self, path: str) -> LedgerEntry:
        """Return a merged file's entry.

        Raises:
            TrailError: there is none.
        """
        data = self._storage.get_or_none(_key(path))
        if data is None:
            raise TrailError("a merged file has no ledger entry", where=f"{self._storage.uri}/{_key(path)}")
        return _entry(data)

    def keys_of(self, paths: Iterable[str]) -> dict[str, frozenset[str]]:
        """Return path -> keys for merged files."""
        return {path: frozenset(self.read(path).work_keys) for path in paths}

    def keys_in(self, files: Iterable[LiveFile]) -> frozenset[str]:
        """Return the keys of files, merged or not, by their first digits."""
        return frozenset(
            key for file in files for key in (self.read(file.path).work_keys if file.is_merged else (file.key,))
        )

    def attempts_in(self, files: Iterable[LiveFile]) -> frozenset[tuple[str, str]]:
        """Return the attempts whose rows files hold, merged or not: key, by its first digits, and attempt."""
        found: set[tuple[str, str]] = set()
        for file in files:
            if not file.is_merged:
                found.add((file.key, file.attempt))
                continue
            keys = self.read(file.path).work_keys
            found |= {attempt for attempt in self._attempts(file.path) if attempt[0] in keys}
        return frozenset(found)

    def _attempts(self, path: str) -> set[tuple[str, str]]:
        attempt = attempt_of(path)
        if attempt is not None:
            return {attempt}
        return {found for replaced in self.read(path).replaced for found in self._attempts(replaced)}

    def entries(self) -> list[LedgerEntry]:
        """Return every entry, sorted by the merged files' names; a merge that lost a race has one as well."""
        keys = sorted(stored.key for stored in self._storage.list("ledger"))
        return [_entry(self._storage.get(key)) for key in keys]


def _entry(data: bytes) -> LedgerEntry:
    values = json.loads(data)
    return LedgerEntry(**{**values, "work_keys": tuple(values["work_keys"]), "replaced": tuple(values["replaced"])})


def _key(path: str) -> str:
    return f"ledger/{posixpath.basename(path)}.json"
