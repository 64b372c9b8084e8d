"""Records of erasures: that an entity was taken out of a table and who asked for it, never who it was."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scoretrail import digest
from scoretrail.clock import from_utc_text
from scoretrail.storage import Storage, join
from scoretrail.trail.run import TRAIL_FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping

_FOLDER: Final = "erased"
"""Beside the records of runs."""
_BYTES: Final = 4


@dataclass(frozen=True)
class Erasure:
    """What was taken out of one table; the key itself is nowhere in it."""

    key_sha256: str
    reason: str
    erased_at: str
    table: str
    table_version: int | None
    rows: int
    files_rewritten: int
    files_vacuumed: int
    superseded: int
    """Files of earlier versions that still hold the entity, until they are vacuumed."""


def key_digest(key: object) -> str:
    """Return what stands for a key in records and logs.

    >>> key_digest(7) == key_digest("7")
    True
    """
    return digest.of_bytes(str(key).encode())


def write_erasure(record: Erasure, options: Mapping[str, str]) -> None:
    """Write a record below its table."""
    name = f"{_FOLDER}/{from_utc_text(record.erased_at):%Y%m%dT%H%M%S}-{secrets.token_hex(_BYTES)}.json"
    _storage(record.table, options).put_new(name, digest.canonical_json(vars(record)))


def erasures(table: str, options: Mapping[str, str]) -> list[Erasure]:
    """Return the records of a table's erasures, oldest first."""
    storage = _storage(table, options)
    return [Erasure(**json.loads(storage.get(key))) for key in sorted(found.key for found in storage.list(_FOLDER))]


def _storage(table: str, options: Mapping[str, str]) -> Storage:
    return Storage(join(table, TRAIL_FOLDER), options)
