"""Predictions of scored tables and of archives, by event date: of several for one event, the one that stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from jobs.labels.columns import IDENTITY, PREDICTED
from jobs.labels.day import dates_of, within
from jobs.labels.scan import Scan
from scoretrail.errors import OutputTableError
from scoretrail.trail.prediction import ENTITY_COMMENT, EVENT_TIME_COMMENT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from scoretrail.table import OutputTable

_NUMBER: Final = "outcome"
"""An archive's column: 0 for an event's first prediction, more for one that takes its place."""
_PLACE: Final = "place"
_LABELLED: Final = "labels_received"
"""A labelled table's column."""
_BUNDLE: Final = ("model_name", "model_version", "bundle_sha256")
_TIES: Final = ((_NUMBER, "descending"), ("scored_at", "ascending"), (_PLACE, "ascending"))
_NAMES: Final = tuple(column.name for column in PREDICTED)


@dataclass
class Survey:
    """What predictions there are."""

    dates: set[date] = field(default_factory=set)
    bundles: set[tuple[str, str, str]] = field(default_factory=set)
    """Name, version and digest."""


class Predictions:
    """The predictions of several tables, each as it stood when it was opened."""

    def __init__(self, tables: Sequence[OutputTable]) -> None:
        """Look at the tables' columns.

        Raises:
            OutputTableError: one has no predictions, or another entity key or event time than the others.
        """
        self.tables = tables
        self._data = [Scan(table) for table in tables]
        found = [_identity(table, data.schema) for table, data in zip(tables, self._data, strict=True)]
        for table, other in zip(tables[1:], found[1:], strict=True):
            if other != found[0]:
                raise OutputTableError(
                    "the tables of predictions have different entity keys or event times",
                    where=table.uri,
                    expected=", ".join(map(str, found[0])),
                    got=", ".join(map(str, other)),
                    fix="join each to its outcomes in a labelled table of its own",
                )
        self.key, self.key_type, self.event_time = found[0]

    def survey(self) -> Survey:
        """Return the event dates and the bundles of all predictions; one pass over a few columns."""
        found = Survey()
        for data in self._data:
            for batch in data.batches([self.event_time, *_BUNDLE]):
                found.dates |= dates_of(batch.column(self.event_time))
                bundles = pa.Table.from_batches([batch]).group_by(list(_BUNDLE)).aggregate([])
                found.bundles |= set(zip(*(bundles[name].to_pylist() for name in _BUNDLE), strict=True))
        return found

    def on(self, day: date) -> pa.Table:
        """Return the predictions of an event date that stand, one for each entity, event time, bundle and role.

        A prediction of a higher outcome number takes the place of the one before, as its topic tells readers. Where
        several tables have the same one, that which was made first counts.
        """
        parts = [self._part(place, day) for place in range(len(self._data))]
        rows = pa.concat_tables(parts).combine_chunks()
        same = (self.key, self.event_time, *IDENTITY)
        order = [(name, "ascending") for name in same] + list(_TIES)
        rows = rows.sort_by([*order, ("work_key", "ascending"), ("ce_id", "ascending")]).combine_chunks()
        return rows.filter(_first_of(rows, same)).drop_columns([_NUMBER, _PLACE])

    def _part(self, place: int, day: date) -> pa.Table:
        data = self._data[place]
        there = [name for name in (self.key, self.event_time, *_NAMES, _NUMBER) if name in data.schema.names]
        rows = data.rows(there, within(self.event_time, day))
        n = rows.num_rows
        columns = {self.key: rows[self.key].cast(self.key_type), self.event_time: rows[self.event_time]}
        columns |= {
            column.name: rows[column.name].cast(column.type) if column.name in there else pa.nulls(n, column.type)
            for column in PREDICTED
        }
        number = rows[_NUMBER].cast(pa.int64()) if _NUMBER in there else pa.array([0] * n, pa.int64())
        return pa.table({**columns, _NUMBER: number, _PLACE: pa.array([place] * n, pa.int64())})


def _first_of(rows: pa.Table, same: Sequence[str]) -> pa.Array:
    """Return which rows, sorted, differ from the one before in one of the columns."""
    if not rows.num_rows:
        return pa.array([], pa.bool_())
    differs: Any = pa.array([False] * (rows.num_rows - 1), pa.bool_())
    for name in same:
        column = rows[name].combine_chunks()
        differs = pc.or_(differs, pc.not_equal(column[1:], column[:-1]))
    return pa.concat_arrays([pa.array([True]), differs])


def _identity(table: OutputTable, schema: pa.Schema) -> tuple[str, pa.DataType, str]:
    """Return name and type of the entity key, and the name of the event time.

    Raises:
        OutputTableError: the table has no predictions.
    """
    comments = table.column_comments()
    keys, times = (
        [name for name, told in comments.items() if told == comment] for comment in (ENTITY_COMMENT, EVENT_TIME_COMMENT)
    )
    missing = [name for name in ("score", *_BUNDLE, "role", "scored_at") if name not in comments]
    lack = [*missing, *(["one entity key"] if len(keys) != 1 else []), *(["one event time"] if len(times) != 1 else [])]
    if lack or _LABELLED in comments:
        raise OutputTableError(
            "the table is no table of predictions",
            where=table.uri,
            expected="a scored table, or the archive of a stream",
            got=f"one without {', '.join(lack)}" if lack else "a labelled table",
        )
    type_ = schema.field(keys[0]).type
    return keys[0], pa.string() if pa.types.is_large_string(type_) else type_, times[0]
