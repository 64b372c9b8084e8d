"""A dead letter read back: whose it is, why it is one, and the event as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from jobs.stream.message.deadletter import CONNECT, TRAIL, TRUNCATED
from jobs.stream.message.provenance import SHORT_TRAIL
from jobs.stream.message.redrive_header import Origin, redrive_topic
from jobs.stream.record import Message

if TYPE_CHECKING:
    from jobs.stream.record import Record

OURS: Final = (
    f"{CONNECT}topic",
    f"{CONNECT}partition",
    f"{CONNECT}offset",
    f"{CONNECT}connector.name",
    f"{CONNECT}stage",
    f"{CONNECT}exception.class.name",
    f"{CONNECT}exception.message",
    SHORT_TRAIL,
    TRAIL,
)
"""The headers that follow those of the event, in their order."""


class _Source(msgspec.Struct):
    cluster: str
    topic: str
    partition: int
    offset: int


class _Trail(msgspec.Struct):
    """What of a dead letter's trail is read back."""

    event_sha256: str
    id: str
    outcome: int
    reason: str
    role: str
    source: _Source


_DECODER: Final = msgspec.json.Decoder(_Trail)


class Letter(msgspec.Struct, frozen=True):
    """One dead letter."""

    next: Origin
    """Where its event lies, and the outcome that a redrive asks for."""
    reason: str
    role: str
    cluster: str
    timestamp_ms: int
    """Of the dead letter."""
    event_sha256: str
    """Of the event's value, as the dead letter states it."""
    id: str
    """The one that a prediction would have."""
    is_truncated: bool
    """Whether bytes of the event are missing: it cannot be redriven."""
    event: Message
    """The event as it was, for its redrive topic."""


def read_letter(record: Record) -> Letter | None:
    """Return the dead letter that a record is; None where it is none of ours.

    Whatever headers the event had itself, even those of a dead letter, belong to it: ours are the last ones.
    """
    headers = record.headers
    is_truncated = bool(headers) and headers[-1][0] == TRUNCATED
    if is_truncated:
        headers = headers[:-1]
    if tuple(name for name, _ in headers[-len(OURS) :]) != OURS:
        return None
    try:
        trail = _DECODER.decode(headers[-1][1] or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    source = trail.source
    origin = Origin(source.topic, source.partition, source.offset, trail.outcome + 1)
    before = (*headers[: -len(OURS)], origin.to_header())
    return Letter(
        next=origin,
        reason=trail.reason,
        role=trail.role,
        cluster=source.cluster,
        timestamp_ms=record.timestamp_ms,
        event_sha256=trail.event_sha256,
        id=trail.id,
        is_truncated=is_truncated,
        event=Message(redrive_topic(source.topic), record.key, record.value, before),
    )
