"""The offline table of a stored set: Parquet files of values, each with its entity and its two times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from jobs.features.file import SourceFile, look_at, refuse_misfit
from scoretrail import digest
from scoretrail.errors import FeatureViewError, InputError, UsageError, nearest
from scoretrail.feature.schema import TIMESTAMP, Field
from scoretrail.storage import normalise_uri

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from jobs.progress import Progress
    from scoretrail.digest import Digest
    from scoretrail.feature import FeatureView, Stored

ENTITY: Final = "entity"
EVENT_TIME: Final = "event_time"
"""The instant that a value describes."""
AVAILABLE_AT: Final = "available_at"
"""From when on it could be known."""


@dataclass(frozen=True)
class OfflineTable:
    """A stored set and the files that hold its values."""

    stored: Stored
    uri: str
    files: tuple[SourceFile, ...]

    @property
    def rows(self) -> int:
        """All of its values."""
        return sum(file.rows for file in self.files)

    def until(self, last: datetime | None) -> tuple[SourceFile, ...]:
        """Return the files that may hold a value available at ``last``; None asks for all."""
        return tuple(file for file in self.files if last is None or file.first is None or file.first <= last)


def columns(stored: Stored) -> tuple[Field, ...]:
    """Return the columns that a stored set's table must have; further ones are ignored."""
    return (
        Field(name=ENTITY, type=pa.string(), description="what is looked up, as text"),
        Field(name=EVENT_TIME, type=TIMESTAMP, description="what the value describes"),
        Field(name=AVAILABLE_AT, type=TIMESTAMP, description="when the value could be known"),
        *stored.fields,
    )


def digest_of(files: Sequence[SourceFile]) -> Digest:
    """Return one digest of files: of the canonical JSON of [[path, sha256, rows], …], sorted by path."""
    return digest.of_json([file.as_json() for file in files])


def open_tables(
    view: FeatureView, choices: Sequence[str], options: Mapping[str, str], progress: Progress
) -> list[OfflineTable]:
    """Return the tables of stored sets, in the view's order, each file read and digested.

    Args:
        view: says which sets there are.
        choices: ``NAME=TABLE``, a stored set and the folder of its table.
        options: storage settings.
        progress: is told of each file.

    Raises:
        UsageError: a choice is no ``NAME=TABLE``, or names a set twice, or one that the view does not have.
        InputError: a table is not there, or cannot be read.
        SchemaMismatchError: a table does not have the set's columns.
        FeatureViewError: a field has the name of one of the three columns that every table has.
    """
    places = _places(view, choices)
    tables = []
    for stored in view.stored:
        if stored.name not in places:
            continue
        _refuse_taken(stored)
        uri = normalise_uri(places[stored.name])
        progress.step(f"reading table {stored.name}")
        files = look_at(uri, (), AVAILABLE_AT, options, progress)
        for file in files:
            refuse_misfit(columns(stored), file, uri)
        tables.append(OfflineTable(stored, uri, tuple(files)))
    return tables


def _places(view: FeatureView, choices: Sequence[str]) -> dict[str, str]:
    names = [stored.name for stored in view.stored]
    places: dict[str, str] = {}
    for text in choices:
        name, equals, place = text.partition("=")
        if not equals or not place:
            raise UsageError("--stored cannot be understood", expected="NAME=TABLE", got=repr(text))
        if name not in names:
            near = nearest(name, names)
            raise UsageError(
                f"view {view.name!r} has no stored set {name!r}",
                got=", ".join(names) or "no stored set at all",
                fix=f"did you mean {near}?" if near else None,
            )
        if name in places:
            raise UsageError(f"stored set {name!r} is given twice", got=f"{places[name]}, {place}")
        places[name] = place
    return places


def _refuse_taken(stored: Stored) -> None:
    taken = [field.name for field in stored.fields if field.name in (ENTITY, EVENT_TIME, AVAILABLE_AT)]
    if taken:
        raise FeatureViewError(
            f"stored set {stored.name!r} has a field named {taken[0]!r}, which every table has already",
            fix="give the field another name",
        )


def refuse_repeats(repeats: int, nulls: int, table: OfflineTable) -> None:
    """Return if every value of a table has an entity and both times, and no two share all three.

    Args:
        repeats: how many rows have entity and times of another row.
        nulls: how many rows lack one of the three.
        table: for the message.

    Raises:
        InputError: otherwise.
    """
    if repeats:
        raise InputError(
            f"table {table.stored.name} has several values of one entity, event time and availability",
            where=table.uri,
            expected="one: nothing says which of several stands",
            got=f"{repeats} rows too many",
            fix="write each value once; a correction gets a later available_at",
        )
    if nulls:
        raise InputError(
            f"table {table.stored.name} has values without an entity or a time",
            where=table.uri,
            got=f"{nulls} rows",
            fix="leave such rows out",
        )
