"""Loads an offline table into the online store: for each entity the value that stands, under the layout's own key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from jobs.features.latest import known_at, latest, refuse_bad
from jobs.features.table import AVAILABLE_AT, ENTITY, EVENT_TIME, OfflineTable, columns, digest_of
from jobs.features.values import read_values
from scoretrail.clock import utc_text
from scoretrail.feature.online import encode_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.progress import Progress
    from scoretrail.feature import FeatureView, Stored
    from scoretrail.feature.online import OnlineStore, OnlineValue

_PACKED_ROWS: Final = 10_000
"""Rows packed at once: several pipelines of the store's, and little memory."""


@dataclass(frozen=True, kw_only=True)
class Materialized:
    """What one stored set's materialisation did."""

    view: str
    stored: str
    schema8: str
    """The layout's part of the key: values of another layout lie beside these."""
    up_to: str | None
    values: int
    """Rows that were available."""
    entities: int
    written: int
    """Now in the store, also where the same value was there already."""
    older: int
    """Left alone: the store holds a later one."""
    table_sha256: str
    values_sha256: str
    """Of every key and payload, sorted by key: what the store holds if nothing later came."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def materialize(
    view: FeatureView,
    table: OfflineTable,
    store: OnlineStore,
    options: Mapping[str, str],
    progress: Progress,
    up_to: datetime | None = None,
) -> Materialized:
    """Write the standing value of each entity, and return what was done.

    Doing it again changes nothing, and an older value never takes a newer one's place: that is the store's promise.

    Args:
        view: whose stored set it is; its name is part of the key.
        table: the stored set's table.
        store: where values go.
        options: storage settings.
        progress: is told of rows read and entities written.
        up_to: only values available then; None takes all.

    Raises:
        InputError: the table cannot be read, repeats a value, or has one without an entity or a time.
        StoreUnavailableError: the store does not answer.
    """
    available, standing = _standing(table, options, progress, up_to)
    values_sha256 = hashlib.sha256()

    def counted() -> Iterator[OnlineValue]:
        progress.start(standing.num_rows, 1, "loading")
        done = 0
        for value in online_values(view, table.stored, standing):
            values_sha256.update(f"{value.key}\0{len(value.payload)}\0".encode() + value.payload)
            done += 1
            if done % _PACKED_ROWS == 0:
                progress.update(done, 0)
            yield value
        progress.update(done, 1)

    try:
        result = store.write(counted())
    finally:
        progress.stop()
    return Materialized(
        view=view.name,
        stored=table.stored.name,
        schema8=table.stored.layout.schema8,
        up_to=None if up_to is None else utc_text(up_to),
        values=available,
        entities=standing.num_rows,
        written=result.written,
        older=result.older,
        table_sha256=digest_of(table.files),
        values_sha256=values_sha256.hexdigest(),
    )


def online_values(view: FeatureView, stored: Stored, values: pa.Table) -> Iterator[OnlineValue]:
    """Yield rows of an offline table as the online store takes them, in their order.

    Args:
        view: whose stored set it is.
        stored: the set.
        values: its table's columns, in the declared types.
    """
    for start in range(0, values.num_rows, _PACKED_ROWS):
        (batch,) = values.slice(start, _PACKED_ROWS).combine_chunks().to_batches()
        # Out of its range a value is refused where it is used; here it only takes its one spelling.
        fields = [field.check(batch.column(field.name))[0] for field in stored.fields]
        times = [batch.column(name) for name in (EVENT_TIME, AVAILABLE_AT)]
        row = pa.RecordBatch.from_arrays([*fields, *times], list(stored.columns))
        yield from encode_values(view.name, stored, batch.column(ENTITY).to_pylist(), row)


def _standing(
    table: OfflineTable, options: Mapping[str, str], progress: Progress, up_to: datetime | None
) -> tuple[int, pa.Table]:
    """Return how many values were available, and the ones that stand; memory grows with entities, not with values."""
    files = table.until(up_to)
    progress.start(sum(file.rows for file in files), len(files), "reading")
    standing = pa.schema([pa.field(field.name, field.type) for field in columns(table.stored)]).empty_table()
    available = rows = 0
    for done, file in enumerate(files, 1):
        values = read_values(table, file.path, options)
        refuse_bad(values, table)
        rows += values.num_rows
        known = known_at(values, up_to)
        available += known.num_rows
        both = pa.concat_tables([standing, known])
        refuse_bad(both, table)
        standing = latest(both)
        progress.update(rows, done)
    progress.stop()
    return available, standing
