"""What comes from the broker and what goes to it, as bytes: no module but the broker's knows more of Kafka."""

from __future__ import annotations

import msgspec

Header = tuple[str, bytes | None]
"""A header's name and value; names may repeat, and the last one counts, as in Kafka's own clients."""

NO_TIMESTAMP = -1
"""What Kafka says of a record that has no timestamp."""


class Record(msgspec.Struct, frozen=True):
    """One record as it was read; a struct, for a frozen dataclass costs ten times as much to make."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """Milliseconds since 1970: when the broker got it, where the topic says ``LogAppendTime``; else the producer's."""
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()


class Message(msgspec.Struct, frozen=True):
    """One record to be written."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()
    is_provisional: bool = False
    """True for a first prediction that was made without the online store's answer."""

    @property
    def size_bytes(self) -> int:
        """The bytes of key, value and headers; what the protocol adds is :data:`OVERHEAD_BYTES` at most."""
        headers = sum(len(name.encode()) + len(value or b"") + HEADER_OVERHEAD_BYTES for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers


HEADER_OVERHEAD_BYTES = 10
"""Two lengths of a header, each a varint of up to five bytes."""
OVERHEAD_BYTES = 128
"""A batch of one record: 61 bytes of batch header, the record's own lengths and offsets, rounded up."""
