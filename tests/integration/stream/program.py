"""One worker on a real broker, with a handler that copies, and a fault between two steps of its choice.

Called with one JSON object: see :class:`Plan`. Prints a line for each turn that did something, and what ended it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.stream.kafka.broker import KafkaInput, KafkaOutput
from jobs.stream.kafka.cluster import KafkaOffsets
from jobs.stream.loop.hook import Hooks
from jobs.stream.loop.position import ensure_start, start_of
from jobs.stream.loop.turn import Outcome
from jobs.stream.loop.worker import Worker, WorkerPolicy
from jobs.stream.operation.watchdog import Watchdog
from jobs.stream.record import Message, Record
from jobs.stream.slot import member_name
from scoretrail.errors import ScoretrailError
from scoretrail.setting import KafkaSettings


@dataclass
class Plan:
    bootstrap: str
    group: str
    input: str
    output: str
    slot: str = "0"
    start: str | None = "earliest"
    batch_records: int = 10
    batch_s: float = 0
    kafka: dict[str, Any] = field(default_factory=dict)
    fault: str = ""
    """``kill`` or ``stall``."""
    step: str = ""
    """After which step."""
    times: int = 1
    """At which of its occurrences."""
    stall_s: float = 0
    watched: bool = True
    quits: bool = True
    """Whether it ends when there is nothing to read for a second."""


class Copy:
    """Copies values; it is the handler and what serves."""

    alias_no = 1
    bundle_sha256 = "ab" * 32

    def __init__(self, topic: str) -> None:
        self._topic = topic

    @property
    def handler(self) -> Copy:
        return self

    def handle(self, records: Sequence[Record]) -> list[Message]:
        return [Message(self._topic, record.key, record.value) for record in records]

    def supersede(self, records: Sequence[Record]) -> list[Message] | None:
        return None

    def refuse(self, record: Record, error: BaseException) -> Message:
        return Message(self._topic, record.key, type(error).__name__.encode())


def say(**facts: Any) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main() -> int:
    plan = Plan(**json.loads(sys.argv[1]))
    settings = KafkaSettings(bootstrap=(plan.bootstrap,), **plan.kafka)
    member = member_name("test", plan.group, plan.slot)
    seen: Counter[str] = Counter()
    watchdog = Watchdog(settings.watchdog_s)

    def on_step(name: str) -> None:
        watchdog.beat(name)
        seen[name] += 1
        if name != plan.step or seen[name] != plan.times:
            return
        say(fault=plan.fault, step=name)
        if plan.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(plan.stall_s)

    try:
        with KafkaOffsets(settings, plan.group) as offsets:
            ensure_start(offsets, [plan.input], start_of(plan.start) if plan.start else None, plan.group)
        sink = KafkaOutput.open(settings, member)
        source = KafkaInput(settings, [plan.input], plan.group, member)
        policy = WorkerPolicy(
            slot=plan.slot, dead_letters="none", batch_records=plan.batch_records, batch_s=plan.batch_s
        )
        copy = Copy(plan.output)
        worker = Worker(source, sink, policy, Hooks(current=lambda: copy, on_step=on_step))
        if plan.watched:
            watchdog.start()
        run(worker, plan)
        source.close()
        sink.close()
    except ScoretrailError as error:
        say(error=type(error).__name__, text=str(error))
        return int(error.exit_code)
    finally:
        watchdog.stop()
    return 0


def run(worker: Worker, plan: Plan) -> None:
    idle_since = time.monotonic()
    joined = False
    while True:
        turn = worker.turn()
        if turn.assigned and not joined:
            joined = True
            idle_since = time.monotonic()
            say(joined=turn.assigned)
        if turn.outcome is not Outcome.IDLE:
            idle_since = time.monotonic()
            say(outcome=turn.outcome, records=turn.records, assigned=turn.assigned, error=turn.error)
        elif plan.quits and joined and time.monotonic() - idle_since > 1:
            return


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # without waiting for the client's threads
