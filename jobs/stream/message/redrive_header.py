"""The header by which a redriven event tells where it lay and which outcome it asks for; and its topics' names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from scoretrail import digest

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobs.stream.record import Header, Record
    from scoretrail.setting import StreamSettings

REDRIVE: Final = "scoretrail-redrive"
"""The last header of every record of a redrive topic."""
_SUFFIX: Final = ".redrive"


class Origin(msgspec.Struct, frozen=True):
    """Where an event lies, and which outcome of it comes next."""

    topic: str
    partition: int
    offset: int
    outcome: int
    """0 for the event's first; each redrive asks for the next one."""

    def to_header(self) -> Header:
        """Return the header that a redriven event carries.

        >>> Origin("events", 0, 7, 1).to_header()
        ('scoretrail-redrive', b'{"offset":7,"outcome":1,"partition":0,"topic":"events"}')
        """
        return REDRIVE, digest.canonical_json(msgspec.structs.asdict(self))

    def __str__(self) -> str:
        """Return ``topic/partition/offset``."""
        return f"{self.topic}/{self.partition}/{self.offset}"


_DECODER: Final = msgspec.json.Decoder(Origin)


def redrive_topic(topic: str) -> str:
    """Return the topic that the redriven events of a topic come by; only workers of the stream read it.

    >>> redrive_topic("events")
    'events.redrive'
    """
    return topic + _SUFFIX


def redrive_topics(stream: StreamSettings) -> tuple[str, ...]:
    """Return the redrive topics that a worker reads; none where it is not to."""
    return tuple(redrive_topic(topic) for topic in stream.input) if stream.redrive else ()


def origin_of(record: Record) -> Origin | None:
    """Return what the last header of a record of a redrive topic says; None where it is no header of ours for it."""
    name, value = record.headers[-1] if record.headers else ("", None)
    if name != REDRIVE or not value:
        return None
    try:
        origin = _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    is_sound = origin.outcome > 0 and origin.partition >= 0 and origin.offset >= 0
    return origin if is_sound and redrive_topic(origin.topic) == record.topic else None


def restored(record: Record, redriven: Collection[str]) -> tuple[Record, int]:
    """Return the event as it was before it was refused, and the number of its outcome.

    Whatever else lies in a redrive topic is an event of that topic, with a first outcome of its own.

    Args:
        record: as it was read.
        redriven: the redrive topics that are read; of other topics the header means nothing.
    """
    origin = origin_of(record) if record.topic in redriven else None
    if origin is None:
        return record, 0
    before = msgspec.structs.replace(
        record,
        topic=origin.topic,
        partition=origin.partition,
        offset=origin.offset,
        headers=record.headers[:-1],
    )
    return before, origin.outcome
