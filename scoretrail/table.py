"""Publishing to a Delta table: guarded commits of files that are written already; the only import of deltalake."""

from __future__ import annotations

import random
import re
import time
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake import Field as DeltaField
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import CommitFailedError, DeltaError, DeltaProtocolError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from scoretrail.errors import ConflictError, OutputTableError, StorageError
from scoretrail.trail.output import live_file
from scoretrail.trail.prediction import CLASS_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scoretrail.trail.output import LiveFile
    from scoretrail.trail.run import OutputFile

RUN_ID: Final = "scoretrail.run_id"
"""The commit metadata that names the run."""
_OWNER: Final = "scoretrail"
_DRAWN: Final = re.compile(r"\x1b\[[0-9;]*m|↳")
_APP: Final = "scoretrail/scope/"
_STATS_COLUMNS: Final = "delta.dataSkippingStatsColumns"
_STATS_NUMBER: Final = "delta.dataSkippingNumIndexedCols"
_TRAIL: Final = "scoretrail.trail"
_COMMIT_ATTEMPTS: Final = 20
"""Commits into other scopes that may come first; a table with more writers at one moment is spread by the pauses."""
_COMMIT_PAUSE_S: Final = 0.05
_HISTORY_COMMITS: Final = 1000
"""How far back a run is looked for: an unfinished run is resumed within days, not after a thousand commits."""


class OutputTable:
    """One Delta table of ours, as it stood when it was last loaded."""

    def __init__(self, uri: str, options: Mapping[str, str] | None = None) -> None:
        """Load the table, if it is there.

        Raises:
            StorageError: it cannot be read.
        """
        self.uri = uri
        self._options = dict(options or {})
        self._table: DeltaTable | None = None
        self.reload()

    @property
    def exists(self) -> bool:
        """Whether there was a table when it was last loaded."""
        return self._table is not None

    @property
    def version(self) -> int | None:
        """The version that was last loaded."""
        return None if self._table is None else self._table.version()

    @property
    def id(self) -> str:
        """What tells the table from another one that is made in its place."""
        return str(self._loaded().metadata().id)

    def reload(self) -> None:
        """Load the table's newest version.

        Raises:
            StorageError: it cannot be read.
        """
        try:
            self._table = DeltaTable(self.uri, storage_options=self._options or None)
        except TableNotFoundError:
            self._table = None
        except (DeltaError, OSError) as error:
            raise StorageError("the output table cannot be read", where=self.uri, got=_reason(error)) from error

    def create(
        self,
        schema: pa.Schema,
        partition_by: Sequence[str],
        description: str,
        retention_days: int,
        stats_column: str | None,
        trail_uri: str | None = None,
    ) -> None:
        """Create the table; one that somebody else created meanwhile is loaded instead.

        Args:
            schema: its columns with their comments.
            partition_by: names of the partition columns.
            description: what it holds.
            retention_days: how long the log and superseded files are kept.
            stats_column: the one column, never null, whose range each file states; None where none does. The table must
                know: readers of delta-rs take a range that a file does not state for `null` and pass over its rows.
            trail_uri: the table beside which the runs' records lie, if it is another one.

        Raises:
            StorageError: it can neither be created nor read.
        """
        interval = f"interval {retention_days} days"
        try:
            self._table = DeltaTable.create(
                self.uri,
                DeltaSchema.from_arrow(schema),
                mode="error",
                partition_by=list(partition_by) or None,
                name=_OWNER,
                description=description,
                configuration={
                    "delta.logRetentionDuration": interval,
                    "delta.deletedFileRetentionDuration": interval,
                    **({_TRAIL: trail_uri} if trail_uri else {}),
                    **({_STATS_COLUMNS: stats_column} if stats_column else {_STATS_NUMBER: "0"}),
                },
                storage_options=self._options or None,
                raise_if_key_not_exists=False,
            )
        except (DeltaError, OSError) as error:
            self.reload()
            if self._table is None:
                raise StorageError("the output table cannot be created", where=self.uri, got=_reason(error)) from error

    def check(self, schema: pa.Schema, partition_by: Sequence[str]) -> list[str]:
        """Return the columns of ``schema`` that the table lacks: what a later version of ours writes besides.

        Raises:
            OutputTableError: the table is not ours, or has other columns, types or partitions.
        """
        table = self._loaded()
        if table.metadata().name != _OWNER:
            raise OutputTableError(
                "the output table was not made by Scoretrail",
                where=self.uri,
                got=f"a table named {table.metadata().name!r}",
                fix="choose another --output",
            )
        if list(table.metadata().partition_columns) != list(partition_by):
            raise OutputTableError(
                "the output table is partitioned in another way",
                where=self.uri,
                expected=", ".join(partition_by) or "no partitions",
                got=", ".join(table.metadata().partition_columns) or "no partitions",
                fix="choose another --output, or the same --partition-by as before",
            )
        there = pa.schema(table.schema().to_arrow())
        for wanted in schema:
            if wanted.name in there.names and _plain(there.field(wanted.name).type) != _plain(wanted.type):
                raise OutputTableError(
                    f"column {wanted.name!r} of the output table has another type",
                    where=self.uri,
                    expected=str(wanted.type),
                    got=str(there.field(wanted.name).type),
                    fix="choose another --output",
                )
        lost = [name for name in there.names if name not in schema.names]
        if lost:
            raise OutputTableError(
                "the output table has columns that this run does not write",
                where=self.uri,
                got=", ".join(lost),
                fix="choose another --output: models with other classes or views have tables of their own",
            )
        missing = [name for name in schema.names if name not in there.names]
        if any(name.startswith(CLASS_PREFIX) for name in missing):
            # Adding them would shut out the models that the table was made for.
            raise OutputTableError(
                "the output table has no columns for the classes of this model",
                where=self.uri,
                expected=", ".join(missing),
                fix="choose another --output: models with other classes or views have tables of their own",
            )
        return missing

    @property
    def partitions(self) -> tuple[tuple[str, pa.DataType], ...]:
        """Name and type of the partition columns, in order."""
        table = self._loaded()
        there = pa.schema(table.schema().to_arrow())
        return tuple((name, there.field(name).type) for name in table.metadata().partition_columns)

    def add_columns(self, schema: pa.Schema, names: Sequence[str]) -> None:
        """Add columns at the end, in a commit of its own: delta-rs ignores a wider schema in silence.

        Raises:
            ConflictError: somebody else changed the table meanwhile.
        """
        fields = [DeltaField.from_arrow(schema.field(name)) for name in names]
        try:
            self._loaded().alter.add_columns(fields)
        except (DeltaError, OSError) as error:
            raise ConflictError("columns cannot be added", where=self.uri, got=_reason(error)) from error
        self.reload()

    def live_files(self) -> list[LiveFile]:
        """Return the files that readers see.

        Raises:
            OutputTableError: one of them was not written by Scoretrail.
        """
        if self._table is None:
            return []
        actions = pa.table(self._table.get_add_actions(flatten=False)).to_pydict()
        partitions = actions.get("partition") or actions.get("partition_values") or [{}] * len(actions["path"])
        return [
            live_file(self.uri, path, rows, size, partition or {})
            for path, rows, size, partition in zip(
                actions["path"], actions["num_records"], actions["size_bytes"], partitions, strict=True
            )
        ]

    def at(self, version: int) -> OutputTable:
        """Return the table as it was at a version.

        Raises:
            StorageError: the log no longer tells.
        """
        earlier = object.__new__(OutputTable)
        earlier.uri, earlier._options = self.uri, self._options
        try:
            earlier._table = DeltaTable(self.uri, version, storage_options=self._options or None)
        except (DeltaError, OSError) as error:
            where = f"{self.uri} version {version}"
            raise StorageError("the output table cannot be read", where=where, got=_reason(error)) from error
        return earlier

    def scope_versions(self, scopes: Iterable[str]) -> dict[str, int]:
        """Return each scope's guard version, 0 for one that was never published."""
        if self._table is None:
            return dict.fromkeys(scopes, 0)
        return {scope: self._table.transaction_version(_APP + scope) or 0 for scope in scopes}

    def app_versions(self, apps: Iterable[str]) -> dict[str, int | None]:
        """Return the version that the table knows of each application id, None where it knows none."""
        if self._table is None:
            return dict.fromkeys(apps)
        return {app: self._table.transaction_version(app) for app in apps}

    def version_of_run(self, run_id: str) -> int | None:
        """Return the table version that a run's commit made, or None."""
        for entry in self.history(_HISTORY_COMMITS):
            if entry.get(RUN_ID) == run_id:
                return int(entry["version"])
        return None

    def history(self, commits: int | None = None) -> list[dict[str, Any]]:
        """Return commit infos, newest first."""
        return [] if self._table is None else list(self._table.history(commits))

    def commit(
        self,
        *,
        adds: Sequence[OutputFile],
        removes: Sequence[LiveFile],
        guard: Mapping[str, int],
        metadata: Mapping[str, str],
        data_change: bool = True,
        apps: Mapping[str, tuple[int | None, int]] | None = None,
    ) -> int:
        """Swap files in one commit and return the version it made.

        Args:
            adds: files that lie below the table already.
            removes: live files that go.
            guard: scope -> the guard version that the caller planned on; each is raised by one in the same commit.
            metadata: what the commit says of itself.
            data_change: False where the rows stay as they are and only their files change.
            apps: application id -> the version that the caller began at, and the one that this commit makes.

        Raises:
            ConflictError: a scope or an application's version moved since the plan, or other commits were faster
                again and again.
            StorageError: the commit failed for another reason.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._commit_once(adds, removes, guard, apps or {}, metadata, data_change=data_change)
            except _FasterCommitError as error:
                # Delta may call a commit into other scopes a conflict; whether it was one, the guards tell.
                if attempt == _COMMIT_ATTEMPTS:
                    raise ConflictError(
                        "other commits were faster", where=self.uri, got=f"{attempt} times; {error}"
                    ) from error
                time.sleep(random.uniform(0, _COMMIT_PAUSE_S * attempt))  # noqa: S311  (spreads writers, no secret)

    def _commit_once(
        self,
        adds: Sequence[OutputFile],
        removes: Sequence[LiveFile],
        guard: Mapping[str, int],
        apps: Mapping[str, tuple[int | None, int]],
        metadata: Mapping[str, str],
        *,
        data_change: bool,
    ) -> int:
        """Commit on the newest version.

        Raises:
            ConflictError: a scope or an application's version moved since the plan.
            _FasterCommitError: another commit was made at this moment.
            StorageError: the commit failed for another reason.
        """
        self.reload()
        table = self._loaded()
        moved = {scope for scope, version in self.scope_versions(guard).items() if version != guard[scope]}
        if moved:
            raise ConflictError(
                "another run published into the same scope", where=self.uri, got=f"{len(moved)} scopes moved"
            )
        if self.app_versions(apps) != {app: began for app, (began, _) in apps.items()}:
            raise ConflictError("another process has committed what this one was about to", where=self.uri)
        now_ms = int(time.time() * 1000)
        actions: list[AddAction | RemoveAction] = [
            AddAction(file.path, file.size_bytes, file.partition, now_ms, data_change, file.stats) for file in adds
        ]
        actions += [RemoveAction(file.path, data_change, now_ms, file.size_bytes, file.partition) for file in removes]
        properties = CommitProperties(
            custom_metadata=dict(metadata),
            app_transactions=[
                *(Transaction(_APP + scope, version + 1) for scope, version in guard.items()),
                *(Transaction(app, version) for app, (_, version) in apps.items()),
            ],
        )
        try:
            table.create_write_transaction(
                actions,
                mode="append",
                schema=table.schema(),
                partition_by=list(table.metadata().partition_columns),
                commit_properties=properties,
            )
        except (CommitFailedError, DeltaProtocolError) as error:
            raise _FasterCommitError(_reason(error)) from error
        except (DeltaError, OSError) as error:
            raise StorageError("the commit failed", where=self.uri, got=_reason(error)) from error
        self.reload()
        return self._loaded().version()

    def superseded_files(self, retention_hours: int) -> list[str]:
        """Return the files that the log removed longer than ``retention_hours`` ago and that still lie there."""
        return list(
            self._loaded().vacuum(retention_hours=retention_hours, dry_run=True, enforce_retention_duration=False)
        )

    @property
    def trail_uri(self) -> str:
        """The table beside which the runs' records lie: this one, or the scored table of a rejects table."""
        return self._loaded().metadata().configuration.get(_TRAIL, self.uri)

    @property
    def stats_column(self) -> str | None:
        """The column whose range every file states, or None."""
        return self._loaded().metadata().configuration.get(_STATS_COLUMNS)

    def column_comments(self) -> dict[str, str]:
        """Return column -> comment."""
        return {field.name: str(field.metadata.get("comment", "")) for field in self._loaded().schema().fields}

    def to_pyarrow_dataset(self) -> Any:  # noqa: ANN401  (pyarrow.dataset is untyped)
        """Return the table for reading."""
        return self._loaded().to_pyarrow_dataset()

    def _loaded(self) -> DeltaTable:
        if self._table is None:
            raise OutputTableError("there is no table here", where=self.uri, fix="`scoretrail batch score` makes one")
        return self._table


class _FasterCommitError(Exception):
    """Delta refused a commit because of another one; ours is tried again unless a scope of its own has moved."""


def _plain(type_: pa.DataType) -> str:
    """Return a type's name without what Delta cannot keep apart (large and view variants)."""
    return str(type_).removeprefix("large_").removesuffix("_view")


def _reason(error: BaseException) -> str:
    """Return what a library's error says on one line; delta-rs draws its causes below each other, in colour."""
    lines = (_DRAWN.sub("", line).strip() for line in str(error).splitlines())
    return ": ".join(line for line in lines if line)[:300] or type(error).__name__
