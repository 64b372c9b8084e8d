"""Twins of input and output in memory, for the loop's logic alone; what is claimed of Kafka is shown on Kafka."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobs.stream.port import Change, Committed, Membership, Partition
from jobs.stream.record import Message, Record
from scoretrail.errors import BrokerError, OffsetError, RefusedMessageError, StaleGroupError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

EVENTS = "events"
PREDICTIONS = "predictions"
DEAD_LETTERS = "dead-letters"


@dataclass
class Twin:
    """A broker with one group, whose partitions are given to one member."""

    events: dict[Partition, list[Record]] = field(default_factory=lambda: defaultdict(list))
    committed: dict[Partition, Committed] = field(default_factory=dict)
    visible: list[Message] = field(default_factory=list)
    """What readers of committed records see."""
    generation: int = 1
    faults: list[tuple[str, Exception]] = field(default_factory=list)
    """Name of a call -> what it raises, once, when it is its turn."""

    def write(self, number: int, *values: bytes | None) -> None:
        partition = Partition(EVENTS, number)
        for value in values:
            log = self.events[partition]
            log.append(Record(EVENTS, number, len(log), 1_000 + len(log), b"key", value))
        self.committed.setdefault(partition, Committed(0, ""))

    def fail(self, call: str, error: Exception) -> None:
        self.faults.append((call, error))

    def reached(self, call: str) -> None:
        for fault in self.faults:
            if fault[0] == call:
                self.faults.remove(fault)
                raise fault[1]


class TwinInput:
    """One member of the twin's group."""

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        self.positions: dict[Partition, int] = {}
        self.paused: set[Partition] = set()
        self.pending = Change()
        self.polls = 0
        self.rejoined = 0

    def assign(self, *numbers: int) -> None:
        """Rebalance: give the member exactly these partitions, at what is committed."""
        now = {Partition(EVENTS, number) for number in numbers}
        gained, gone = now - self.positions.keys(), self.positions.keys() - now
        for partition in gone:
            del self.positions[partition]
        self.positions |= {p: self.twin.committed[p].offset for p in gained if p in self.twin.committed}
        self.paused -= gone | gained
        self.pending = Change(self.pending.assigned | gained, self.pending.revoked | gone, self.pending.rebalances + 1)
        self.twin.generation += 1

    def poll(self, timeout_s: float, max_records: int) -> list[Record]:
        self.polls += 1
        self.twin.reached("poll")
        found: list[Record] = []
        for partition, position in sorted(self.positions.items()):
            if partition in self.paused:
                continue
            if position > len(self.twin.events[partition]):
                raise OffsetError("the next records are no longer there")
            records = self.twin.events[partition][position : position + max_records - len(found)]
            self.positions[partition] += len(records)
            found += records
        return found

    def membership(self) -> Membership:
        self.twin.reached("membership")
        return Membership(self.twin.generation, "me")

    def rejoin(self, refused: Membership) -> None:
        self.twin.reached("rejoin")
        if self.membership() == refused:
            self.rejoined += 1

    def changes(self) -> Change:
        change, self.pending = self.pending, Change()
        return change

    def assignment(self) -> frozenset[Partition]:
        return frozenset(self.positions)

    def committed(self, partitions: Collection[Partition]) -> dict[Partition, Committed]:
        self.twin.reached("committed")
        return {p: self.twin.committed[p] for p in partitions if p in self.twin.committed}

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        self.positions |= {partition: offset for partition, offset in offsets.items() if partition in self.positions}

    def pause(self, partitions: Collection[Partition]) -> None:
        self.paused |= set(partitions) & self.positions.keys()

    def resume(self, partitions: Collection[Partition]) -> None:
        self.paused -= set(partitions)

    def ends(self) -> dict[Partition, int]:
        return {partition: len(self.twin.events[partition]) for partition in self.positions}

    def close(self) -> None:
        self.positions.clear()


class TwinOutput:
    """A transactional producer of the twin's."""

    def __init__(self, twin: Twin, max_bytes: int = 1_000) -> None:
        self.twin = twin
        self.max_bytes = max_bytes
        self.topic_limits: dict[str, int] = {}
        self.open: list[Message] | None = None
        self.offsets: dict[Partition, Committed] = {}
        self.calls: list[str] = []

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.twin.reached(name)

    def begin(self) -> None:
        self._called("begin")
        if self.open is not None:
            raise AssertionError("a transaction is open already")
        self.open, self.offsets = [], {}

    def send(self, message: Message) -> Any:
        if self.open is None:
            raise AssertionError("no transaction is open")
        self.twin.reached("send")
        if message.size_bytes > self.max_bytes:
            raise RefusedMessageError("a message is too large")
        self.open.append(message)
        return message

    def flush(self) -> None:
        self._called("flush")

    def check(self, promises: Sequence[Any]) -> list[int]:
        self._called("check")
        limits = self.topic_limits
        return [i for i, one in enumerate(promises) if one.size_bytes > limits.get(one.topic, self.max_bytes)]

    def send_offsets(self, offsets: Mapping[Partition, Committed], membership: Membership) -> None:
        self._called("send_offsets")
        if membership.generation != self.twin.generation:
            raise StaleGroupError("the group moved on")
        self.offsets |= offsets

    def commit(self) -> None:
        self._called("commit")
        if self.open is None:
            raise AssertionError("no transaction is open")
        self.twin.visible += self.open
        self.twin.committed |= self.offsets
        self.open = None

    def abort(self) -> None:
        self._called("abort")
        if self.open is None:
            raise BrokerError("there is nothing to abort")
        self.open = None

    def reset(self) -> None:
        self._called("reset")
        self.open = None

    def close(self) -> None:
        self.calls.append("close")
        self.open = None


@dataclass
class Echo:
    """A handler that predicts every value, but refuses those that begin with ``bad``."""

    alias_no: int = 1
    bundle_sha256: str = "ab" * 32
    before: Callable[[Sequence[Record]], object] = lambda _: None
    """Called before a micro-batch is handled; raises what is to fail it."""

    second: Callable[[Sequence[Record]], list[Message] | None] = lambda _: None
    """Makes second predictions."""

    @property
    def handler(self) -> Echo:
        return self

    def handle(self, records: Sequence[Record]) -> list[Message]:
        self.before(records)
        return [self._message(record) for record in records]

    def supersede(self, records: Sequence[Record]) -> list[Message] | None:
        return self.second(records)

    def refuse(self, record: Record, error: BaseException) -> Message:
        value = b"too large" if isinstance(error, RefusedMessageError) else type(error).__name__.encode()
        return Message(DEAD_LETTERS, record.key, value)

    def _message(self, record: Record) -> Message:
        value = record.value or b""
        topic = DEAD_LETTERS if value.startswith(b"bad") else PREDICTIONS
        return Message(topic, record.key, value, is_provisional=value.startswith(b"default"))
