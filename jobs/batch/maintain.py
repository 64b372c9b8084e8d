"""Keeps a table in shape and its trail whole: merges small files within a scope, removes what retention lets go."""

from __future__ import annotations

import posixpath
import secrets
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pyarrow.parquet as pq
from pyarrow import fs

from jobs.batch.ledger import Ledger, LedgerEntry
from jobs.batch.writer import MergedWriter, Target
from scoretrail import digest, log
from scoretrail.errors import ConflictError
from scoretrail.storage import Storage, filesystem, join
from scoretrail.trail.run import TRAIL_FOLDER, RunStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scoretrail.table import LiveFile, OutputTable
    from scoretrail.trail.run import OutputFile

_ORPHAN_AGE: Final = timedelta(hours=24)
"""A younger file may belong to a task that is still at work."""
_READ_ROWS: Final = 131_072


def compact(
    table: OutputTable, *, target_bytes: int, row_group_rows: int, options: Mapping[str, str]
) -> tuple[int, int]:
    """Merge small files of one scope and partition value; return how many files went and how many came.

    Rows keep every column, their work keys and run ids included. Which keys a merged file holds is written to the
    ledger before its commit, so that later runs still know what is live.

    Args:
        table: the scored or the rejects table.
        target_bytes: files of at least this size stay; a merged file does not grow beyond it by much.
        row_group_rows: rows per row group of merged files.
        options: storage settings.

    Raises:
        ConflictError: runs published into the same scopes meanwhile; nothing changed.
    """
    table.reload()
    ledger = Ledger(Storage(join(table.uri, TRAIL_FOLDER), options))
    groups: dict[tuple[object, ...], list[LiveFile]] = defaultdict(list)
    for file in sorted(table.live_files(), key=lambda item: item.path):
        if file.size_bytes < target_bytes:
            groups[(file.scope, *sorted(file.partition.items()))].append(file)
    adds: list[OutputFile] = []
    removes: list[LiveFile] = []
    guard = table.scope_versions(sorted({file.scope for files in groups.values() for file in files}))
    for files in groups.values():
        for batch in _batches(files, target_bytes):
            adds.append(_merge(table, batch, ledger, row_group_rows, options))
            removes += batch
    if not removes:
        return 0, 0
    touched = {file.scope for file in removes}
    table.commit(
        adds=adds,
        removes=removes,
        guard={scope: guard[scope] for scope in touched},
        metadata={"scoretrail.compaction": f"{len(removes)} files into {len(adds)}"},
        data_change=False,
    )
    log.get().info(log.TABLE_COMPACTED, table=table.uri, removed=len(removes), added=len(adds))
    return len(removes), len(adds)


def vacuum(
    table: OutputTable, *, retention_days: int, options: Mapping[str, str], now: datetime, dry_run: bool = False
) -> list[str]:
    """Remove files that the log let go before the retention began, and orphans that no run needs; return their paths.

    Spared are live files, superseded files within the retention (``runs verify`` and time travel read them), files of
    unfinished and held runs, and files younger than a day, which a task may be writing.

    Args:
        table: the scored or the rejects table.
        retention_days: how long superseded files are kept.
        options: storage settings.
        now: the time.
        dry_run: only tell.
    """
    table.reload()
    let_go = set(table.superseded_files(retention_days * 24))
    superseded = set(table.superseded_files(0))
    spared = {file.path for file in table.live_files()} | (superseded - let_go) | _awaited(table.uri, options)
    place, base = filesystem(table.uri, options)
    gone = sorted(let_go - spared)
    for info in place.get_file_info(fs.FileSelector(base, recursive=True)):
        path = posixpath.relpath(info.path, base)
        if not info.is_file or path.startswith("_") or path in spared or path in let_go:
            continue
        changed = datetime.fromtimestamp((info.mtime_ns or 0) / 1e9, UTC)
        if path.endswith(".parquet") and now - changed > _ORPHAN_AGE:
            gone.append(path)
    if not dry_run:
        for path in gone:
            place.delete_file(posixpath.join(base, path))
        log.get().info(log.TABLE_VACUUMED, table=table.uri, removed=len(gone))
    return gone


def _awaited(table: str, options: Mapping[str, str]) -> set[str]:
    """Return the files of runs that may still publish them; a rejects table's runs lie with its scored table."""
    store = RunStore(Storage(join(table.removesuffix("_rejects"), TRAIL_FOLDER), options))
    paths: set[str] = set()
    for run_id in store.run_ids():
        if store.status(run_id) in ("unfinished", "held", "refused"):
            for message in store.messages(run_id, sorted(store.work_keys(run_id))):
                paths |= {file.path for file in (*message.predictions, *message.rejects)}
    return paths


def _batches(files: Sequence[LiveFile], target_bytes: int) -> list[list[LiveFile]]:
    """Return groups of at least two files whose sizes add up to about the target."""
    groups: list[list[LiveFile]] = [[]]
    for file in files:
        if groups[-1] and sum(one.size_bytes for one in groups[-1]) + file.size_bytes > target_bytes:
            groups.append([])
        groups[-1].append(file)
    return [group for group in groups if len(group) > 1]


def _merge(
    table: OutputTable, files: Sequence[LiveFile], ledger: Ledger, row_group_rows: int, options: Mapping[str, str]
) -> OutputFile:
    place, base = filesystem(table.uri, options)
    keys = sorted(
        {key for file in files for key in (ledger.read(file.path).work_keys if file.is_merged else [file.key])}
    )
    target = Target(place, base, files[0].scope, digest.of_json(keys), secrets.token_hex(4), row_group_rows)
    writer = MergedWriter(target, files[0].partition, table.stats_column)
    try:
        for file in files:
            with pq.ParquetFile(posixpath.join(base, file.path), filesystem=place) as source:
                for batch in source.iter_batches(_READ_ROWS):
                    writer.add(batch)
        merged = writer.close()
    except BaseException:
        writer.abandon()
        raise
    if merged.rows != sum(file.rows for file in files):
        raise ConflictError("files changed while they were merged", where=table.uri)
    ledger.write(LedgerEntry(merged.path, tuple(keys), tuple(file.path for file in files), merged.sha256, merged.rows))
    return merged
