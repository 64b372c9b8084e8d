"""A process that sends events, at a rate or as fast as it can; each event's key says when it was sent.

Called with one JSON object: see :class:`Plan`. Prints one line when all were acknowledged.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import Final

from kafka import KafkaProducer

from benchmarks.stream_material import event_values

_TICK_S: Final = 0.002
"""Events that are due within it are sent together."""


@dataclass(frozen=True)
class Plan:
    """What is asked of the process."""

    bootstrap: str
    topic: str
    phase: str
    """First part of every key, by which a reader tells its events from others."""
    events: int
    rate: float = 0.0
    """Events a second; 0 as fast as it goes."""


def main() -> None:
    """Send."""
    plan = Plan(**json.loads(sys.argv[1]))
    values = event_values()
    producer = KafkaProducer(
        bootstrap_servers=plan.bootstrap,
        linger_ms=0 if plan.rate else 50,
        batch_size=65_536 if plan.rate else 262_144,
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )
    began = time.perf_counter()
    latest_s = _send(producer, plan, values, began)
    producer.flush(120)
    took_s = time.perf_counter() - began
    producer.close()
    sys.stdout.write(json.dumps({"seconds": took_s, "latest_s": latest_s}) + "\n")


def _send(producer: KafkaProducer, plan: Plan, values: list[bytes], began: float) -> float:
    """Send all events; return how far behind its time the latest of them was."""
    latest_s, sent = 0.0, 0
    while sent < plan.events:
        elapsed_s = time.perf_counter() - began
        due = min(plan.events, int(elapsed_s * plan.rate) + 1) if plan.rate else plan.events
        if due <= sent:
            time.sleep(_TICK_S)
            continue
        if plan.rate:
            latest_s = max(latest_s, elapsed_s - sent / plan.rate)
        for number in range(sent, due):
            key = b"%s:%d:%d" % (plan.phase.encode(), number, time.monotonic_ns())
            producer.send(plan.topic, key=key, value=values[number % len(values)])
        sent = due
    return latest_s


if __name__ == "__main__":
    main()
