"""Plays flights to a stream in lockstep: loads what became known, sends events, and waits for their commits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Self

from kafka import KafkaProducer

from jobs.features.materialize import online_values
from jobs.online import open_store
from jobs.stream.kafka.cluster import KafkaOffsets
from jobs.stream.kafka.connection import connection, translated
from jobs.stream.message.prediction import instant_texts
from jobs.stream.port import Partition
from scoretrail.errors import BrokerError

if TYPE_CHECKING:
    import pyarrow as pa

    from examples.flights.channel import Channel
    from jobs.features.replay import Step
    from scoretrail.feature import FeatureView

_COMMIT_LIMIT_S: Final = 60.0
"""For one step; it takes tens of milliseconds."""
_POLL_S: Final = 0.002


class Replay:
    """One producer, one connection to the store, and what was sent when. A context."""

    def __init__(self, channel: Channel, view: FeatureView, check: Callable[[], None]) -> None:
        """Connect.

        Args:
            channel: where events go.
            view: says what an event holds, and which stored sets there are.
            check: raises if whoever scores has ended, so that nobody waits for it.

        Raises:
            BrokerError, ConfigurationError: the broker cannot be reached.
        """
        self._channel = channel
        self._view = view
        self._check = check
        self._stored = {stored.name: stored for stored in view.stored}
        self._ends: dict[Partition, int] = {}
        self._committed = 0
        self.sent_at: dict[tuple[int, int], float] = {}
        """Partition and offset of an event -> when it was sent, seconds since 1970."""
        self.max_lag = 0
        """The most events that were sent and not yet committed."""
        self._store = open_store(channel.store)
        self._offsets = KafkaOffsets(channel.kafka, channel.group)
        with translated("connecting the producer of events"):
            self._producer: Any = KafkaProducer(**connection(channel.kafka), acks="all", metrics_enabled=False)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End every connection."""
        self._producer.close(timeout=1)
        self._offsets.close()
        self._store.close()

    def play(self, step: Step) -> None:
        """Load the values of a step, send its events, and return once the group has committed all of them.

        Raises:
            StoreUnavailableError: the store does not answer.
            BrokerError: the broker does not answer, or nobody commits.
        """
        for name, values in step.values.items():
            self._store.write(online_values(self._view, self._stored[name], values))
        self._send(step.events)
        self._await_commits()

    def _send(self, events: pa.Table) -> None:
        keys = events[self._view.entity_key].to_pylist()
        with translated("sending events"):
            sent = []
            for key, value in zip(keys, event_values(events, self._view), strict=True):
                now = time.time()
                sent.append((now, self._producer.send(self._channel.input, key=key.encode(), value=value)))
            self._producer.flush(timeout=_COMMIT_LIMIT_S)
            for at, promise in sent:
                place = promise.get(timeout=0)
                self.sent_at[place.partition, place.offset] = at
                partition = Partition(place.topic, place.partition)
                self._ends[partition] = max(self._ends.get(partition, 0), place.offset + 1)

    def _await_commits(self) -> None:
        end = time.monotonic() + _COMMIT_LIMIT_S
        while True:
            found = self._offsets.committed(self._ends)
            behind = sum(at - (found[one].offset if one in found else 0) for one, at in self._ends.items())
            self.max_lag = max(self.max_lag, behind)
            if behind <= 0:
                return
            self._check()
            if time.monotonic() > end:
                raise BrokerError(f"{behind} events are not committed after {_COMMIT_LIMIT_S:g} s")
            time.sleep(_POLL_S)


def event_values(events: pa.Table, view: FeatureView) -> Iterable[bytes]:
    """Yield the JSON value of each record as an event: what is null is left out."""
    names = [field.name for field in view.request_fields]
    records = events.select(names).combine_chunks()
    texts = instant_texts(records[view.event_time].combine_chunks())
    for row, at in zip(records.to_pylist(), texts, strict=True):
        event = {name: value for name, value in row.items() if value is not None}
        yield json.dumps({**event, view.event_time: at}, separators=(",", ":")).encode()
