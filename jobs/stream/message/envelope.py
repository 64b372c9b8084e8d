"""What the headers of a record say of its value: bare JSON or a CloudEvent in binary mode, or a refusal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from jobs.stream.message.refusal import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.stream.record import Record

CONTENT_TYPE: Final = "content-type"
MODEL_VERSION: Final = "scoretrail_model_version"
"""The header by which an event asks for one version of the model."""
TRACEPARENT: Final = "traceparent"
SPECVERSION: Final = "ce_specversion"
SUBJECT: Final = "ce_subject"

_REQUIRED: Final = ("ce_id", "ce_source", "ce_type")
_TRACEPARENT: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, level 1: no field of zeros, no version ff."""
_CHARSET: Final = re.compile(r';\s*charset="?(?P<name>[^";\s]+)', re.IGNORECASE)
_MAX_SUBJECT_BYTES: Final = 256
"""A longer subject is left out: it names a thing, and predictions have a size to keep."""


@dataclass(frozen=True, kw_only=True)
class EventPolicy:
    """What an event may be, from the settings."""

    max_value_bytes: int = 1024 * 1024
    """A larger value is refused before it is decoded: as much as a topic takes by default."""
    max_headers: int = 64
    max_future_s: float = 60.0
    """How far the event time may lie behind the record's timestamp: clocks differ."""


class Envelope(msgspec.Struct, frozen=True):
    """What the headers say, as far as it goes into the output."""

    model_version: str | None = None
    """The version that the event asks for."""
    traceparent: bytes | None = None
    """The trace that the event belongs to; None where it is none or malformed."""
    subject: bytes | None = None


_BARE: Final = Envelope()


def open_envelope(record: Record, policy: EventPolicy) -> Envelope | Refusal:
    """Return what the headers of a record say, or why its value is not even looked at.

    Args:
        record: the record; of a header that is there twice, the last one counts.
        policy: the limits.
    """
    if not record.value:
        return Refusal(Reason.NO_VALUE, "a JSON object")
    if len(record.value) > policy.max_value_bytes:
        return Refusal(Reason.TOO_LARGE, f"at most {policy.max_value_bytes} bytes, got {len(record.value)}")
    if not record.headers:
        return _BARE
    if len(record.headers) > policy.max_headers:
        return Refusal(Reason.TOO_MANY_HEADERS, f"at most {policy.max_headers} headers, got {len(record.headers)}")
    headers = dict(record.headers)
    return _wrong_content(headers) or _wrong_event(headers) or _envelope(headers)


def _wrong_content(headers: Mapping[str, bytes | None]) -> Refusal | None:
    encoding = headers.get("content-encoding")
    if encoding and encoding.strip().lower() != b"identity":
        return Refusal(Reason.CONTENT_ENCODING, "no content encoding", "content-encoding")
    content = headers.get(CONTENT_TYPE)
    return _wrong_content_type(content) if content else None


@lru_cache(maxsize=256)  # a topic has one or two of them; the bound is for whoever makes them up
def _wrong_content_type(content: bytes) -> Refusal | None:
    text = content.decode("latin-1")
    media = text.partition(";")[0].strip().lower()
    if media.startswith("application/cloudevents"):
        return Refusal(
            Reason.STRUCTURED, "CloudEvents in binary mode, with content-type application/json", CONTENT_TYPE
        )
    charset = _CHARSET.search(text)
    if media != "application/json" or (charset and charset["name"].lower() not in {"utf-8", "us-ascii"}):
        return Refusal(Reason.CONTENT_TYPE, "application/json in UTF-8", CONTENT_TYPE)
    return None


def _wrong_event(headers: Mapping[str, bytes | None]) -> Refusal | None:
    version = headers.get(SPECVERSION)
    if version is None:
        if any(name.startswith("ce_") for name in headers):
            return Refusal(Reason.CLOUDEVENTS_INCOMPLETE, "a value", SPECVERSION)
        return None
    if version != b"1.0":
        return Refusal(Reason.CLOUDEVENTS_VERSION, "1.0", SPECVERSION)
    for name in _REQUIRED:
        if not _text(headers.get(name)):
            return Refusal(Reason.CLOUDEVENTS_INCOMPLETE, "a text in UTF-8", name)
    return None


def _envelope(headers: Mapping[str, bytes | None]) -> Envelope | Refusal:
    version = None
    if MODEL_VERSION in headers:
        version = _text(headers[MODEL_VERSION])
        if not version:
            return Refusal(Reason.MODEL_VERSION, "an allowed version", MODEL_VERSION)
    trace = headers.get(TRACEPARENT)
    subject = headers.get(SUBJECT)
    return Envelope(
        version,
        trace if trace and _TRACEPARENT.fullmatch(trace) else None,
        subject if subject and len(subject) <= _MAX_SUBJECT_BYTES and _text(subject) else None,
    )


def _text(value: bytes | None) -> str | None:
    try:
        return value.decode() if value else None
    except UnicodeDecodeError:
        return None
