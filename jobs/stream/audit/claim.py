"""What a published outcome claims: which event it is of, by position and digest, and its own id."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Final

import msgspec

from jobs.stream.redrive.letter import read_letter
from scoretrail import digest

if TYPE_CHECKING:
    from jobs.stream.record import Record

_ID: Final = "ce_id"


class Claim(msgspec.Struct, frozen=True):
    """One prediction or dead letter, as far as it can be held against its event."""

    cluster: str
    topic: str
    partition: int
    offset: int
    role: str
    outcome: int
    event_sha256: str
    id: str
    is_letter: bool
    is_whole: bool
    """Whether what it carries itself, a prediction's inputs or a dead letter's value, has the digest that it states;
    true for a dead letter whose value did not fit."""


class _Source(msgspec.Struct):
    cluster: str
    topic: str
    partition: int
    offset: int


class _Trail(msgspec.Struct):
    event_sha256: str
    features_sha256: str
    outcome: int
    role: str
    source: _Source


class _Prediction(msgspec.Struct):
    inputs: str
    trail: _Trail


_DECODER: Final = msgspec.json.Decoder(_Prediction)


def claim_of_prediction(record: Record) -> Claim | None:
    """Return what a prediction claims; None where the record is none."""
    try:
        found = _DECODER.decode(record.value or b"")
        inputs = binascii.a2b_base64(found.inputs, strict_mode=True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    trail, source = found.trail, found.trail.source
    return Claim(
        cluster=source.cluster,
        topic=source.topic,
        partition=source.partition,
        offset=source.offset,
        role=trail.role,
        outcome=trail.outcome,
        event_sha256=trail.event_sha256,
        id=(dict(record.headers).get(_ID) or b"").decode("latin-1"),
        is_letter=False,
        is_whole=digest.of_bytes(inputs) == trail.features_sha256,
    )


def claim_of_letter(record: Record) -> Claim | None:
    """Return what a dead letter claims; None where the record is none of ours."""
    letter = read_letter(record)
    if letter is None:
        return None
    event = letter.next
    return Claim(
        cluster=letter.cluster,
        topic=event.topic,
        partition=event.partition,
        offset=event.offset,
        role=letter.role,
        outcome=event.outcome - 1,
        event_sha256=letter.event_sha256,
        id=letter.id,
        is_letter=True,
        is_whole=letter.is_truncated or digest.of_bytes(record.value or b"") == letter.event_sha256,
    )
