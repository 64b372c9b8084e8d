"""A producer at a set rate that writes down what became of every event that it sent."""

from __future__ import annotations

import json
import random
import threading
import time
from array import array
from collections.abc import Iterator
from typing import Any, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError

TICK_S = 0.02
BAD_RATIO = 0.01
"""Of events that are no JSON, and must become dead letters."""
PLACES = ("EWR", "JFK", "LGA", "NONE")


class Ledger(threading.Thread):
    """Sends events of its own number each; acknowledged ones are kept with their place, the others counted.

    An event whose outcome is unknown may lie in the input once, more than once, or not at all: the topic itself, read
    back by a reader of committed records, says which.
    """

    def __init__(self, bootstrap: str, topic: str, partitions: int, rate: float, seed: int) -> None:
        """Prepare to send so many events a second, evenly over the partitions."""
        super().__init__(name="ledger", daemon=True)
        self._where, self._topic, self._partitions, self._rate = bootstrap, topic, partitions, rate
        self._random = random.Random(seed)
        self._stopped = threading.Event()
        self._acknowledged = array("q")
        self.sent = 0
        self.unknown = 0
        """Events whose sending failed or timed out."""

    def run(self) -> None:
        producer = KafkaProducer(
            bootstrap_servers=self._where,
            acks="all",
            enable_idempotence=False,  # after a crash of the broker it goes on, where the other kind may give up
            retries=100,
            linger_ms=5,
            max_block_ms=2000,
            delivery_timeout_ms=10_000,
            request_timeout_ms=5000,
        )
        due, last = 0.0, time.monotonic()
        while not self._stopped.wait(TICK_S):
            now = time.monotonic()
            due = min(due + (now - last) * self._rate, self._rate)  # what a crash held up is not made up for at once
            last = now
            while due >= 1:
                due -= 1
                self._send(producer)
        producer.flush(30)
        producer.close(10)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more; return when every outcome is known, or known to be unknown."""
        self._stopped.set()
        self.join(60)

    @property
    def arrived(self) -> int:
        """How many events the broker said so far that it has."""
        return len(self._acknowledged) // 3

    def acknowledged(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield partition, offset and key of every event that the broker said it has."""
        told = self._acknowledged
        for at in range(0, len(told), 3):
            yield told[at + 1], told[at + 2], self._key(told[at])

    def _send(self, producer: Any) -> None:
        number = self.sent
        self.sent += 1
        try:
            promise = producer.send(
                self._topic, key=self._key(number), value=self._value(number), partition=number % self._partitions
            )
        except KafkaError:
            self.unknown += 1
            return
        promise.add_callback(self._note, number)
        promise.add_errback(self._miss)

    def _note(self, number: int, told: Any) -> None:
        self._acknowledged.extend((number, told.partition, told.offset))

    def _miss(self, _: BaseException) -> None:
        self.unknown += 1

    @staticmethod
    def _key(number: int) -> bytes:
        return b"e%d" % number

    def _value(self, number: int) -> bytes:
        if self._random.random() < BAD_RATIO:
            return b"{%d" % number
        at = f"2013-12-01T00:{number % 60:02d}:00Z"
        # ``number`` is no feature: it makes every value, and so its digest, another.
        return json.dumps({"key": f"k{number}", "at": at, "place": PLACES[number % 4], "number": number}).encode()
