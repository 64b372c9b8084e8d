"""From records to messages: decode, look up, score, encode; exactly one prediction or dead letter for each record."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from jobs.stream.handling.intake import take_records
from jobs.stream.handling.lane import Lanes
from jobs.stream.handling.lookup import StorePolicy, Wanted
from jobs.stream.handling.poison import score_apart
from jobs.stream.handling.tally import Tally
from jobs.stream.message.envelope import EventPolicy
from jobs.stream.message.prediction import Scoring
from jobs.stream.message.redrive_header import restored
from jobs.stream.message.refusal import Reason, Refusal
from jobs.stream.record import OVERHEAD_BYTES
from scoretrail.clock import SystemClock
from scoretrail.errors import RefusedMessageError, ScoretrailError, StoreUnavailableError
from scoretrail.feature.lean import keep_pandas_out
from scoretrail.feature.schema import FaultCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jobs.stream.handling.intake import Refused, Rows
    from jobs.stream.handling.lookup import Lookup
    from jobs.stream.handling.poison import Part
    from jobs.stream.message.identity import Identity, Topics
    from jobs.stream.record import Message, Record
    from scoretrail.clock import Clock
    from scoretrail.model.bundle import Bundle
    from scoretrail.scoring import Rejected

_HEADERS_BYTES: Final = 8192
"""More than the headers of a prediction take; a message that is so far below its topic's limit is not measured."""


@dataclass(frozen=True)
class _Work:
    """A micro-batch under way: each record ends up in one of the two."""

    records: Sequence[Record]
    outcomes: Sequence[int]
    """Of each record, the number of the outcome that it asks for."""
    predictions: dict[int, Message]
    refused: Refused


class Handler:
    """Turns records into messages by one bundle, or by those that events may ask for."""

    def __init__(
        self,
        bundle: Bundle,
        lookup: Lookup,
        topics: Topics,
        identity: Identity,
        *,
        pinned: Mapping[str, Bundle] | None = None,
        policy: EventPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Take what is served.

        Args:
            bundle: scores every event that asks for no version.
            lookup: reads stored features.
            topics: where messages go to.
            identity: who scores.
            pinned: version -> bundle, for each version that an event may ask for.
            policy: what an event may be.
            clock: tells when predictions were made.

        Raises:
            FeatureViewError: a view has a request feature that cannot come with an event.
        """
        keep_pandas_out()
        self._lanes = Lanes(bundle, pinned or {}, topics, identity)
        self._lookup = lookup
        self._redriven = topics.redriven
        self._max_bytes = topics.max_prediction_bytes - OVERHEAD_BYTES
        self._policy = policy or EventPolicy()
        self._clock = clock or SystemClock()
        self.tally = Tally()

    def handle(self, records: Sequence[Record]) -> list[Message]:
        """Return exactly one message for each record, in order: its prediction or its dead letter.

        Raises:
            StoreUnavailableError: the online store is away, and the policy is to wait.
            ConfigurationError: the model has stored features, and there is no store.
        """
        with self._stage("decode"):
            events, outcomes = self._restored(records)
            taken = take_records(events, self._lanes, self._policy)
            taken_rows = [part for rows in taken.rows for part in rows.parted(outcomes)]
        with self._stage("lookup"):
            found = self._lookup.fetch([Wanted(rows.lane.bundle.view, rows.batch) for rows in taken_rows])
        work = _Work(events, outcomes, {}, taken.refused)
        for rows, batch in zip(taken_rows, found.batches, strict=True):
            # What a view without stored features scores is as good as ever while the store is away.
            away = found.unavailable and bool(rows.lane.bundle.view.stored)
            self._score(replace(rows, batch=batch), work, away=away)
        self.tally.micro_batches += 1
        self.tally.count_lookup(found)
        with self._stage("encode"):
            return self._messages(work)

    def supersede(self, records: Sequence[Record]) -> list[Message] | None:
        """Return a second prediction for each record that can be scored now; None while the store does not answer.

        Args:
            records: events whose first prediction was made without the store's answer.
        """
        taken = take_records(records, self._lanes, self._policy)
        try:
            found = self._lookup.fetch([Wanted(rows.lane.bundle.view, rows.batch) for rows in taken.rows])
        except StoreUnavailableError:
            return None
        if found.unavailable:
            return None
        messages: list[Message] = []
        for rows, batch in zip(taken.rows, found.batches, strict=True):
            for part in score_apart(rows.lane.bundle, batch).parts:
                scored = (part.scored.rows + part.start).tolist()
                messages += rows.lane.predictions.to_messages(
                    part.scored,
                    [records[rows.positions[row]] for row in scored],
                    [rows.envelopes[row] for row in scored],
                    Scoring(self._clock.now(), outcome=1, supersedes=True),
                )
        return [message for message in messages if self._fits(message)]

    def refuse(self, record: Record, error: BaseException) -> Message:
        """Return the dead letter of a record that fails whatever is done with it.

        Args:
            record: the record.
            error: what it failed with. Of our own errors the first line is told, of others the class only: their texts
                may quote the event. Where a message was too large for its topic, the bytes are left out.
        """
        too_large = isinstance(error, RefusedMessageError)
        what = error.what if isinstance(error, ScoretrailError) else type(error).__name__
        refusal = Refusal(Reason.MESSAGE_TOO_LARGE if too_large else Reason.UNEXPECTED, what)
        self.tally.count_refused([refusal])
        event, outcome = restored(record, self._redriven)
        return self._lanes.lane(event.topic).dead_letters.to_message(event, refusal, outcome, whole=not too_large)

    def _restored(self, records: Sequence[Record]) -> tuple[Sequence[Record], Sequence[int]]:
        """Return redriven events as they were before they were refused, and each record's outcome."""
        if not self._redriven or not records:
            return records, [0] * len(records)
        events, outcomes = zip(*(restored(record, self._redriven) for record in records), strict=True)
        return events, outcomes

    def _score(self, rows: Rows, work: _Work, *, away: bool) -> None:
        if away and self._lookup.policy is StorePolicy.DEAD_LETTER:
            refusal = Refusal(Reason.STORE_UNAVAILABLE, "an answer of the online store")
            work.refused.update((i, (rows.lane, refusal)) for i in rows.positions)
            return
        with self._stage("score"):
            parted = score_apart(rows.lane.bundle, rows.batch)
        work.refused.update((rows.positions[row], (rows.lane, refusal)) for row, refusal in parted.poison.items())
        with self._stage("encode"):
            for part in parted.parts:
                self._encode(rows, part, work, away=away)

    def _encode(self, rows: Rows, part: Part, work: _Work, *, away: bool) -> None:
        scored = (part.scored.rows + part.start).tolist()
        positions = [rows.positions[row] for row in scored]
        messages = rows.lane.predictions.to_messages(
            part.scored,
            [work.records[i] for i in positions],
            [rows.envelopes[row] for row in scored],
            Scoring(self._clock.now(), work.outcomes[rows.positions[0]], store_unavailable=away),
        )
        for i, message in zip(positions, messages, strict=True):
            if self._fits(message):
                work.predictions[i] = message
            else:
                refusal = Refusal(Reason.MESSAGE_TOO_LARGE, f"a prediction of at most {self._max_bytes} bytes")
                work.refused[i] = (rows.lane, refusal)
        self.tally.count_stored(part.scored.stored)
        rejected = (part.rejected.rows + part.start).tolist()
        for row, refusal in zip(rejected, refusals(part.rejected), strict=True):
            work.refused[rows.positions[row]] = (rows.lane, _told(refusal) if away else refusal)

    def _fits(self, message: Message) -> bool:
        most = len(message.value or b"") + len(message.key or b"") + _HEADERS_BYTES
        return most <= self._max_bytes or message.size_bytes <= self._max_bytes

    def _messages(self, work: _Work) -> list[Message]:
        """Return every record's one message."""
        self.tally.predictions += len(work.predictions)
        self.tally.count_refused(refusal for _, refusal in work.refused.values())
        letters = {
            i: lane.dead_letters.to_message(work.records[i], refusal, work.outcomes[i])
            for i, (lane, refusal) in work.refused.items()
        }
        # A record in neither would be a fault of ours: the look-up fails, rather than the count of messages.
        both = {**work.predictions, **letters}
        return [both[i] for i in range(len(work.records))]

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began = self._clock.monotonic()
        yield
        self.tally.count_stage(name, self._clock.monotonic() - began)


def refusals(rejected: Rejected) -> list[Refusal]:
    """Return why each rejected row of a batch has no score, in their order."""
    columns = (rejected.reason, rejected.expected, rejected.field, rejected.reasons)
    return [Refusal(*values) for values in zip(*(column.to_pylist() for column in columns), strict=True)]


def _told(refusal: Refusal) -> Refusal:
    """Return why a row is refused while the store is away: what is missing may well be there."""
    if refusal.reason != FaultCode.STORED_MISSING:
        return refusal
    return Refusal(Reason.STORE_UNAVAILABLE, refusal.detail, refusal.field, refusal.reasons)
