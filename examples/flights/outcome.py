"""What becomes of events, as a reader of committed records sees it, and how long that took."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from kafka import KafkaConsumer, TopicPartition

from jobs.stream.kafka.connection import connection, translated
from scoretrail.errors import BrokerError

if TYPE_CHECKING:
    from examples.flights.channel import Channel

_POLL_MS: Final = 50
_LIMIT_S: Final = 60.0
_PERCENTILES: Final = (50, 95, 99)


@dataclass(frozen=True)
class Prediction:
    """One prediction that was read."""

    value: bytes
    document: Mapping[str, Any]
    """The value, decoded."""
    read_at: float
    """Seconds since 1970."""

    @property
    def place(self) -> tuple[int, int]:
        """Partition and offset of its event."""
        source = self.document["trail"]["source"]
        return source["partition"], source["offset"]


class OutcomeReader:
    """Reads predictions and dead letters from the beginning on, on a thread of its own. A context."""

    def __init__(self, channel: Channel) -> None:
        """Connect.

        Raises:
            BrokerError, ConfigurationError: the broker cannot be reached.
        """
        self._channel = channel
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._read, name="outcomes", daemon=True)
        self._failure: Exception | None = None
        self.predictions: list[Prediction] = []
        self.dead_letters = 0
        with translated("connecting the reader of outcomes"):
            self._consumer: Any = KafkaConsumer(
                **connection(channel.kafka),
                group_id=None,
                enable_auto_commit=False,
                isolation_level="read_committed",
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
            topics = (channel.predictions, channel.dead_letters)
            places = [
                TopicPartition(one, at) for one in topics for at in self._consumer.partitions_for_topic(one) or ()
            ]
            self._consumer.assign(places)
            self._consumer.seek_to_beginning(*places)

    def __enter__(self) -> Self:
        """Begin to read."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._ending.set()
        self._thread.join()
        self._consumer.close()

    @property
    def settled(self) -> int:
        """How many outcomes were read."""
        return len(self.predictions) + self.dead_letters

    def await_all(self, events: int) -> None:
        """Return once so many outcomes were read: a commit returns before readers see it.

        Raises:
            BrokerError: they do not come.
        """
        end = time.monotonic() + _LIMIT_S
        while self.settled < events:
            if self._failure is not None or time.monotonic() > end:
                raise BrokerError(
                    "outcomes do not come",
                    where=self._channel.predictions,
                    expected=f"{events:,}",
                    got=f"{self.settled:,}",
                ) from self._failure
            time.sleep(_POLL_MS / 1000)

    def _read(self) -> None:
        try:
            while not self._ending.is_set():
                for place, records in self._consumer.poll(timeout_ms=_POLL_MS).items():
                    now = time.time()
                    if place.topic == self._channel.predictions:
                        self.predictions += [Prediction(one.value, json.loads(one.value), now) for one in records]
                    else:
                        self.dead_letters += len(records)
        except Exception as error:  # noqa: BLE001  (told to whoever waits)
            self._failure = error


def latency_text(predictions: Sequence[Prediction], sent_at: Mapping[tuple[int, int], float]) -> str:
    """Return percentiles of the time from sending an event to reading its prediction.

    Args:
        predictions: at least one.
        sent_at: as :attr:`examples.flights.replay.Replay.sent_at` has it.
    """
    taken = [(one.read_at - sent_at[one.place]) * 1000 for one in predictions]
    figures = np.percentile(taken, _PERCENTILES)
    return ", ".join(f"p{part} {figure:.0f} ms" for part, figure in zip(_PERCENTILES, figures, strict=True))
