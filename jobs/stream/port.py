"""What the loop asks of its brokers: an input that is polled, and an output that publishes all or nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from jobs.stream.record import Message, Record


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        """Return ``topic/number``."""
        return f"{self.topic}/{self.number}"


@dataclass(frozen=True, slots=True)
class Committed:
    """What a group committed for a partition."""

    offset: int
    """Of the next record to read."""
    metadata: str


@dataclass(frozen=True, slots=True)
class Membership:
    """Which generation of the group a worker belongs to; two are equal while nothing moved."""

    generation: int
    """Below 0: the worker belongs to none, and may commit nothing."""
    member: str
    token: Any = field(default=None, compare=False)
    """What the broker compares when offsets are committed."""


@dataclass(frozen=True, slots=True)
class Change:
    """What rebalances did since the last look."""

    assigned: frozenset[Partition] = frozenset()
    revoked: frozenset[Partition] = frozenset()
    rebalances: int = 0


class Input(Protocol):
    """Events of a consumer group's member; called by one thread only.

    Every method may raise BrokerError (ask again later), FencedError (end), ConfigurationError (end, and a person
    must act).
    """

    def poll(self, timeout_s: float, max_records: int) -> list[Record]:
        """Return the next records, of each partition in order; this also keeps the membership alive.

        Raises:
            OffsetError: the next offset of a partition is unknown, or is no longer there.
        """
        ...

    def membership(self) -> Membership:
        """Return the membership under which the last records were read; ask right after :meth:`poll`."""
        ...

    def rejoin(self, refused: Membership) -> None:
        """Join anew if this member still believes in a membership that the group refused; the next poll does it."""
        ...

    def changes(self) -> Change:
        """Return what rebalances did since the last call."""
        ...

    def assignment(self) -> frozenset[Partition]:
        """Return the partitions that are this member's."""
        ...

    def committed(self, partitions: Collection[Partition]) -> dict[Partition, Committed]:
        """Return what the group committed; a partition without a commit is left out."""
        ...

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Read on from these offsets; partitions that are no longer this member's are passed over."""
        ...

    def pause(self, partitions: Collection[Partition]) -> None:
        """Read nothing of these partitions until they are resumed or assigned again."""
        ...

    def resume(self, partitions: Collection[Partition]) -> None:
        """Read these partitions again."""
        ...

    def ends(self) -> dict[Partition, int]:
        """Return the offset after the last record that is known to be there, of each partition that was read."""
        ...

    def close(self) -> None:
        """Leave."""
        ...


class Output(Protocol):
    """One transactional producer; called by one thread only.

    The methods of a transaction may raise BrokerError (nobody knows what became of it: reset), FencedError (end),
    StaleGroupError (abort) or ConfigurationError (end, and a person must act).
    """

    def begin(self) -> None:
        """Begin a transaction."""
        ...

    def send(self, message: Message) -> Any:  # noqa: ANN401  (a promise that only check() looks into)
        """Hand over one message; return a promise for :meth:`check`.

        Raises:
            RefusedMessageError: it is too large to be sent at all.
        """
        ...

    def flush(self) -> None:
        """Wait until every message was acknowledged or failed."""
        ...

    def check(self, promises: Sequence[Any]) -> list[int]:
        """Look at every promise; return the positions of messages that their topic refuses for their size.

        Any other failed message raises.
        """
        ...

    def send_offsets(self, offsets: Mapping[Partition, Committed], membership: Membership) -> None:
        """Make offsets part of the transaction."""
        ...

    def commit(self) -> None:
        """Publish everything since :meth:`begin`."""
        ...

    def abort(self) -> None:
        """Drop everything since :meth:`begin`."""
        ...

    def reset(self) -> None:
        """Begin anew as if the process had: whatever was under way is aborted by the broker."""
        ...

    def close(self) -> None:
        """End, and drop what is under way."""
        ...
