"""Where a group begins to read, and what each commit says about who committed it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, Protocol

from jobs.stream.port import Committed, Partition
from scoretrail.errors import OffsetError, StaleGroupError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_MS: Final = 1000
Start = Literal["earliest", "latest"] | datetime
"""Where a group without commits begins."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The metadata of a commit: by which alias, bundle and slot the records before it were scored."""

    alias_no: int
    bundle: str
    """First digits of the bundle's digest: brokers take 4,096 bytes of metadata, and every commit has them."""
    slot: str

    def to_text(self) -> str:
        """Return the mark as it is committed.

        >>> Mark(17, "ab12", "0").to_text()
        '{"alias_no":17,"bundle":"ab12","slot":"0"}'
        """
        return json.dumps({"alias_no": self.alias_no, "bundle": self.bundle, "slot": self.slot}, separators=(",", ":"))


def alias_of(committed: Committed | None) -> int:
    """Return the number of the alias that scored a partition last; 0 where the metadata says nothing.

    What somebody else committed, such as an operator who reset the offsets, holds no partition back.

    >>> alias_of(Committed(5, Mark(17, "ab12", "0").to_text()))
    17
    >>> alias_of(Committed(5, ""))
    0
    """
    if committed is None or not committed.metadata:
        return 0
    try:
        number = json.loads(committed.metadata)["alias_no"]
    except (ValueError, TypeError, KeyError):
        return 0
    return number if isinstance(number, int) else 0


def start_of(text: str) -> Start:
    """Return what ``--from`` says.

    >>> start_of("2013-12-02T00:00:00Z").isoformat()
    '2013-12-02T00:00:00+00:00'

    Raises:
        UsageError: it is no place to begin.
    """
    if text in ("earliest", "latest"):
        return text  # type: ignore[return-value]  # narrowed by the comparison
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise UsageError(
            f"--from {text} is no place to begin", expected="earliest, latest, or a time such as 2013-12-02T00:00:00Z"
        )
    return at


class Offsets(Protocol):
    """A group's offsets, before any worker of it has joined."""

    def partitions(self, topics: Collection[str]) -> list[Partition]:
        """Return every partition of the topics."""
        ...

    def committed(self, partitions: Collection[Partition]) -> dict[Partition, Committed]:
        """Return what the group committed; a partition without a commit is left out."""
        ...

    def first(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Return the first offset that is there."""
        ...

    def end(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Return the offset after the last record."""
        ...

    def at(self, partitions: Collection[Partition], time_ms: int) -> dict[Partition, int | None]:
        """Return the first offset of a record of that time or later; None where there is none."""
        ...

    def commit(self, offsets: Mapping[Partition, Committed]) -> None:
        """Commit for the group.

        Raises:
            StaleGroupError: the group has members.
        """
        ...


def ensure_start(offsets: Offsets, topics: Collection[str], start: Start | None, group: str) -> dict[Partition, int]:
    """Commit a starting point where the group has none; return what was committed.

    Args:
        offsets: the group's.
        topics: what it reads.
        start: where to begin; None refuses to guess.
        group: its name, for the message.

    Raises:
        OffsetError: there are partitions without a commit and no ``start``, or the group is already at work and has
            partitions that were added since.
    """
    missing = _without_commit(offsets, topics)
    if not missing:
        return {}
    named = ", ".join(map(str, missing))
    if start is None:
        raise OffsetError(
            f"group {group!r} has committed nothing for {len(missing)} partitions",
            where=named,
            expected="a place to begin, said once",
            fix="start it with --from earliest (all records there are), --from latest (only new ones), or --from TIME",
        )
    begin = _begin(offsets, missing, start)
    try:
        offsets.commit({partition: Committed(offset, "") for partition, offset in begin.items()})
    except StaleGroupError as error:
        # Another worker with the same --from was faster and has joined; what it committed stands.
        if not _without_commit(offsets, topics):
            return {}
        raise OffsetError(
            f"group {group!r} is at work, and partitions were added that it has no commit for",
            where=named,
            fix="stop the group's workers, then start one with --from earliest",
        ) from error
    return begin


def _without_commit(offsets: Offsets, topics: Collection[str]) -> list[Partition]:
    partitions = offsets.partitions(topics)
    committed = offsets.committed(partitions)
    return sorted(partition for partition in partitions if partition not in committed)


def _begin(offsets: Offsets, partitions: Collection[Partition], start: Start) -> dict[Partition, int]:
    if start == "earliest":
        return offsets.first(partitions)
    end = offsets.end(partitions)
    if not isinstance(start, datetime):
        return end
    found = offsets.at(partitions, round(start.timestamp() * _MS))
    return {partition: end[partition] if offset is None else offset for partition, offset in found.items()}
