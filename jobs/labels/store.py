"""The labelled table: rows by event date, each date replaced as a whole, and only one join at a time for each."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from jobs.batch.output.file import Target
from jobs.batch.output.writer import PartitionedWriter
from jobs.labels.columns import EVENT_DATE, SEGMENT_COMMENT
from jobs.labels.scan import Scan
from scoretrail import digest
from scoretrail.errors import UsageError
from scoretrail.storage import filesystem
from scoretrail.trail.prediction import to_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from scoretrail.table import OutputTable
    from scoretrail.trail.output import LiveFile
    from scoretrail.trail.prediction import Column
    from scoretrail.trail.run import OutputFile

JOIN_ID: Final = "scoretrail.join_id"
"""The commit metadata that names the join."""
_SCOPE_DIGITS: Final = 12
_ATTEMPT_BYTES: Final = 4


def scope_of(day: date) -> str:
    """Return the scope whose counter guards an event date."""
    return digest.of_json(["labels", day.isoformat()])[:_SCOPE_DIGITS]


@dataclass
class LabelStore:
    """One labelled table, as it stood when a join began."""

    table: OutputTable
    columns: Sequence[Column]
    event_time: str
    row_group_rows: int
    options: Mapping[str, str]
    attempt: str = field(default_factory=lambda: secrets.token_hex(_ATTEMPT_BYTES))
    live: dict[str, list[LiveFile]] = field(default_factory=dict)
    """Event date -> files that readers see."""
    guards: dict[str, int] = field(default_factory=dict)
    adds: list[OutputFile] = field(default_factory=list)
    removes: list[LiveFile] = field(default_factory=list)
    touched: set[date] = field(default_factory=set)

    def open(self, retention_days: int) -> None:
        """Look at the table; it is made if it is not there, and given the segments that it lacks.

        Raises:
            OutputTableError: there is another table.
            UsageError: it has segments that this join does not name.
            ConflictError: somebody else changed its columns at this moment.
            StorageError: it can neither be read nor made.
        """
        schema = to_schema(self.columns)
        if not self.table.exists:
            self.table.create(schema, [EVENT_DATE], "Predictions and their outcomes", retention_days, self.event_time)
        names = {column.name for column in self.columns}
        told = self.table.column_comments()
        left = [name for name, comment in told.items() if comment == SEGMENT_COMMENT and name not in names]
        if left:
            raise UsageError(
                "the labelled table has segments that this join does not name",
                where=self.table.uri,
                got=", ".join(left),
                fix=f"add {' '.join(f'--segment {name}' for name in left)}, or choose another --output",
            )
        missing = self.table.check(schema, [EVENT_DATE])
        if missing:
            self.table.add_columns(schema, missing)
        for file in self.table.live_files():
            self.live.setdefault(str(file.partition[EVENT_DATE]), []).append(file)
        self._data = Scan(self.table)

    def guard(self, days: Iterable[date]) -> None:
        """Remember how often each event date was written, before it is read."""
        self.guards = self.table.scope_versions(scope_of(day) for day in days)

    def on(self, day: date) -> pa.Table:
        """Return the rows of an event date, sorted as :func:`jobs.labels.matching.match` sorts them."""
        schema = to_schema(self.columns)
        if day.isoformat() not in self.live:
            return schema.empty_table()
        rows = self._data.rows(schema.names, pc.field(EVENT_DATE) == pa.scalar(day, pa.date32()))
        return rows.cast(schema)

    def replace(self, day: date, rows: pa.Table, key: str) -> None:
        """Write the rows of an event date, for the commit that puts them in the place of those that are there.

        Args:
            day: the event date.
            rows: all of its rows; without any, its files only go.
            key: digest of what the rows were made of.

        Raises:
            StorageError: they cannot be written.
        """
        self.touched.add(day)
        self.removes += self.live.get(day.isoformat(), [])
        if not rows.num_rows:
            return
        place, base = filesystem(self.table.uri, self.options)
        target = Target(place, base, scope_of(day), key, self.attempt, self.row_group_rows)
        writer = PartitionedWriter(target, self.columns, [EVENT_DATE], self.event_time)
        try:
            for batch in rows.to_batches(max_chunksize=self.row_group_rows):
                writer.write({name: batch.column(name) for name in batch.schema.names})
            self.adds += writer.close()
        except BaseException:
            writer.abandon()
            raise

    def commit(self, join_id: str, metadata: Mapping[str, str]) -> bool:
        """Publish what was replaced in one commit; return whether there was anything.

        Raises:
            ConflictError: another join wrote one of the event dates meanwhile; nothing was published.
            StorageError: the commit failed.
        """
        if not self.touched:
            return False
        # Files of a refused commit stay, for vacuum: what looks refused may have happened, and then they are live.
        self.table.commit(
            adds=self.adds,
            removes=self.removes,
            guard={scope: self.guards[scope] for scope in map(scope_of, self.touched)},
            metadata={JOIN_ID: join_id, **metadata},
        )
        return True
