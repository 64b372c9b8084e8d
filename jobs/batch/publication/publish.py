"""Publishes a run: every file checked against its message, limits, the hold, rejects first, then one guarded commit."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from pyarrow import fs

from jobs.batch.publication.settlement import add_rejects, settle
from scoretrail.errors import OutputTableError, RejectLimitError
from scoretrail.storage import filesystem
from scoretrail.table import RUN_ID, OutputTable
from scoretrail.trail.run import messages_digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from jobs.batch.plan.plan import Plan
    from scoretrail.model.manifest import Manifest
    from scoretrail.trail.run import Intent, OutputFile, WorkMessage


def check_files(messages: Sequence[WorkMessage], table: str, rejects: str, options: Mapping[str, str]) -> None:
    """Refuse messages whose files are not there in the stated size: delta-rs would publish them unseen.

    Raises:
        OutputTableError: a file is missing or has another size.
    """
    for uri, files in (
        (table, [file for message in messages for file in message.predictions]),
        (rejects, [file for message in messages for file in message.rejects]),
    ):
        sizes = _sizes(uri, files, options)
        for file in files:
            if sizes.get(file.path) != file.size_bytes:
                raise OutputTableError(
                    "an output file is not what its message says; nothing was published",
                    where=f"{uri}/{file.path}",
                    expected=f"{file.size_bytes} bytes",
                    got=f"{sizes.get(file.path, 'no file')}",
                    fix="remove the run's folder below _scoretrail and run again",
                )


def check_reject_limit(rows: Mapping[str, int], limit: float, rejects: Sequence[OutputFile], uri: str) -> None:
    """Refuse a run of which too many rows were rejected.

    Raises:
        RejectLimitError: nothing is published; the rejects lie where the message says.
    """
    given = rows["scored"] + rows["rejected"]
    if given and rows["rejected"] / given > limit:
        raise RejectLimitError(
            "too many rows were rejected; nothing was published",
            where="batch.max_reject_ratio",
            expected=f"at most {limit:.2%}",
            got=f"{rows['rejected']} of {given} rows ({rows['rejected'] / given:.2%})",
            fix=f"read the reasons in {len(rejects)} Parquet files below {uri}, or raise --max-reject-ratio",
        )


def prepare_table(
    table: OutputTable,
    schema: pa.Schema,
    partition_by: Sequence[str],
    description: str,
    retention_days: int,
    stats_column: str | None,
    trail_uri: str | None = None,
) -> None:
    """Make sure that the table is there and has every column.

    Raises:
        OutputTableError: there is a table that does not fit.
    """
    if not table.exists:
        table.create(schema, partition_by, description, retention_days, stats_column, trail_uri)
    missing = table.check(schema, partition_by)
    if missing:
        table.add_columns(schema, missing)


def publish(
    plan: Plan,
    messages: Sequence[WorkMessage],
    guard: Mapping[str, int],
    tables: tuple[OutputTable, OutputTable],
    metadata: Mapping[str, str],
    options: Mapping[str, str],
) -> tuple[int, int | None]:
    """Add the rejects, swap the predictions, let superseded rejects go; return the versions of both tables.

    Rejects count once the scored table holds their run. Every step is idempotent, so a run that died between two of
    them is finished by the same steps.

    Args:
        plan: what goes.
        messages: what is added.
        guard: scope -> version of the scored table that the plan was made on.
        tables: the scored and the rejects table.
        metadata: what the commits say of themselves.
        options: storage settings.

    Raises:
        ConflictError: a scope moved since the plan; nothing of this run is visible in the scored table.
    """
    scored, rejects = tables
    add_rejects(rejects, messages, metadata)
    adds = [file for message in messages for file in message.predictions]
    touched = {message.scope for message in messages} | {file.scope for file in plan.removes}
    version = scored.commit(
        adds=adds,
        removes=plan.removes,
        guard={scope: guard[scope] for scope in sorted(touched)},
        metadata={**metadata, "scoretrail.messages_sha256": messages_digest(messages)},
    )
    return version, settle(scored, rejects, plan.scopes, messages, options)


def metadata_of(intent: Intent, manifest: Manifest) -> dict[str, str]:
    """Return the run's hashes as a commit carries them."""
    return {
        RUN_ID: intent.run_id,
        "scoretrail.plan_sha256": intent.plan_sha256,
        "scoretrail.bundle_sha256": intent.bundle_sha256,
        "scoretrail.score_digest": manifest.score_digest,
        "scoretrail.model": f"{manifest.name} {manifest.version}",
        "scoretrail.role": intent.role,
        "scoretrail.input_root": intent.input_root,
        "scoretrail.where": intent.where or "",
        "scoretrail.scored_at": intent.scored_at,
    }


def _sizes(uri: str, files: Sequence[OutputFile], options: Mapping[str, str]) -> dict[str, int]:
    """Return path -> size of what lies in the folders of these files, one listing per folder."""
    place, base = filesystem(uri, options)
    sizes: dict[str, int] = {}
    for folder in sorted({posixpath.dirname(file.path) for file in files}):
        selector = fs.FileSelector(posixpath.join(base, folder), allow_not_found=True)
        for info in place.get_file_info(selector):
            sizes[posixpath.join(folder, info.base_name)] = info.size
    return sizes
