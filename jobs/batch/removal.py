"""Published rows that a run would take away, and the limit on them."""

from __future__ import annotations

import posixpath
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from jobs.batch.probe import reading
from scoretrail.errors import RemovalLimitError
from scoretrail.storage import filesystem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyarrow import fs

    from jobs.batch.plan import Plan
    from scoretrail.table import OutputTable
    from scoretrail.trail.run import WorkMessage


def check_removal(
    plan: Plan,
    table: OutputTable,
    limit: float,
    messages: Sequence[WorkMessage] | None,
    options: Mapping[str, str],
) -> int:
    """Return how many published rows go without others in their place.

    A file that is scored again, by another model or because its bytes changed, replaces its rows. What counts is rows
    of input files that are no longer there, and rows that ``--where`` leaves out of files that are.

    Args:
        plan: what is planned, and what goes.
        table: the scored table.
        limit: share of the scopes' published rows that may go.
        messages: what was scored; None before scoring, when only vanished files can be told.
        options: storage settings.

    Raises:
        RemovalLimitError: more rows would go than the limit allows.
    """
    if not plan.removes:
        return 0
    place, base = filesystem(table.uri, options)
    before: Counter[str] = Counter()
    for file in plan.removes:
        before[_source_path(place, posixpath.join(base, file.path))] += file.rows
    after: Counter[str] = Counter()
    if messages is None:
        planned = {work.path for work in plan.work}
        after.update({path: rows for path, rows in before.items() if path in planned})
    else:
        for message in messages:
            # A row that is rejected now is recorded, not lost.
            after[message.source_path] += message.rows_scored + message.rows_rejected
    going = sum(max(rows - after[path], 0) for path, rows in before.items())
    published = sum(file.rows for file in table.live_files() if file.scope in plan.scopes)
    if going > limit * published:
        raise RemovalLimitError(
            "published rows would go: their input is no longer there, or --where leaves them out",
            where=table.uri,
            expected=f"at most {limit:.2%} of {published} rows",
            got=f"{going} rows",
            fix="look with --dry-run, then give --allow-remove",
        )
    return going


def _source_path(place: fs.FileSystem, path: str) -> str:
    """Return the one source of a file's rows, from the footer alone; empty for a merged file or one without rows."""
    with reading(path), place.open_input_file(path) as file:
        metadata = pq.read_metadata(file)
    for i in range(metadata.num_columns if metadata.num_row_groups else 0):
        column: Any = metadata.row_group(0).column(i)
        if column.path_in_schema == "source_path" and column.is_stats_set and column.statistics.has_min_max:
            return str(column.statistics.min) if column.statistics.min == column.statistics.max else ""
    return ""
