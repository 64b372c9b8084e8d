"""Takes an entity's rows out of a table: the files that hold them are written anew without them, in one commit."""

from __future__ import annotations

import posixpath
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from jobs.batch.output.file import Target
from jobs.batch.output.ledger import LedgerEntry
from jobs.batch.output.maintain import note_vacuum
from jobs.batch.output.merge import ledger_of
from jobs.batch.output.writer import MergedWriter
from scoretrail import digest
from scoretrail.clock import utc_text
from scoretrail.errors import ConflictError, OutputTableError, StorageError, UsageError
from scoretrail.storage import filesystem
from scoretrail.trail.erasure import Erasure, key_digest, write_erasure
from scoretrail.trail.prediction import ENTITY_COMMENT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from scoretrail.table import OutputTable
    from scoretrail.trail.output import LiveFile
    from scoretrail.trail.run import OutputFile

_ATTEMPTS: Final = 5
"""Runs or compactions that may publish into the same scopes first."""
_BYTES: Final = 4


@dataclass(frozen=True)
class ErasureRequest:
    """Who is erased, and what is written down about it."""

    key: str
    reason: str
    at: datetime
    vacuum: bool
    """Whether files of earlier versions that hold the entity go at once."""
    row_group_rows: int
    options: Mapping[str, str]
    """Storage settings."""

    @property
    def key_sha256(self) -> str:
        """What stands for the key in records and logs."""
        return key_digest(self.key)


@dataclass(frozen=True)
class _Entity:
    """What tells an entity's rows from others."""

    rows: pc.Expression
    others: pc.Expression
    """Rows without a key are among them: a rejects table may have some."""


def erase(table: OutputTable, request: ErasureRequest) -> Erasure:
    """Take an entity's rows out of a table, and write down that it was done; return the record.

    Args:
        table: a scored table, one of rejects, or an archive.
        request: who is erased.

    Raises:
        OutputTableError: the table does not say which column the entity key is.
        UsageError: the key cannot be a value of that column.
        ConflictError: others were faster again and again; nothing changed.
        StorageError: a file cannot be read or written.
    """
    entity = _entity(table, request.key)
    rows, files = _rewrite_in_turn(table, request, entity)
    left = [path for path in table.superseded_files(0) if _holds(table, path, request.options, entity)]
    if request.vacuum and left:
        place, base = filesystem(table.uri, request.options)
        note_vacuum(table.uri, left, request.options, request.at)
        for path in left:
            place.delete_file(posixpath.join(base, path))
    record = Erasure(
        key_sha256=request.key_sha256,
        reason=request.reason,
        erased_at=utc_text(request.at),
        table=table.uri,
        table_version=table.version,
        rows=rows,
        files_rewritten=files,
        files_vacuumed=len(left) if request.vacuum else 0,
        superseded=0 if request.vacuum else len(left),
    )
    write_erasure(record, request.options)
    return record


def _rewrite_in_turn(table: OutputTable, request: ErasureRequest, entity: _Entity) -> tuple[int, int]:
    attempt = 0
    while True:
        attempt += 1
        try:
            return _rewrite(table, request, entity)
        except ConflictError:
            if attempt == _ATTEMPTS:
                raise


def _rewrite(table: OutputTable, request: ErasureRequest, entity: _Entity) -> tuple[int, int]:
    """Put new files in the place of those that hold the entity; return how many rows went, and of how many files."""
    table.reload()
    files = table.live_files()
    guard = table.scope_versions(sorted({file.scope for file in files}))
    held = [file for file in files if _holds(table, file.path, request.options, entity)]
    if not held:
        return 0, 0
    adds = [_without(table, file, request, entity) for file in held]
    table.commit(
        adds=adds,
        removes=held,
        guard={scope: guard[scope] for scope in {file.scope for file in held}},
        metadata={"scoretrail.erased": request.key_sha256, "scoretrail.reason": request.reason},
    )
    return sum(file.rows for file in held) - sum(file.rows for file in adds), len(held)


def _holds(table: OutputTable, path: str, options: Mapping[str, str], entity: _Entity) -> bool:
    """Tell whether a file has rows of the entity; one that is no longer there has none.

    Raises:
        StorageError: it cannot be read.
    """
    place, base = filesystem(table.uri, options)
    full = posixpath.join(base, path)
    try:
        return bool(ds.dataset(full, filesystem=place, format="parquet").count_rows(filter=entity.rows))
    except FileNotFoundError:
        return False
    except (OSError, pa.ArrowException) as error:
        raise StorageError("a file of the table cannot be read", where=full, got=str(error)[:300]) from error


def _without(table: OutputTable, file: LiveFile, request: ErasureRequest, entity: _Entity) -> OutputFile:
    """Write a file's other rows to a new one, under the same work keys, so that nobody scores the entity again."""
    place, base = filesystem(table.uri, request.options)
    ledger = ledger_of(table, request.options)
    keys = sorted(ledger.keys_in([file]))
    target = Target(place, base, file.scope, digest.of_json(keys), secrets.token_hex(_BYTES), request.row_group_rows)
    writer = MergedWriter(target, file.partition, table.stats_column)
    try:
        with pq.ParquetFile(posixpath.join(base, file.path), filesystem=place) as source:
            writer.add(pa.RecordBatch.from_pylist([], source.schema_arrow))
            for batch in source.iter_batches(request.row_group_rows):
                writer.add(_only(batch, entity.others))
        written = writer.close()
    except BaseException:
        writer.abandon()
        raise
    ledger.write(LedgerEntry(written.path, tuple(keys), (file.path,), written.sha256, written.rows))
    return written


def _only(batch: pa.RecordBatch, rows: pc.Expression) -> pa.RecordBatch:
    kept = pa.Table.from_batches([batch]).filter(rows).combine_chunks().to_batches()
    return kept[0] if kept else batch.slice(0, 0)


def _entity(table: OutputTable, key: str) -> _Entity:
    """Return what tells the entity's rows from others.

    Raises:
        OutputTableError: the table does not say which column its entity key is, or is partitioned by it.
        UsageError: the key cannot be a value of that column.
    """
    found = [name for name, comment in table.column_comments().items() if comment == ENTITY_COMMENT]
    if len(found) != 1 or found[0] in dict(table.partitions):
        raise OutputTableError(
            "the table has no column, beside those that part it, that is known as its entity key", where=table.uri
        )
    type_ = table.to_pyarrow_dataset().schema.field(found[0]).type
    try:
        field = ds.field(found[0])
        value = pa.scalar(key).cast(type_)
        return _Entity(field == value, (field != value) | field.is_null())
    except pa.ArrowInvalid:  # its text quotes the key
        raise UsageError("the key cannot be one of this table's", where=table.uri, expected=str(type_)) from None
