"""Late enrichment: events that were scored without the online store, kept until it answers, each for one more try."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from jobs.stream.loop.isolation import supersede
from jobs.stream.port import Partition
from scoretrail.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from jobs.stream.loop.isolation import Handler
    from jobs.stream.record import Message, Record
    from scoretrail.clock import Clock

_ASK_S: Final = 1.0
"""How often a store that was away is asked whether it answers."""


class Enrichment:
    """A bounded memory of committed events; what it forgets keeps its first prediction, which is all that is promised.

    Only the worker that committed an event's first prediction remembers it, and lets go of it before the second is
    published. So no event gets two of these, whatever is killed, and some may get none.
    """

    def __init__(self, limit: int, store_is_back: Callable[[], bool], clock: Clock | None = None) -> None:
        """Take how many events are kept; beyond that the oldest go.

        Args:
            limit: events; 0 keeps none.
            store_is_back: asks the store whether it answers.
            clock: says when it may be asked again.
        """
        self._records: deque[Record] = deque(maxlen=limit)
        self._store_is_back = store_is_back
        self._clock = clock or SystemClock()
        self._ask_at = 0.0

    def __len__(self) -> int:
        """Return how many events wait."""
        return len(self._records)

    def remember(self, records: Sequence[Record], messages: Sequence[Message]) -> None:
        """Keep those events whose prediction, committed now, was made without the store."""
        if self._records.maxlen:
            of_each = zip(records, messages, strict=True)
            self._records.extend(record for record, message in of_each if message.is_provisional)

    def forget(self, partitions: Collection[Partition]) -> None:
        """Drop the events of partitions that are another worker's now: outcomes of one event have one writer."""
        if self._records and partitions:
            kept = [one for one in self._records if Partition(one.topic, one.partition) not in partitions]
            self._records = deque(kept, self._records.maxlen)

    def second_predictions(self, handler: Handler, most: int) -> Sequence[Message]:
        """Return second predictions of the oldest events and let go of these; none while the store is away.

        Args:
            handler: what makes them.
            most: how many events at once.

        Raises:
            ConfigurationError: a person must act.
        """
        now = self._clock.monotonic()
        if not self._records or now < self._ask_at:
            return []
        self._ask_at = now + _ASK_S
        if not self._store_is_back():
            return []
        oldest = [self._records[i] for i in range(min(most, len(self._records)))]
        messages = supersede(handler, oldest)
        if messages is None:
            return []
        self._ask_at = now  # it answers: the next ones in the next turn
        for _ in oldest:
            self._records.popleft()
        return messages
