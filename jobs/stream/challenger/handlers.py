"""The challenger's handlers: one scores the vectors that the champion recorded, one reads the events itself."""

from __future__ import annotations

import binascii
from collections import defaultdict
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pyarrow as pa

from jobs.stream.comparison.pairing import Place
from jobs.stream.comparison.window import Opinion
from jobs.stream.handling.handler import Handler, refusals
from jobs.stream.message.envelope import SUBJECT, TRACEPARENT, Envelope
from jobs.stream.message.identity import Identity
from jobs.stream.message.prediction import Predictions, Scoring
from jobs.stream.message.provenance import Provenance
from jobs.stream.message.refusal import Reason, Refusal
from jobs.stream.record import Message, Record
from scoretrail import digest
from scoretrail.errors import ConfigurationError
from scoretrail.feature.packed import Layout
from scoretrail.feature.schema import TIMESTAMP
from scoretrail.feature.stored import StoredUse
from scoretrail.scoring import score_features

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.stream.handling.handler import _Work
    from jobs.stream.handling.intake import Rows
    from jobs.stream.handling.lookup import Lookup
    from jobs.stream.handling.poison import Part
    from jobs.stream.message.envelope import EventPolicy
    from jobs.stream.message.identity import Topics
    from scoretrail.clock import Clock
    from scoretrail.feature.view import FeatureView
    from scoretrail.model.bundle import Bundle
    from scoretrail.scoring import Scored


class _Source(msgspec.Struct, frozen=True):
    cluster: str
    topic: str
    partition: int
    offset: int


class _Trail(msgspec.Struct, frozen=True):
    bundle_sha256: str
    event_sha256: str
    features_sha256: str
    outcome: int
    source: _Source
    version: str


class _Stored(msgspec.Struct, frozen=True):
    outcome: str
    age_s: int | None


class Recorded(msgspec.Struct, frozen=True):
    """What of a champion's prediction is scored again and compared."""

    entity_key: str | int
    event_time: datetime
    score: float
    decision: str | None
    inputs: str
    inputs_schema: str
    trail: _Trail
    store_unavailable: bool = False
    stored: dict[str, _Stored] = {}

    @property
    def place(self) -> Place:
        """Where the event lies."""
        source = self.trail.source
        return Place(source.topic, source.partition, source.offset)

    @property
    def opinion(self) -> Opinion:
        """What the champion made of it."""
        return Opinion(self.score, self.decision, self.trail.version, self.trail.bundle_sha256)


_DECODER = msgspec.json.Decoder(Recorded)


def decode_recorded(value: bytes | None) -> Recorded | None:
    """Return a prediction; None where the value is none."""
    try:
        return _DECODER.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class Noted(NamedTuple):
    """What a handler made of one record; it counts once the record is committed."""

    read: Place
    """Where the record was read."""
    challenger: Opinion
    champion: Opinion | None
    """None where the champion's is still to be found."""
    segment: str | None


def why_not_recorded(champion: FeatureView, challenger: FeatureView, segment: str | None) -> str:
    """Return why a challenger cannot score what the champion recorded; empty where it can."""
    if Layout(champion.input_fields).schema_hash != Layout(challenger.input_fields).schema_hash:
        return "the models have other inputs"
    if champion.entity_key_type != challenger.entity_key_type:
        return "the views have another type of entity key"
    if {one.name for one in champion.stored} != {one.name for one in challenger.stored}:
        return "the views have other stored sets"
    if segment is not None and segment not in {field.name for field in challenger.input_fields}:
        return f"{segment!r} is not among the inputs, which is all that a prediction records"
    return ""


class RecordedHandler(Handler):
    """Scores the vectors in the champion's predictions: both score the same bits, whatever the store holds by now."""

    def __init__(
        self,
        bundle: Bundle,
        lookup: Lookup,
        topics: Topics,
        identity: Identity,
        *,
        segment: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Take what is tried; see :class:`~jobs.stream.handling.handler.Handler`.

        Args:
            bundle: the challenger.
            lookup: asked for nothing.
            topics: the challenger's own.
            identity: the challenger's.
            segment: the input by which the comparison is broken down.
            clock: tells when predictions were made.
        """
        super().__init__(bundle, lookup, topics, identity, clock=clock)
        self._bundle, self._topics, self._identity = bundle, topics, identity
        self._segment = segment
        self._layout = Layout(bundle.view.input_fields)
        self._predictions: dict[tuple[str, str], Predictions] = {}
        self._noted: list[Noted] = []

    def take(self) -> list[Noted]:
        """Return what was made of records since the last call."""
        taken, self._noted = self._noted, []
        return taken

    def handle(self, records: Sequence[Record]) -> list[Message]:
        """Return exactly one message for each record, in order: a prediction of the challenger's or its dead letter."""
        found: dict[int, Message] = {}
        refused: dict[int, Refusal] = {}
        noted: list[Noted] = []
        groups: dict[tuple[str, str, int, bool], list[tuple[int, Recorded, bytes]]] = defaultdict(list)
        with self._stage("decode"):
            for i, record in enumerate(records):
                opened = self._opened(record)
                if isinstance(opened, Refusal):
                    refused[i] = opened
                else:
                    recorded, row = opened
                    source, outcome = recorded.trail.source, recorded.trail.outcome
                    groups[source.cluster, source.topic, outcome, recorded.store_unavailable].append((i, recorded, row))
        for (cluster, topic, outcome, away), entries in groups.items():
            scored = self._scored(entries, refused)
            scoring = Scoring(
                self._clock.now(), outcome, away, [entries[row][1].trail.event_sha256 for row in scored.rows.tolist()]
            )
            with self._stage("encode"):
                found |= self._messages_of(scored, entries, records, self._made(cluster, topic), scoring)
            noted += self._compared(scored, entries, records)
        letters = self._lanes
        for i, refusal in refused.items():
            found[i] = letters.lane(records[i].topic).dead_letters.to_message(records[i], refusal)
        self.tally.micro_batches += 1
        self.tally.predictions += len(records) - len(refused)
        self.tally.count_refused(refused.values())
        self._noted += noted  # only now: what fails is handled again, in parts
        return [found[i] for i in range(len(records))]

    def _opened(self, record: Record) -> tuple[Recorded, bytes] | Refusal:
        recorded = decode_recorded(record.value)
        if recorded is None:
            return Refusal(Reason.NOT_JSON, "a prediction of Scoretrail's")
        if recorded.inputs_schema != self._layout.schema_hash:
            return Refusal(Reason.WRONG_TYPE, "the inputs of the challenger's view", "inputs_schema")
        try:
            row = binascii.a2b_base64(recorded.inputs, strict_mode=True)
        except ValueError:  # binascii.Error is one, and what holds another letter than ASCII is only that
            row = b""
        if digest.of_bytes(row) != recorded.trail.features_sha256:
            return Refusal(Reason.WRONG_TYPE, "the bytes that features_sha256 names", "inputs")
        return recorded, row

    def _scored(self, entries: Sequence[tuple[int, Recorded, bytes]], refused: dict[int, Refusal]) -> Scored:
        view = self._bundle.view
        features = self._layout.unpack([row for _, _, row in entries])
        keys = pa.array([recorded.entity_key for _, recorded, _ in entries], view.entity_key_type)
        times = pa.array([recorded.event_time for _, recorded, _ in entries], TIMESTAMP)
        with self._stage("score"):
            scored, rejected = score_features(self._bundle, features, keys, times)
        for row, refusal in zip(rejected.rows.tolist(), refusals(rejected), strict=True):
            refused[entries[row][0]] = refusal
        told = [entries[row][1].stored for row in scored.rows.tolist()]
        return replace(scored, stored={one.name: _use(one.name, told) for one in view.stored})

    def _messages_of(
        self,
        scored: Scored,
        entries: Sequence[tuple[int, Recorded, bytes]],
        records: Sequence[Record],
        predictions: Predictions,
        scoring: Scoring,
    ) -> dict[int, Message]:
        chosen = [entries[row] for row in scored.rows.tolist()]
        events = [_event(records[i], recorded) for i, recorded, _ in chosen]
        envelopes = [_envelope(records[i]) for i, _, _ in chosen]
        messages = predictions.to_messages(scored, events, envelopes, scoring)
        return {i: message for (i, _, _), message in zip(chosen, messages, strict=True)}

    def _compared(
        self, scored: Scored, entries: Sequence[tuple[int, Recorded, bytes]], records: Sequence[Record]
    ) -> list[Noted]:
        chosen = [entries[row] for row in scored.rows.tolist()]
        segments = _texts(scored.features, self._segment)
        return [
            Noted(Place(records[i].topic, records[i].partition, records[i].offset), ours, recorded.opinion, segment)
            for (i, recorded, _), ours, segment in zip(chosen, _opinions(scored, self._bundle), segments, strict=True)
        ]

    def _made(self, cluster: str, topic: str) -> Predictions:
        made = self._predictions.get((cluster, topic))
        if made is None:
            identity = Identity(app=self._identity.app, cluster=cluster, role=self._identity.role)
            made = Predictions(Provenance(self._bundle, identity, topic), self._topics)
            self._predictions[cluster, topic] = made
        return made


class EventsHandler(Handler):
    """Reads events and the store itself, as the champion does; features may differ, for they are as of read time."""

    def __init__(
        self,
        bundle: Bundle,
        lookup: Lookup,
        topics: Topics,
        identity: Identity,
        *,
        segment: str | None = None,
        policy: EventPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Take what is tried; see :class:`~jobs.stream.handling.handler.Handler`.

        Raises:
            ConfigurationError: the view has no such request column.
        """
        super().__init__(bundle, lookup, topics, identity, policy=policy, clock=clock)
        names = [field.name for field in bundle.view.request_fields]
        if segment is not None and segment not in names:
            raise ConfigurationError(
                f"the challenger's view has no request column {segment!r}",
                where="challenger.segment",
                expected=", ".join(names),
            )
        self._bundle = bundle
        self._segment = segment
        self._fresh: list[Noted] = []
        self._noted: list[Noted] = []

    def take(self) -> list[Noted]:
        """Return what was made of records since the last call."""
        taken, self._noted = self._noted, []
        return taken

    def handle(self, records: Sequence[Record]) -> list[Message]:
        """Return exactly one message for each record, in order."""
        self._fresh = []
        messages = super().handle(records)
        self._noted += self._fresh
        return messages

    def _encode(self, rows: Rows, part: Part, work: _Work, *, away: bool) -> None:
        super()._encode(rows, part, work, away=away)
        at = (part.scored.rows + part.start).tolist()
        records = [work.records[rows.positions[row]] for row in at]
        segments = _texts(rows.batch.take(pa.array(at, pa.int64())), self._segment)
        self._fresh += [
            Noted(Place(record.topic, record.partition, record.offset), ours, None, segment)
            for record, ours, segment in zip(records, _opinions(part.scored, self._bundle), segments, strict=True)
        ]


def _opinions(scored: Scored, bundle: Bundle) -> list[Opinion]:
    version, sha256 = bundle.manifest.version, bundle.digest
    return [
        Opinion(score, decision, version, sha256)
        for score, decision in zip(scored.score.to_pylist(), scored.decision.to_pylist(), strict=True)
    ]


def _texts(batch: pa.RecordBatch, name: str | None) -> list[str | None]:
    if name is None:
        return [None] * batch.num_rows
    return [None if value is None else str(value) for value in batch.column(name).to_pylist()]


def _use(name: str, told: Sequence[Mapping[str, _Stored]]) -> StoredUse:
    nothing = _Stored("default", None)
    uses = [one.get(name, nothing) for one in told]
    return StoredUse(
        pa.array([use.outcome for use in uses], pa.string()).dictionary_encode(),
        pa.array([use.age_s for use in uses], pa.int64()),
    )


def _event(record: Record, recorded: Recorded) -> Record:
    """Return what stands for the event, whose value is not here."""
    place = recorded.place
    return Record(place.topic, place.partition, place.offset, record.timestamp_ms, record.key, None)


def _envelope(record: Record) -> Envelope:
    headers = dict(record.headers)
    return Envelope(None, headers.get(TRACEPARENT), headers.get(SUBJECT))
