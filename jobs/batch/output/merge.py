"""Makes one file of several, row by row as they are, and writes down which work keys it holds."""

from __future__ import annotations

import posixpath
import secrets
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.batch.output.file import Target
from jobs.batch.output.ledger import Ledger, LedgerEntry
from jobs.batch.output.writer import MergedWriter
from scoretrail import digest
from scoretrail.errors import ConflictError
from scoretrail.storage import Storage, filesystem, join
from scoretrail.trail.output import KEY_DIGITS
from scoretrail.trail.run import TRAIL_FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scoretrail.table import OutputTable
    from scoretrail.trail.output import LiveFile
    from scoretrail.trail.run import OutputFile

ROW_GROUP_ROWS: Final = 131_072


def ledger_of(table: OutputTable, options: Mapping[str, str]) -> Ledger:
    """Return a table's ledger."""
    return Ledger(Storage(join(table.uri, TRAIL_FOLDER), options))


def merge_files(
    table: OutputTable,
    files: Sequence[LiveFile],
    options: Mapping[str, str],
    *,
    keep: frozenset[str] | None = None,
    row_group_rows: int = ROW_GROUP_ROWS,
) -> OutputFile:
    """Write one file with the rows of several of one scope and partition value, and its ledger entry.

    Args:
        table: where the files lie.
        files: what to merge.
        options: storage settings.
        keep: work keys, by their first digits, whose rows are kept; None keeps every row.
        row_group_rows: rows per row group of the new file.

    Raises:
        ConflictError: the files hold other rows than the table says.
    """
    place, base = filesystem(table.uri, options)
    ledger = ledger_of(table, options)
    every = ledger.keys_in(files)
    keys = sorted(every if keep is None else every & keep)
    target = Target(place, base, files[0].scope, digest.of_json(keys), secrets.token_hex(4), row_group_rows)
    writer = MergedWriter(target, files[0].partition, table.stats_column)
    rows = 0
    try:
        for file in files:
            with pq.ParquetFile(posixpath.join(base, file.path), filesystem=place) as source:
                for batch in source.iter_batches(row_group_rows):
                    rows += batch.num_rows
                    writer.add(batch if keep is None else _only(batch, keys))
        merged = writer.close()
    except BaseException:
        writer.abandon()
        raise
    if rows != sum(file.rows for file in files):
        raise ConflictError("files changed while they were merged", where=table.uri)
    ledger.write(LedgerEntry(merged.path, tuple(keys), tuple(file.path for file in files), merged.sha256, merged.rows))
    return merged


def _only(batch: pa.RecordBatch, keys: Sequence[str]) -> pa.RecordBatch:
    begins = pc.utf8_slice_codeunits(batch.column("work_key"), 0, KEY_DIGITS)
    return batch.filter(pc.is_in(begins, value_set=pa.array(keys, pa.string())))
