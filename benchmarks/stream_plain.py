"""The other contestant: consume, transform, produce under exactly-once, without decoding, features or scoring.

It is what somebody writes directly on kafka-python after the rules that a loop must keep
(docs/explanation/streaming.md) and with the worker's own client settings, and it writes the bytes and headers of a
prediction. Called with one JSON object: see :class:`Plan`. Runs until SIGTERM.
"""

from __future__ import annotations

import base64
import json
import signal
import sys
import time
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import OffsetAndMetadata


@dataclass(frozen=True)
class Plan:
    """What is asked of the process."""

    bootstrap: str
    group: str
    slot: str
    input: str
    predictions: str
    template: dict[str, Any]
    batch_records: int
    batch_ms: float
    client: dict[str, Any]
    """Settings of both clients that the worker has as well."""


class Plain:
    """The loop."""

    def __init__(self, plan: Plan) -> None:
        member = f"plain-{plan.group}-{plan.slot}"
        self._plan = plan
        self._value = base64.b64decode(plan.template["value"])
        self._headers = [(name, base64.b64decode(value)) for name, value in plan.template["headers"]]
        self._producer = KafkaProducer(
            bootstrap_servers=plan.bootstrap,
            client_id=member,
            transactional_id=member,
            allow_auto_create_topics=False,
            metrics_enabled=False,
            **plan.client["producer"],
        )
        self._producer.init_transactions()
        self._consumer = KafkaConsumer(
            plan.input,
            bootstrap_servers=plan.bootstrap,
            client_id=member,
            group_id=plan.group,
            group_instance_id=member,
            partition_assignment_strategy=[CooperativeStickyAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            metrics_enabled=False,
            **plan.client["consumer"],
        )
        self.stopped = False

    def run(self) -> None:
        """Turn until somebody asks it to stop."""
        while not self.stopped:
            records, metadata = self._gather()
            if records:
                self._publish(records, metadata)
        self._consumer.close(autocommit=False)
        self._producer.close(timeout=5)

    def _gather(self) -> tuple[list[Any], Any]:
        plan = self._plan
        records, metadata = self._poll(0.1, plan.batch_records)
        closes = time.monotonic() + plan.batch_ms / 1000
        while records and len(records) < plan.batch_records:
            left_s = closes - time.monotonic()
            if left_s <= 0:
                break
            more, now = self._poll(left_s, plan.batch_records - len(records))
            if now != metadata:
                self._rewind()
                return [], now
            records += more
        return records, metadata

    def _poll(self, timeout_s: float, max_records: int) -> tuple[list[Any], Any]:
        found = self._consumer.poll(timeout_ms=round(timeout_s * 1000), max_records=max_records)
        metadata = self._consumer.group_metadata()
        records = [record for several in found.values() for record in several]
        if metadata.generation_id < 0 and records:
            self._rewind()
            return [], metadata
        return records, metadata

    def _publish(self, records: list[Any], metadata: Any) -> None:  # noqa: ANN401
        producer, topic, value, headers = self._producer, self._plan.predictions, self._value, self._headers
        producer.begin_transaction()
        promises = [producer.send(topic, key=record.key, value=value, headers=headers) for record in records]
        producer.flush(timeout=4)
        for promise in promises:
            if not promise.is_done or promise.exception is not None:
                msg = f"a record was not written: {promise.exception}"
                raise RuntimeError(msg)
        if self._consumer.group_metadata() != metadata:
            producer.abort_transaction()
            self._rewind()
            return
        last = {(record.topic, record.partition): record.offset for record in records}
        offsets = {TopicPartition(*place): OffsetAndMetadata(offset + 1, "", -1) for place, offset in last.items()}
        producer.send_offsets_to_transaction(offsets, metadata)
        producer.commit_transaction()

    def _rewind(self) -> None:
        for partition in self._consumer.assignment():
            committed = self._consumer.committed(partition)
            if committed is None:
                self._consumer.seek_to_beginning(partition)
            else:
                self._consumer.seek(partition, committed)


def main() -> None:
    """Run until SIGTERM."""
    plain = Plain(Plan(**json.loads(sys.argv[1])))

    def stop(*_: object) -> None:
        plain.stopped = True

    signal.signal(signal.SIGTERM, stop)
    plain.run()


if __name__ == "__main__":
    main()
