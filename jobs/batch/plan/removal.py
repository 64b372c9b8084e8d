"""Published rows that a run would take away, and the limit on them."""

from __future__ import annotations

import posixpath
from collections import Counter
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.batch.input.probe import reading
from scoretrail.errors import RemovalLimitError
from scoretrail.storage import filesystem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyarrow import fs

    from jobs.batch.plan.plan import Plan
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
    of input files that are no longer there, and rows that ``--where`` leaves out of files that are or that these files
    no longer hold.

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
        before += _rows_by_source(place, posixpath.join(base, file.path))
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


def _rows_by_source(place: fs.FileSystem, path: str) -> Counter[str]:
    """Return how many of a file's rows came from each input file; the footer tells it, but for merged files."""
    with reading(path), place.open_input_file(path) as file:
        metadata = pq.read_metadata(file)
        sources = {_only_source(metadata.row_group(i)) for i in range(metadata.num_row_groups)}
        if len(sources) == 1 and None not in sources:
            return Counter({str(sources.pop()): metadata.num_rows})
        file.seek(0)
        column = pq.read_table(file, columns=["source_path"])["source_path"]
    return Counter({str(entry["values"]): entry["counts"].as_py() for entry in pc.value_counts(column)})


def _only_source(group: pq.RowGroupMetaData) -> str | None:
    """Return the one source that a row group's statistics state, or None."""
    for i in range(group.num_columns):
        column = group.column(i)
        if column.path_in_schema == "source_path" and column.is_stats_set and column.statistics.has_min_max:
            low, high = column.statistics.min, column.statistics.max
            return str(low) if low == high else None
    return None
