"""The archive's table: how far each partition is archived, and commits that say so together with their rows."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from jobs.archive.columns import EVENT_DATE
from jobs.archive.window import WINDOWS, to_text
from jobs.batch.output.file import Target
from jobs.batch.output.maintain import compact
from jobs.batch.output.writer import PartitionedWriter
from scoretrail import digest
from scoretrail.storage import filesystem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa

    from jobs.archive.counting import WindowCounter
    from jobs.archive.row import RowMaker
    from jobs.stream.port import Partition
    from scoretrail.table import OutputTable
    from scoretrail.trail.run import OutputFile

_SCOPE_DIGITS: Final = 12
_ATTEMPT_BYTES: Final = 4
_RANGES: Final = "scoretrail.archived"
"""The commit metadata with the offsets that a commit holds."""


@dataclass(frozen=True, kw_only=True)
class TopicIdentity:
    """Which topic is archived: one of the same name that was made later is another one."""

    cluster: str
    topic: str
    id: str = ""
    """The topic's own id; empty on brokers that have none."""

    def app(self, partition: Partition) -> str:
        """Return the application id by which the table knows a partition.

        >>> TopicIdentity(cluster="c1", topic="predictions").app(Partition("predictions", 3))
        'c1/predictions/3'
        """
        return f"{self.cluster}/{self.id or self.topic}/{partition.number}"

    @property
    def scope(self) -> str:
        """What the table's files are named after, and within what they are merged."""
        return digest.of_json([self.cluster, self.id or self.topic])[:_SCOPE_DIGITS]


@dataclass(frozen=True, kw_only=True)
class StorePolicy:
    """How the archive is kept."""

    row_group_rows: int
    target_bytes: int
    retention_days: int
    options: Mapping[str, str] = field(default_factory=dict)
    """Storage settings."""


class ArchiveStore:
    """One archive, for one topic."""

    def __init__(
        self,
        table: OutputTable,
        maker: RowMaker,
        identity: TopicIdentity,
        policy: StorePolicy,
        counter: WindowCounter,
    ) -> None:
        """Open the archive; it is made if it is not there, and given the columns that it lacks.

        Args:
            table: where it lies.
            maker: makes its rows.
            identity: the topic.
            policy: how it is kept.
            counter: counts the rows of each commit.

        Raises:
            OutputTableError: there is another table.
            ConflictError: somebody else changed its columns at this moment.
            StorageError: it can neither be read nor made.
        """
        self.table = table
        self._maker = maker
        self._identity = identity
        self._policy = policy
        self._counter = counter
        if not table.exists:
            table.create(
                maker.table_schema,
                [EVENT_DATE],
                f"Archive of predictions, topic {identity.topic}",
                policy.retention_days,
                maker.event_time,
            )
        missing = table.check(maker.table_schema, [EVENT_DATE])
        if missing:
            table.add_columns(maker.table_schema, missing)

    def versions(self, partitions: Sequence[Partition]) -> dict[Partition, int | None]:
        """Return the next offset of each partition as the table's newest version knows it; None where it knows none."""
        self.table.reload()
        found = self.table.app_versions(self._identity.app(partition) for partition in partitions)
        return {partition: found[self._identity.app(partition)] for partition in partitions}

    def commit(
        self,
        batches: Sequence[pa.RecordBatch],
        ranges: Mapping[Partition, tuple[int | None, int]],
        on_step: Callable[[str], Any] = lambda _: None,
    ) -> int:
        """Write rows and publish them in one commit with the offsets that they reach; return the table's version.

        Args:
            batches: the rows.
            ranges: partition -> the version that the rows follow on, and the offset after the last of them.
            on_step: called between any two steps.

        Raises:
            ConflictError: another archiver has moved one of the partitions; nothing was published.
            StorageError: the files cannot be written or the commit failed.
        """
        counted = self._counter.count(batches, self._maker.event_time)
        files = self._write(batches, ranges)
        on_step("written")
        told = {str(partition): list(ends) for partition, ends in sorted(ranges.items())}
        # Files of a refused commit stay, for vacuum: what looks refused may have happened, and then they are live.
        version = self.table.commit(
            adds=files,
            removes=(),
            guard={},
            apps={self._identity.app(partition): ends for partition, ends in ranges.items()},
            metadata={_RANGES: digest.canonical_json(told).decode(), WINDOWS: to_text(counted)},
        )
        on_step("committed")
        return version

    def compact(self) -> tuple[int, int]:
        """Merge small files of each day; return how many went and how many came.

        Raises:
            ConflictError: somebody else did, or erased something; nothing changed.
        """
        policy = self._policy
        return compact(
            self.table,
            target_bytes=policy.target_bytes,
            row_group_rows=policy.row_group_rows,
            options=policy.options,
        )

    def _write(
        self, batches: Sequence[pa.RecordBatch], ranges: Mapping[Partition, tuple[int | None, int]]
    ) -> tuple[OutputFile, ...]:
        place, base = filesystem(self.table.uri, self._policy.options)
        key = digest.of_json([[str(partition), *ends] for partition, ends in sorted(ranges.items())])
        attempt = secrets.token_hex(_ATTEMPT_BYTES)
        target = Target(place, base, self._identity.scope, key, attempt, self._policy.row_group_rows)
        writer = PartitionedWriter(target, self._maker.columns, [EVENT_DATE], self._maker.event_time)
        try:
            for batch in batches:
                writer.write({name: batch.column(name) for name in batch.schema.names})
            return writer.close()
        except BaseException:
            writer.abandon()
            raise
