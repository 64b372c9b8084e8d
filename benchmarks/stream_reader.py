"""A process that reads committed records and notes for each event how long after its sending it was seen.

Called with one JSON object: see :class:`Plan`. Prints a line when it reads, one when it saw a first event, and one at
the end.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from kafka import KafkaConsumer, TopicPartition


@dataclass(frozen=True)
class Plan:
    """What is asked of the process."""

    bootstrap: str
    topic: str
    phase: str
    """First part of the keys of the events that count."""
    events: int
    """It ends when it has seen so many."""
    skipped: int = 0
    """The first so many are not measured: they warm everything up."""
    from_end: bool = False
    """Whether to leave out what the topic holds already."""
    limit_s: float = 120.0


@dataclass
class Seen:
    """What was seen so far."""

    numbers: set[int] = field(default_factory=set)
    doubled: int = 0
    waited_ns: list[int] = field(default_factory=list)
    arrivals: list[tuple[int, int]] = field(default_factory=list)
    """Time in nanoseconds -> events seen until then."""

    def take(self, keys: list[bytes], plan: Plan, now_ns: int) -> None:
        """Note records by their keys."""
        phase = plan.phase.encode()
        for key in keys:
            of, number, sent_ns = key.split(b":")
            if of != phase:
                continue
            place = int(number)
            if place in self.numbers:
                self.doubled += 1
                continue
            self.numbers.add(place)
            if place >= plan.skipped:
                self.waited_ns.append(now_ns - int(sent_ns))
        self.arrivals.append((now_ns, len(self.numbers)))


def main() -> None:
    """Read."""
    plan = Plan(**json.loads(sys.argv[1]))
    consumer = KafkaConsumer(
        bootstrap_servers=plan.bootstrap,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        allow_auto_create_topics=False,
        max_partition_fetch_bytes=4 * 1024 * 1024,
        metrics_enabled=False,
    )
    partitions = [TopicPartition(plan.topic, number) for number in sorted(consumer.partitions_for_topic(plan.topic))]
    consumer.assign(partitions)
    (consumer.seek_to_end if plan.from_end else consumer.seek_to_beginning)(*partitions)
    for partition in partitions:
        consumer.position(partition)
    _say(ready=True)
    seen = Seen()
    until = time.monotonic() + plan.limit_s
    while len(seen.numbers) < plan.events and time.monotonic() < until:
        found = consumer.poll(timeout_ms=100, max_records=10_000)
        keys = [record.key for records in found.values() for record in records]
        if keys:
            before = len(seen.numbers)
            seen.take(keys, plan, time.monotonic_ns())
            if not before and seen.numbers:
                _say(first=True)
    consumer.close()
    waited_ms = np.array(seen.waited_ns or [0]) / 1e6
    _say(
        seen=len(seen.numbers),
        doubled=seen.doubled,
        p50_ms=float(np.percentile(waited_ms, 50)),
        p95_ms=float(np.percentile(waited_ms, 95)),
        p99_ms=float(np.percentile(waited_ms, 99)),
        max_ms=float(waited_ms.max()),
        arrivals=seen.arrivals,
    )


def _say(**facts: Any) -> None:  # noqa: ANN401
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
