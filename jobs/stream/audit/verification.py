"""Published outcomes held against the events that they are of: one for each event, and of its very bytes."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from jobs.stream.message.identity import EventSource, Identity
from jobs.stream.port import Partition
from scoretrail import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from jobs.stream.audit.claim import Claim
    from jobs.stream.record import Record

SECOND: Final = "a second first outcome"
MISSING: Final = "no outcome"
INVENTED: Final = "an outcome of no event"
ANOTHER_EVENT: Final = "another event_sha256"
ANOTHER_ID: Final = "another id"
ANOTHER_VECTOR: Final = "another features_sha256"
OTHER_BYTES: Final = "a dead letter's bytes"
NAMED: Final = 100
"""Faults that are named one by one; the rest are counted."""
_POLL_S: Final = 0.5
_RECORDS: Final = 2000


class Topic(Protocol):
    """What is read of topics."""

    def first(self) -> Mapping[Partition, int]:
        """Return the first offset that is there, of each partition."""
        ...

    def ends(self) -> Mapping[Partition, int]:
        """Return the offset after the last record that can be seen, of each partition."""
        ...

    def positions(self) -> Mapping[Partition, int]:
        """Return the offset that is read next, of each partition."""
        ...

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Read on from these offsets."""
        ...

    def poll(self, timeout_s: float, max_records: int) -> list[Record]:
        """Return the next records, of each partition in order."""
        ...


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Whose outcomes are looked at, and how far."""

    app: str
    cluster: str
    role: str
    committed: Mapping[Partition, int]
    """The offset up to which each partition of events is answered: what the group had committed."""
    first: Mapping[Partition, int]
    """The first offset of each partition that is still there."""
    from_the_beginning: bool = False
    """Whether events before the first outcome of their partition must have one, too."""


@dataclass
class Verified:
    """What was found."""

    events: int = 0
    """Answered by the group, and still there."""
    predictions: int = 0
    """First outcomes that are predictions."""
    dead_letters: int = 0
    """First outcomes that are dead letters."""
    later: int = 0
    """Further outcomes: of redriven events, and of late enrichment."""
    gone: int = 0
    """Outcomes of events that retention has removed: nothing can be held against them."""
    before: int = 0
    """Events before the first outcome of their partition: the group may have begun behind them."""
    foreign: int = 0
    """Records of other clusters, topics or roles, or none of ours at all."""
    faults: Counter[str] = field(default_factory=Counter)
    """Kind of fault -> how many."""
    examples: list[str] = field(default_factory=list)
    """Kind and place of the first faults."""

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        return {**vars(self), "faults": dict(sorted(self.faults.items()))}


class Verification:
    """Takes outcomes and events in any order; about 250 bytes are kept for each event."""

    def __init__(self, scope: Scope) -> None:
        """Take what is looked at."""
        self._scope = scope
        self._verified = Verified()
        self._sources: dict[str, EventSource] = {}
        self._stated: dict[Partition, dict[int, bytes]] = defaultdict(dict)
        """Partition and offset -> the digest that the event's first outcome states."""
        self._later: dict[Partition, dict[int, list[bytes]]] = defaultdict(lambda: defaultdict(list))
        """The same of its further outcomes."""
        self._actual: dict[Partition, dict[int, bytes]] = defaultdict(dict)
        """Partition and offset -> the digest of an event whose first outcome was not seen yet."""
        self._answered: dict[Partition, dict[int, bytes]] = defaultdict(dict)
        """The same of those whose first outcome was seen."""
        self._begin: dict[Partition, int] = {}
        """The lowest offset of a partition that has an outcome."""

    def take_outcome(self, claim: Claim | None) -> None:
        """Take a prediction or a dead letter; None is a record that is neither."""
        scope, found = self._scope, self._verified
        if claim is None or (claim.cluster, claim.role) != (scope.cluster, scope.role):
            found.foreign += 1
            return
        place = Partition(claim.topic, claim.partition)
        if place not in scope.committed:
            found.foreign += 1
        elif claim.offset < scope.first[place]:
            found.gone += 1
        elif claim.offset < scope.committed[place]:  # what came since is for the next time
            self._judge(claim, place)
            self._take(claim, place)

    def _take(self, claim: Claim, place: Partition) -> None:
        found, offset = self._verified, claim.offset
        stated = claim.event_sha256.encode()
        if claim.outcome > 0:
            found.later += 1
            self._later[place][offset].append(stated)
        elif offset in self._answered[place] or offset in self._stated[place]:
            self._fault(SECOND, place, offset)
        else:
            self._begin[place] = min(offset, self._begin.get(place, offset))
            found.dead_letters += claim.is_letter
            found.predictions += not claim.is_letter
            actual = self._actual[place].pop(offset, None)
            if actual is None:
                self._stated[place][offset] = stated
            else:
                self._match(place, offset, stated, actual)

    def take_event(self, event: Record) -> None:
        """Take an event."""
        place = Partition(event.topic, event.partition)
        if event.offset >= self._scope.committed.get(place, 0):
            return
        self._verified.events += 1
        actual = digest.of_bytes(event.value or b"").encode()
        stated = self._stated[place].pop(event.offset, None)
        if stated is None:
            self._actual[place][event.offset] = actual
        else:
            self._match(place, event.offset, stated, actual)

    def is_waiting(self) -> bool:
        """Tell whether an event lacks its outcome so far: a commit is seen a moment after it is made."""
        return any(self._must_be_answered(place, offset) for place, events in self._actual.items() for offset in events)

    def result(self) -> Verified:
        """Return what was found; what still waits for its other half is a fault."""
        found = self._verified
        for place, events in sorted(self._actual.items()):
            for offset in sorted(events):
                if self._must_be_answered(place, offset):
                    self._fault(MISSING, place, offset)
                else:
                    found.before += 1
        for place, claims in sorted(self._stated.items()):
            for offset in sorted(claims):
                self._fault(INVENTED, place, offset)
        for place, several in sorted(self._later.items()):
            for offset, further in sorted(several.items()):
                if any(stated != self._answered[place].get(offset) for stated in further):
                    self._fault(ANOTHER_EVENT, place, offset)
        return found

    def _must_be_answered(self, place: Partition, offset: int) -> bool:
        return self._scope.from_the_beginning or offset >= self._begin.get(place, offset + 1)

    def _match(self, place: Partition, offset: int, stated: bytes, actual: bytes) -> None:
        self._answered[place][offset] = actual
        if stated != actual:
            self._fault(ANOTHER_EVENT, place, offset)

    def _judge(self, claim: Claim, place: Partition) -> None:
        """Hold an outcome against itself: its id follows from its position, and what it carries from its digest."""
        scope = self._scope
        if claim.topic not in self._sources:
            identity = Identity(app=scope.app, cluster=scope.cluster, role=scope.role)
            self._sources[claim.topic] = EventSource(identity, claim.topic)
        if claim.id != self._sources[claim.topic].outcome_id(claim.partition, claim.offset, claim.outcome):
            self._fault(ANOTHER_ID, place, claim.offset)
        if not claim.is_whole:
            self._fault(OTHER_BYTES if claim.is_letter else ANOTHER_VECTOR, place, claim.offset)

    def _fault(self, what: str, place: Partition, offset: int) -> None:
        self._verified.faults[what] += 1
        if len(self._verified.examples) < NAMED:
            self._verified.examples.append(f"{what}: {place}:{offset}")


def verify(
    scope: Scope,
    events: Topic,
    outcomes: Sequence[tuple[Topic, Callable[[Record], Claim | None]]],
    patience_s: float,
    beat: Callable[[], Any] = lambda: None,
) -> Verified:
    """Read topics up to now and return what was found.

    Args:
        scope: whose outcomes, and how far.
        events: the topics of events.
        outcomes: the topics of predictions and of dead letters, each with what reads a claim.
        patience_s: how long an event may wait for an outcome that is committed and not to be seen yet.
        beat: called now and then.

    Raises:
        BrokerError: the brokers did not answer.
    """
    found = Verification(scope)
    for topic, claim_of in outcomes:
        for records in _up_to_now(topic):
            for record in records:
                found.take_outcome(claim_of(record))
            beat()
    for records in _up_to_now(events):
        for record in records:
            found.take_event(record)
        beat()
    end = time.monotonic() + patience_s
    while found.is_waiting() and time.monotonic() < end:
        for topic, claim_of in outcomes:
            for record in topic.poll(_POLL_S, _RECORDS):
                found.take_outcome(claim_of(record))
        beat()
    return found.result()


def _up_to_now(topic: Topic) -> Iterator[list[Record]]:
    """Yield what is there, from the first record on, and nothing twice if it is read on later."""
    ends = topic.ends()
    topic.seek(topic.first())
    while any(position < ends[partition] for partition, position in topic.positions().items()):
        yield topic.poll(_POLL_S, _RECORDS)
