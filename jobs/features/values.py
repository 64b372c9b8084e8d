"""Reads the values of an offline table, in the types that the view declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.batch.input.probe import reading
from jobs.features.table import OfflineTable, columns
from scoretrail.storage import filesystem, join

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_values(table: OfflineTable, path: str, options: Mapping[str, str]) -> pa.Table:
    """Return one file of a table.

    Args:
        table: the table.
        path: one of its files.
        options: storage settings.

    Raises:
        InputError: it cannot be read.
        SchemaMismatchError: a cast would lose something.
    """
    filesystem_, base = filesystem(table.uri, options)
    fields = columns(table.stored)
    with reading(join(base, path)), filesystem_.open_input_file(join(base, path)) as opened:
        found = pq.read_table(opened, columns=[field.name for field in fields], partitioning=None)
    return pa.table(
        {field.name: pa.chunked_array(map(field.conform, found[field.name].chunks), field.type) for field in fields}
    )


def read_table(table: OfflineTable, options: Mapping[str, str]) -> pa.Table:
    """Return all values of a table, for what fits into memory: a replay, a test.

    Raises:
        InputError: a file cannot be read.
        SchemaMismatchError: a cast would lose something.
    """
    return pa.concat_tables([read_values(table, file.path, options) for file in table.files])
