"""Refused events as messages: their bytes untouched, and why, under Kafka Connect's names and ours."""

from __future__ import annotations

import hashlib
from functools import cached_property
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Final

from jobs.stream.message.provenance import SHORT_TRAIL
from jobs.stream.message.refusal import CONVERSION
from jobs.stream.message.template import Template, json_slot, text_slot
from jobs.stream.record import OVERHEAD_BYTES, Message
from scoretrail import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.stream.message.identity import Topics
    from jobs.stream.message.provenance import Provenance
    from jobs.stream.message.refusal import Refusal
    from jobs.stream.record import Header, Record

CONNECT: Final = "__connect.errors."
"""Prefix of the headers that tools for dead letters of Kafka Connect read."""
TRAIL: Final = "scoretrail-dead-letter"
"""The trail, as JSON: the value is not ours to write into."""
TRUNCATED: Final = "scoretrail-truncated"
"""Which parts had to be left out, separated by commas: value, headers, key."""
EXCEPTION: Final = "scoretrail."
"""Before the reason, where Connect has the class of an exception: tools group by it."""

_VALUE, _HEADERS, _KEY = "value", "headers", "key"
_LESS: Final = ((), (_VALUE,), (_HEADERS,), (_VALUE, _HEADERS), (_VALUE, _HEADERS, _KEY))
"""What is left out, tried in this order until the rest fits."""


class DeadLetters:
    """The dead letters of one topic's events, while one bundle is served."""

    def __init__(self, provenance: Provenance, topics: Topics) -> None:
        """Prepare what all of them have in common."""
        self._provenance = provenance
        self._topic = topics.dead_letters
        self._limit = topics.max_dead_letter_bytes - OVERHEAD_BYTES

    @cached_property
    def _trail(self) -> Template:
        trail = self._provenance.trail(
            json_slot("partition"), json_slot("offset"), json_slot("outcome"), text_slot("event_sha256")
        )
        texts = {name: json_slot(name) for name in ("expected", "field", "reasons")}
        return Template({**trail, **texts, "id": text_slot("id"), "reason": text_slot("reason")})

    def to_message(self, record: Record, refusal: Refusal, outcome: int = 0, *, whole: bool = True) -> Message:
        """Return the dead letter of an event: the same for the same event, refusal and bundle.

        Args:
            record: the event.
            refusal: why it has no prediction.
            outcome: 0 for an event's first; a redrive counts up.
            whole: whether as much is kept as the topic takes, by what is known of its limit; else nothing is.
        """
        ours = self._headers(record, refusal, outcome)
        for less in _LESS[:-1] if whole else ():
            message = self._message(record, ours, less)
            if message.size_bytes <= self._limit:
                return message
        return self._message(record, ours, _LESS[-1])

    def _message(self, record: Record, ours: tuple[Header, ...], less: Sequence[str]) -> Message:
        if not less:
            return Message(self._topic, record.key, record.value, (*record.headers, *ours))
        key, value, headers = record.key, record.value, record.headers
        if _KEY in less and key is not None:
            key = digest.of_bytes(key).encode()
        if _HEADERS in less:
            headers = ()
        if _VALUE in less:
            value = self._stand_in(record)
        return Message(self._topic, key, value, (*headers, *ours, (TRUNCATED, ",".join(less).encode())))

    def _stand_in(self, record: Record) -> bytes:
        """Return what stands for bytes that the topic has no room for: what they were, and where they are."""
        flat = b"".join(_framed(name.encode()) + _framed(value or b"") for name, value in record.headers)
        return digest.canonical_json(
            {
                "headers": {
                    "count": len(record.headers),
                    "sha256": hashlib.sha256(flat).hexdigest(),
                    "size_bytes": len(flat),
                },
                "key": _described(record.key),
                "source": {
                    "cluster": self._provenance.identity.cluster,
                    "offset": record.offset,
                    "partition": record.partition,
                    "topic": record.topic,
                },
                "value": _described(record.value),
            }
        )

    def _headers(self, record: Record, refusal: Refusal, outcome: int) -> tuple[Header, ...]:
        identity, source = self._provenance.identity, self._provenance.source
        trail = self._trail.fill_row(
            {
                "event_sha256": hashlib.sha256(record.value or b"").hexdigest(),
                "expected": encode_basestring(refusal.detail),
                "field": encode_basestring(refusal.field),
                "id": source.outcome_id(record.partition, record.offset, outcome),
                "offset": record.offset,
                "outcome": outcome,
                "partition": record.partition,
                "reason": refusal.reason,
                "reasons": encode_basestring(refusal.reasons or f"{refusal.reason}:{refusal.field}"),
            }
        )
        told = ": ".join(part for part in (str(refusal.reason), refusal.field, refusal.detail) if part)
        return (
            (f"{CONNECT}topic", record.topic.encode()),
            (f"{CONNECT}partition", str(record.partition).encode()),
            (f"{CONNECT}offset", str(record.offset).encode()),
            (f"{CONNECT}connector.name", identity.app.encode()),
            (f"{CONNECT}stage", b"VALUE_CONVERTER" if refusal.reason in CONVERSION else b"TRANSFORMATION"),
            (f"{CONNECT}exception.class.name", f"{EXCEPTION}{refusal.reason}".encode()),
            (f"{CONNECT}exception.message", told.encode()),
            (SHORT_TRAIL, self._provenance.short(outcome)),
            (TRAIL, trail),
        )


def _described(data: bytes | None) -> dict[str, str | int] | None:
    return None if data is None else {"sha256": digest.of_bytes(data), "size_bytes": len(data)}


def _framed(data: bytes) -> bytes:
    """Return bytes after their length, so that no two lists of them hash alike."""
    return len(data).to_bytes(8, "big") + data
