"""Where a run takes place: broker and store behind proxies, topics, a registry, and the workers' settings."""

from __future__ import annotations

import contextlib
import re
import threading
import time
import uuid
from pathlib import Path
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition

from jobs.services.service import Service
from jobs.services.topics import create_topics
from scoretrail.model.registry import Registry
from tests.chaos.stream import windy
from tests.factory.proxy import Proxy

PARTITIONS = 6
STALL_S = 10.0
"""Longer than the poll interval below."""
#: What decides how fast a slot comes back are the defaults; what ends a loop that stands still is sooner.
TIMES = {"kafka.watchdog_s": 6, "kafka.max_poll_interval_s": 8}
MARKERS_SKIPPED = "these partitions are likely deleted already and hence can be skipped"
"""What Kafka 4.3.1 says when it ends a transaction and one of its partitions has no leader: that one gets no marker.
Its records stay open, and the next transaction of the same producer commits or aborts them with its own."""
_SOURCE = re.compile(rb'"source":\{[^}]*"partition":(\d+)')


class Arena:
    """The surroundings of the workers; a context, which begins to move the alias and ends with healed proxies."""

    def __init__(self, broker: Service, broker_proxy: Proxy, store: Service, registry: Registry, folder: Path) -> None:
        """Make topics and a group of a run's own.

        Args:
            broker: whose listener for workers is advertised as the proxy's.
            broker_proxy: between workers and broker.
            store: of the stored features.
            registry: with both versions.
            folder: for logs, trails and orders.
        """
        self.broker, self.broker_proxy, self.store, self.folder = broker, broker_proxy, store, folder
        self._registry = registry
        self.store_proxy = Proxy(store.program.port)
        self.group = f"g-{uuid.uuid4().hex[:8]}"
        self.input, self.predictions, self.dead_letters = (f"{name}-{self.group}" for name in ("in", "out", "dead"))
        self.outputs = {self.predictions: PARTITIONS, self.dead_letters: 1}
        create_topics([broker.address], {self.input: PARTITIONS, **self.outputs}, {})
        windy.fill_store(store.program.port)
        self.moves = 0
        """Of the alias."""
        self._stopped = threading.Event()
        self._mover = threading.Thread(target=self._move, name="mover", daemon=True)

    def __enter__(self) -> Self:
        self.store_proxy.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.settle()
        self.store_proxy.__exit__()

    def move_aliases(self, every_s: float) -> None:
        """Move the champion back and forth from now on."""
        self._every_s = every_s
        self._mover.start()

    def settle(self) -> None:
        """Leave the alias where it is, and heal what is not whole."""
        self._stopped.set()
        if self._mover.is_alive():
            self._mover.join(30)
        self.broker_proxy.heal()
        self.store_proxy.heal()
        self.store.resume()

    def settings(self, slot: str) -> dict[str, Any]:
        """Return what the worker in a slot is configured with."""
        return {
            "registry.uri": self._registry._storage.uri,
            "stream.trail": str(self.folder / "trail"),
            "stream.model": f"models:/{windy.NAME}@champion",
            "stream.app": "chaos",
            "stream.group": self.group,
            "stream.input": [self.input],
            "stream.predictions": self.predictions,
            "stream.dead_letters": self.dead_letters,
            "stream.health_port": 0,
            "kafka.bootstrap": [f"127.0.0.1:{self.broker_proxy.port}"],
            "online.uri": f"redis://127.0.0.1:{self.store_proxy.port}/0",
            # Both ways of going on without a store are run.
            "online.when_down": "pause" if slot == "2" else "default",
            "log.level": "info",
            "log.render": "json",
            **TIMES,
        }

    def plan(self, slot: str, naive: str = "") -> dict[str, Any]:
        """Return what a worker is born with."""
        return {"settings": self.settings(slot), "naive": naive, "stall_s": STALL_S}

    def partition_of(self, record: Any) -> int:
        """Return the partition of the event that an outcome is of, without parsing all of it."""
        if record.topic == self.dead_letters:
            return int(dict(record.headers)["__connect.errors.partition"])
        found = _SOURCE.search(record.value)
        assert found, "a prediction without its source"
        return int(found[1])

    def lag(self) -> int:
        """Return how many events the group has not committed yet."""
        partitions = [TopicPartition(self.input, number) for number in range(PARTITIONS)]
        consumer = KafkaConsumer(bootstrap_servers=self.broker.address, group_id=self.group, enable_auto_commit=False)
        try:
            ends = consumer.end_offsets(partitions)
            return sum(ends[one] - (consumer.committed(one) or 0) for one in partitions)
        finally:
            consumer.close()

    def await_no_lag(self, limit_s: float, tick: Any) -> None:
        """Return once the group has committed everything.

        Args:
            limit_s: how long that may take.
            tick: called while it is waited for.
        """
        end, look = time.monotonic() + limit_s, 0.0
        while True:
            tick()
            if time.monotonic() > look:
                lag = self.lag()
                if lag == 0:
                    return
                assert time.monotonic() < end, f"{lag} events are left after {limit_s:g} s"
                look = time.monotonic() + 0.5
            time.sleep(0.01)

    def markers_skipped(self) -> int:
        """Return how often the broker said that it leaves out the markers of a transaction of ours, and so its end."""
        lines = self.broker.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return sum(MARKERS_SKIPPED in line and f"chaos-{self.group}-" in line for line in lines)

    def await_closed(self, limit_s: float) -> None:
        """Return once no transaction is open in the outputs: readers of committed records see up to the very end."""
        partitions = [TopicPartition(name, number) for name, count in self.outputs.items() for number in range(count)]
        end = time.monotonic() + limit_s
        while True:
            seen = []
            for isolation in ("read_committed", "read_uncommitted"):
                consumer = KafkaConsumer(bootstrap_servers=self.broker.address, isolation_level=isolation)
                seen.append(consumer.end_offsets(partitions))
                consumer.close()
            if seen[0] == seen[1]:
                return
            assert time.monotonic() < end, f"readers see {seen[0]} of {seen[1]} after {limit_s:g} s"
            time.sleep(0.2)

    def _move(self) -> None:
        while not self._stopped.wait(self._every_s):
            with contextlib.suppress(OSError):
                self._registry.move_alias(windy.NAME, "champion", windy.VERSIONS[(self.moves + 1) % 2])
                self.moves += 1
