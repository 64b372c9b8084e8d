"""The archiver's loop: poll, gather, and commit rows and offsets to the table in one step, turn by turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from jobs.archive.gathering import Gathering
from scoretrail import log
from scoretrail.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jobs.archive.row import RowMaker
    from jobs.archive.store import ArchiveStore
    from jobs.stream.port import Partition
    from jobs.stream.record import Record
    from scoretrail.clock import Clock

_POLL_RECORDS: Final = 5000


class Source(Protocol):
    """A topic, read from any place; see :class:`jobs.stream.kafka.reader.KafkaReader`."""

    @property
    def partitions(self) -> Sequence[Partition]:
        """Every partition."""
        ...

    def first(self) -> Mapping[Partition, int]:
        """Return the first offset that is there, of each partition."""
        ...

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Read on from these offsets."""
        ...

    def poll(self, timeout_s: float, max_records: int) -> list[Record]:
        """Return the next records, of each partition in order.

        Raises:
            OffsetError: the next offset of a partition is no longer there.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ArchiverPolicy:
    """When rows are committed."""

    commit_rows: int
    commit_s: float
    compact_commits: int = 0
    """Merge small files after so many commits; 0 never."""
    idle_s: float = 0.5
    """How long a poll waits for a first record."""


@dataclass
class ArchiverTotals:
    """What an archiver did in all."""

    records: int = 0
    """Read, also those that were read again."""
    rows: int = 0
    """Committed."""
    passed_over: int = 0
    """Records that are no prediction of the archive's model."""
    commits: int = 0
    conflicts: int = 0


class Archiver:
    """Archives one topic; one thread calls :meth:`turn` again and again.

    The table is the only memory: each commit says, with its rows, up to which offset each partition is archived.
    Whoever dies anywhere begins there again, and of several archivers at once one wins each commit.
    """

    def __init__(
        self,
        source: Source,
        store: ArchiveStore,
        maker: RowMaker,
        policy: ArchiverPolicy,
        clock: Clock,
        on_step: Callable[[str], Any] = lambda _: None,
    ) -> None:
        """Begin where the table says; a partition that it does not know begins at its first offset.

        Args:
            source: the topic; the caller closes it.
            store: the archive.
            maker: makes its rows.
            policy: when rows are committed.
            clock: measures durations.
            on_step: called between any two steps: polled, written, committed.
        """
        self._source = source
        self._store = store
        self._maker = maker
        self._policy = policy
        self._clock = clock
        self._on_step = on_step
        self._gathering = Gathering()
        self._since = clock.monotonic()
        """When the first of the rows that wait was read."""
        self._known = store.versions(source.partitions)
        """The next offset of each partition, as the last commit says that this archiver saw."""
        self.totals = ArchiverTotals()
        first = source.first()
        source.seek({p: first[p] if version is None else version for p, version in self._known.items()})

    def turn(self) -> None:
        """Read what is there, and commit what has waited for long enough.

        Raises:
            OffsetError: retention was faster than the archive; a person must act.
            OutputTableError: a prediction does not fit the table.
            StorageError: nobody knows what became of a commit; the next process will.
        """
        if not self._gathering.rows:
            self._since = self._clock.monotonic()
        records = self._source.poll(self._policy.idle_s, _POLL_RECORDS)
        self._on_step("polled")
        self._gather(records)
        waited_s = self._clock.monotonic() - self._since
        if self._gathering.rows >= self._policy.commit_rows or waited_s >= self._policy.commit_s:
            self.commit()

    def commit(self) -> bool:
        """Commit what waits; return whether nothing waits any more.

        Raises:
            StorageError: nobody knows what became of it.
        """
        gathered = self._gathering
        if not gathered.rows:
            return True
        ranges = {partition: (self._known[partition], offset) for partition, offset in gathered.next.items()}
        try:
            version = self._store.commit(gathered.batches, ranges, self._on_step)
        except ConflictError as error:
            self.totals.conflicts += 1
            log.get().warning(log.ARCHIVE_CONFLICT, table=self._store.table.uri, error=error.what)
            self._give_way()
            return not gathered.rows
        log.get().info(
            log.ARCHIVED,
            table=self._store.table.uri,
            version=version,
            rows=gathered.rows,
            offsets={str(partition): offset for partition, offset in sorted(gathered.next.items())},
        )
        self.totals.rows += gathered.rows
        self.totals.commits += 1
        self._known |= gathered.next
        gathered.clear()
        self._compact()
        return True

    def _gather(self, records: Sequence[Record]) -> None:
        if not records:
            return
        decoded = self._maker.decode(records)
        self._gathering.add(decoded.rows, records)
        self.totals.records += len(records)
        self.totals.passed_over += len(decoded.passed_over)
        for record in decoded.passed_over[:1]:  # one line tells of a poll: a foreign producer may write millions
            log.get().warning(
                log.ARCHIVE_PASSED_OVER,
                records=len(decoded.passed_over),
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
            )

    def _give_way(self) -> None:
        """Take note of what the table holds by now: rows below it are dropped, what follows stays to be committed."""
        versions = self._store.versions(self._source.partitions)
        first = self._source.first()
        for partition, version in versions.items():
            if version == self._known[partition]:
                continue
            place = first[partition] if version is None else version
            reached = self._gathering.next.get(partition, -1)
            # Behind what was known: the table was restored to an earlier version, and what lies between is read again.
            if place >= reached or place < (self._known[partition] or 0):
                self._gathering.drop_below(partition, max(place, reached))
                self._source.seek({partition: place})
            else:
                self._gathering.drop_below(partition, place)
            self._known[partition] = version

    def _compact(self) -> None:
        every = self._policy.compact_commits
        if not every or self.totals.commits % every:
            return
        try:
            self._store.compact()
        except ConflictError as error:
            # Somebody else merges or erases; the next turn for it comes.
            log.get().warning(log.ARCHIVE_CONFLICT, table=self._store.table.uri, error=error.what)
