"""Scored rows as messages: canonical JSON with score, trail and model inputs, in CloudEvents binary mode."""

from __future__ import annotations

import binascii
import hashlib
from dataclasses import dataclass
from functools import cached_property
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from jobs.stream.message.envelope import CONTENT_TYPE, SUBJECT, TRACEPARENT
from jobs.stream.message.provenance import SHORT_TRAIL
from jobs.stream.message.template import Template, json_slot, text_slot
from jobs.stream.record import Message
from scoretrail.clock import utc_text
from scoretrail.feature.packed import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from jobs.stream.message.envelope import Envelope
    from jobs.stream.message.identity import Topics
    from jobs.stream.message.provenance import Provenance
    from jobs.stream.record import Header, Record
    from scoretrail.digest import Json
    from scoretrail.scoring import Scored

EVENT_TYPE: Final = "scoretrail.prediction.v1"
"""The ``ce_type``; its number is raised when a reader of the value would break."""

SUPERSEDES: Final = "ce_supersedes"
"""The header with the ``ce_id`` of the prediction whose place this one takes."""


@dataclass(frozen=True)
class Scoring:
    """How one call of the scorer came about."""

    scored_at: datetime
    outcome: int = 0
    """0 for an event's first; a redrive counts up."""
    store_unavailable: bool = False
    """True where stored features are defaults because the store did not answer."""
    event_sha256: Sequence[str] | None = None
    """Of each event's raw value, where the records are not the events; None computes them."""
    supersedes: bool = False
    """True where these take the place of predictions with the outcome before."""


class Predictions:
    """The predictions of one bundle for one topic's events."""

    def __init__(self, provenance: Provenance, topics: Topics) -> None:
        """Lay the message out once.

        Raises:
            FeatureViewError: an input has a type without a packed form.
        """
        self._provenance = provenance
        self._topic = topics.predictions
        self._layout = Layout(provenance.bundle.view.input_fields)

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        output = self._provenance.bundle.manifest.output
        return output.classes if output.task == "multiclass" else ()

    @cached_property
    def _template(self) -> Template:
        trail = self._provenance.trail(
            json_slot("partition"), json_slot("offset"), json_slot("outcome"), text_slot("event_sha256")
        )
        stored = self._provenance.bundle.view.stored
        document: dict[str, Json] = {
            "decision": json_slot("decision"),
            "entity_key": json_slot("entity_key"),
            "event_time": text_slot("event_time"),
            "guard": json_slot("guard"),
            "inputs": text_slot("inputs"),
            "inputs_schema": self._layout.schema_hash,
            "label": json_slot("label"),
            "score": json_slot("score"),
            "scored_at": text_slot("scored_at"),
            "store_unavailable": json_slot("store_unavailable"),
            "stored": {
                one.name: {"age_s": json_slot(f"{one.name}:age_s"), "outcome": text_slot(f"{one.name}:outcome")}
                for one in stored
            },
            "trail": {**trail, "features_sha256": text_slot("features_sha256")},
        }
        if self._classes:
            document["class_scores"] = {label: json_slot(f"class {label}") for label in self._classes}
        return Template(document)

    def to_messages(
        self, scored: Scored, records: Sequence[Record], envelopes: Sequence[Envelope], scoring: Scoring
    ) -> list[Message]:
        """Return one message for each scored row, in their order.

        Args:
            scored: the scored rows.
            records: the record of each of them.
            envelopes: what each record's headers said.
            scoring: what is the same for all.
        """
        columns = self._columns(scored, records, scoring)
        values = self._template.fill(columns)
        head = self._head(scoring)
        source, outcome, topic = self._provenance.source, scoring.outcome, self._topic
        is_provisional = scoring.store_unavailable and outcome == 0
        return [
            Message(
                topic,
                record.key if record.key is not None else str(key).encode(),
                value,
                (
                    *head,
                    ("ce_id", source.outcome_id(record.partition, record.offset, outcome).encode()),
                    *(
                        ((SUPERSEDES, source.outcome_id(record.partition, record.offset, outcome - 1).encode()),)
                        if scoring.supersedes
                        else ()
                    ),
                    *passed_on(envelope),
                ),
                is_provisional,
            )
            for record, envelope, value, key in zip(
                records, envelopes, values, scored.entity_key.to_pylist(), strict=True
            )
        ]

    def _columns(self, scored: Scored, records: Sequence[Record], scoring: Scoring) -> Mapping[str, Sequence[object]]:
        rows = len(records)
        packed = self._layout.pack(scored.features)
        stored = {
            f"{name}:{part}": column
            for name, one in scored.stored.items()
            for part, column in (("age_s", _integers(one.age_s)), ("outcome", one.outcome.to_pylist()))
        }
        return {
            **stored,
            **{f"class {label}": _floats(one) for label, one in zip(self._classes, scored.class_scores, strict=True)},
            "decision": _words(scored.decision),
            "entity_key": _keys(scored.entity_key),
            "event_sha256": scoring.event_sha256
            or [hashlib.sha256(record.value or b"").hexdigest() for record in records],
            "event_time": instant_texts(scored.event_time),
            "features_sha256": [hashlib.sha256(row).hexdigest() for row in packed],
            "guard": _words(scored.guard),
            "inputs": [binascii.b2a_base64(row, newline=False).decode() for row in packed],
            "label": _words(scored.label),
            "offset": [record.offset for record in records],
            "outcome": [scoring.outcome] * rows,
            "partition": [record.partition for record in records],
            "score": _floats(scored.score),
            "scored_at": [utc_text(scoring.scored_at)] * rows,
            "store_unavailable": ["true" if scoring.store_unavailable else "false"] * rows,
        }

    def _head(self, scoring: Scoring) -> tuple[Header, ...]:
        return (
            ("ce_specversion", b"1.0"),
            ("ce_type", EVENT_TYPE.encode()),
            ("ce_source", self._provenance.source.uri.encode()),
            ("ce_time", utc_text(scoring.scored_at).encode()),
            (CONTENT_TYPE, b"application/json"),
            (SHORT_TRAIL, self._provenance.short(scoring.outcome)),
        )


def passed_on(envelope: Envelope) -> tuple[Header, ...]:
    """Return the headers that go from an event to its prediction."""
    found: tuple[Header, ...] = ()
    if envelope.subject is not None:
        found = ((SUBJECT, envelope.subject),)
    return found if envelope.traceparent is None else (*found, (TRACEPARENT, envelope.traceparent))


def instant_texts(column: pa.Array) -> list[str]:
    """Return instants as :func:`scoretrail.clock.utc_text` writes them, at a thirtieth of what a datetime each costs.

    >>> instant_texts(pa.array([1385960400000000], pa.timestamp("us", "UTC")))
    ['2013-12-02T05:00:00.000000Z']
    """
    texts = column.cast(pa.timestamp("us")).cast(pa.string()).to_pylist()
    return [f"{text[:10]}T{text[11:]}Z" for text in texts]


def _keys(column: pa.Array) -> list[str]:
    keys = column.to_pylist()
    return [encode_basestring(key) for key in keys] if pa.types.is_string(column.type) else [str(key) for key in keys]


def _floats(column: pa.Array) -> list[str]:
    """Return floats as the shortest texts that read back to the same bits; the scorer let no other than finite by."""
    return [repr(value) for value in column.to_pylist()]


def _integers(column: pa.Array) -> list[object]:
    return ["null" if value is None else value for value in column.to_pylist()]


def _words(column: pa.DictionaryArray) -> list[str]:
    """Return a dictionary of strings as JSON; each word is encoded once."""
    words: list[Any] = [encode_basestring(word) for word in column.dictionary.to_pylist()]
    return ["null" if code is None else words[code] for code in column.indices.to_pylist()]
