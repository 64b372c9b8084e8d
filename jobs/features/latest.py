"""Which value of an entity stands: the one with the latest event time, and of these the last that became available."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from jobs.features.table import AVAILABLE_AT, ENTITY, EVENT_TIME, refuse_repeats

if TYPE_CHECKING:
    from datetime import datetime

    from jobs.features.table import OfflineTable

_IDENTITY: Final = (ENTITY, EVENT_TIME, AVAILABLE_AT)


def latest(values: pa.Table) -> pa.Table:
    """Return the value that stands for each entity, sorted by entity.

    The online store keeps the same one, in whatever order values reach it, and so does the as-of join.

    Args:
        values: rows of an offline table, in any order; entity and times are not null.
    """
    ordered = values.sort_by([(name, "ascending") for name in _IDENTITY]).combine_chunks()
    if not ordered.num_rows:
        return ordered
    entity = ordered[ENTITY].combine_chunks()
    ends = pc.not_equal(entity.slice(0, len(entity) - 1), entity.slice(1))
    return ordered.filter(pa.concat_arrays([ends, pa.array([True])]))


def known_at(values: pa.Table, at: datetime | None) -> pa.Table:
    """Return the values that were available at a time; None takes everything."""
    if at is None:
        return values
    limit = pa.scalar(at, values.schema.field(AVAILABLE_AT).type)
    return values.filter(pc.less_equal(values[AVAILABLE_AT], limit))


def refuse_bad(values: pa.Table, table: OfflineTable) -> None:
    """Return if every value has an entity and both times, and no two share all three.

    Args:
        values: rows of the table.
        table: for the message.

    Raises:
        InputError: otherwise.
    """
    identity = values.select(_IDENTITY)
    whole = identity.drop_null()
    distinct = whole.group_by(list(_IDENTITY)).aggregate([])
    refuse_repeats(whole.num_rows - distinct.num_rows, identity.num_rows - whole.num_rows, table)
