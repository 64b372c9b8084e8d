"""Keeps a table in shape and its trail whole: merges small files within a scope, removes what retention lets go."""

from __future__ import annotations

import json
import posixpath
import secrets
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from pyarrow import fs

from jobs.batch.output.merge import ledger_of, merge_files
from scoretrail import digest, log
from scoretrail.storage import Storage, filesystem, join
from scoretrail.trail.run import TRAIL_FOLDER, RunStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.batch.output.ledger import Ledger
    from scoretrail.table import OutputTable
    from scoretrail.trail.output import LiveFile
    from scoretrail.trail.run import OutputFile

_VACUUM: Final = "vacuum"
"""Folder, beside the runs' records, of what each vacuum removed."""
_ORPHAN_AGE: Final = timedelta(hours=24)
"""A younger file may belong to a task that is still at work."""


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
    groups: dict[tuple[object, ...], list[LiveFile]] = defaultdict(list)
    for file in sorted(table.live_files(), key=lambda item: item.path):
        if file.size_bytes < target_bytes:
            groups[(file.scope, *sorted(file.partition.items()))].append(file)
    adds: list[OutputFile] = []
    removes: list[LiveFile] = []
    guard = table.scope_versions(sorted({file.scope for files in groups.values() for file in files}))
    for files in groups.values():
        for batch in _batches(_of_one_attempt(files, ledger_of(table, options)), target_bytes):
            adds.append(merge_files(table, batch, options, row_group_rows=row_group_rows))
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
    spared = {file.path for file in table.live_files()} | (superseded - let_go) | _awaited(table, options)
    place, base = filesystem(table.uri, options)
    gone = sorted(let_go - spared)
    for info in place.get_file_info(fs.FileSelector(base, recursive=True)):
        path = posixpath.relpath(info.path, base)
        if not info.is_file or path.startswith("_") or path in spared or path in let_go:
            continue
        changed = datetime.fromtimestamp((info.mtime_ns or 0) / 1e9, UTC)
        if path.endswith(".parquet") and now - changed > _ORPHAN_AGE:
            gone.append(path)
    if not dry_run and gone:
        # Before the first file goes: what is missing later is then known to have been let go.
        note_vacuum(table.uri, gone, options, now)
        for path in gone:
            place.delete_file(posixpath.join(base, path))
        log.get().info(log.TABLE_VACUUMED, table=table.uri, removed=len(gone))
    return gone


def note_vacuum(table: str, paths: Sequence[str], options: Mapping[str, str], now: datetime) -> None:
    """Write down which files of a table are about to be removed."""
    name = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}.json"
    Storage(join(table, TRAIL_FOLDER), options).put_new(f"{_VACUUM}/{name}", digest.canonical_json(list(paths)))


def vacuumed_paths(table: str, options: Mapping[str, str]) -> frozenset[str]:
    """Return the paths that vacuum removed from a table, ever."""
    storage = Storage(join(table, TRAIL_FOLDER), options)
    return frozenset(path for note in storage.list(_VACUUM) for path in json.loads(storage.get(note.key)))


def _awaited(table: OutputTable, options: Mapping[str, str]) -> set[str]:
    """Return the files of runs that may still publish them, and of refused ones, which are kept for reading."""
    store = RunStore(Storage(join(table.trail_uri, TRAIL_FOLDER), options))
    paths: set[str] = set()
    for run_id in store.run_ids():
        if store.status(run_id) in ("unfinished", "held", "refused"):
            for message in store.messages(run_id, sorted(store.work_keys(run_id))):
                paths |= {file.path for file in (*message.predictions, *message.rejects)}
    return paths


def _of_one_attempt(files: Sequence[LiveFile], ledger: Ledger) -> list[LiveFile]:
    """Return the files whose keys no other file has.

    Among rejects two attempts at one key may lie side by side until their runs are settled; in one file nobody could
    tell their rows apart.
    """
    keys = {file.path: ledger.keys_in([file]) for file in files}
    times = Counter(key for held in keys.values() for key in held)
    return [file for file in files if all(times[key] == 1 for key in keys[file.path])]


def _batches(files: Sequence[LiveFile], target_bytes: int) -> list[list[LiveFile]]:
    """Return groups of at least two files whose sizes add up to about the target."""
    groups: list[list[LiveFile]] = [[]]
    for file in files:
        if groups[-1] and sum(one.size_bytes for one in groups[-1]) + file.size_bytes > target_bytes:
            groups.append([])
        groups[-1].append(file)
    return [group for group in groups if len(group) > 1]
