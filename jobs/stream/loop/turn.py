"""What one turn of the loop did, and how a micro-batch is cut into transactions."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from jobs.stream.message.envelope import TRACEPARENT
from jobs.stream.port import Partition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jobs.stream.record import Message, Record


_FRAME_BYTES: Final = 1024
"""More than key, headers and framing of a message take: with ten headers about 700."""
_SAMPLES: Final = 20
"""Of the records of a turn, for latency: each costs as much as decoding an event."""


class Outcome(enum.StrEnum):
    """What came of a turn."""

    IDLE = "idle"
    """There was nothing to read."""
    COMMITTED = "committed"
    ABORTED = "aborted"
    """The group moved on: what was read is read again, by whoever has the partition now."""
    RESET = "reset"
    """Nobody knew what became of a transaction: the producer began anew, and reading goes on at what is committed."""
    PAUSED = "paused"
    """The online store is away, and the policy is to wait."""


@dataclass(slots=True)
class Turn:
    """One turn of the loop."""

    outcome: Outcome
    records: int = 0
    dead_letters: int = 0
    transactions: int = 0
    superseding: int = 0
    """Second predictions that were published for earlier events."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By stage: poll, handle, send, flush, offsets, commit."""
    offsets: Mapping[Partition, int] = field(default_factory=dict)
    """What was committed: the next offset of each partition."""
    timestamps_ms: Sequence[int] = ()
    """Of records spread evenly over what was committed, milliseconds since 1970; a sample, for latency."""
    traceparents: Sequence[str] = ()
    """The trace contexts of the same records, where they have one."""
    assigned: int = 0
    """Partitions that this worker has."""
    rebalances: int = 0
    alias_no: int = 0
    error: str = ""
    """What ended the transaction, where something did."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Records and their messages that one transaction publishes."""

    records: Sequence[Record]
    messages: Sequence[Message]

    def offsets(self) -> dict[Partition, int]:
        """Return the next offset of each partition."""
        # The records of a partition are in order, so the last one wins.
        last = {(record.topic, record.partition): record.offset for record in self.records}
        return {Partition(*place): offset + 1 for place, offset in last.items()}


def slices(records: Sequence[Record], messages: Sequence[Message], max_bytes: int) -> Iterator[Slice]:
    """Yield consecutive parts of a micro-batch whose messages are of at most ``max_bytes``, or that are one message.

    Args:
        records: what was read.
        messages: one for each record, in order.
        max_bytes: keys, values and headers of one transaction.

    Raises:
        ValueError: there is not exactly one message for each record; publishing them would break the guarantee.
    """
    if len(records) != len(messages):
        msg = f"{len(records)} records gave {len(messages)} messages"
        raise ValueError(msg)
    if sum(len(message.value or b"") for message in messages) + _FRAME_BYTES * len(messages) <= max_bytes:
        yield Slice(records, messages)  # nearly always, and then no header is looked at
        return
    begin = size = 0
    for position, message in enumerate(messages):
        more = message.size_bytes
        if size + more > max_bytes and position > begin:
            yield Slice(records[begin:position], messages[begin:position])
            begin, size = position, 0
        size += more
    if begin < len(records):
        yield Slice(records[begin:], messages[begin:])


def first_offsets(records: Sequence[Record]) -> dict[Partition, int]:
    """Return the offset of the first record of each partition: where to read again."""
    found: dict[Partition, int] = {}
    for record in records:
        found.setdefault(Partition(record.topic, record.partition), record.offset)
    return found


def sampled(records: Sequence[Record]) -> Sequence[Record]:
    """Return a few records, spread evenly: for latency and traces."""
    return records[:: max(1, len(records) // _SAMPLES)]


def timestamps_ms(records: Sequence[Record]) -> list[int]:
    """Return the records' timestamps, milliseconds since 1970; those without one left out."""
    return [record.timestamp_ms for record in records if record.timestamp_ms > 0]


def traceparents(records: Sequence[Record]) -> list[str]:
    """Return the trace contexts that records came with, as they were sent."""
    found = (dict(record.headers).get(TRACEPARENT) for record in records if record.headers)
    return [value.decode("latin-1") for value in found if value]
