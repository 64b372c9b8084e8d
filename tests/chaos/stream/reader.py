"""An independent reader of committed records: kafka-python alone, and what Kafka's formats say."""

from __future__ import annotations

import hashlib
import json
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition

from tests.chaos.stream.comparison import Commit, Event, Outcome

OFFSETS_TOPIC = "__consumer_offsets"
TRAIL_OF_DEAD_LETTER = "scoretrail-dead-letter"
READ_LIMIT_S = 300
_FLEXIBLE = 4
"""From this version of a commit's value on, strings have their length in front as a varint."""


def committed_records(bootstrap: str, topic: str) -> Iterator[Any]:
    """Yield what a reader of committed records sees of a topic now, each partition in order."""
    consumer = _consumer(bootstrap)
    try:
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        assert partitions, f"there is no topic {topic}"
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        end = time.monotonic() + READ_LIMIT_S
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            assert time.monotonic() < end, f"{topic} cannot be read up to {ends}"
            for partition, records in consumer.poll(timeout_ms=200, max_records=5000).items():
                yield from (record for record in records if record.offset < ends[partition])
    finally:
        consumer.close()


def events_of(bootstrap: str, topic: str) -> dict[int, dict[int, Event]]:
    """Return the events of a topic by partition and offset."""
    found: dict[int, dict[int, Event]] = defaultdict(dict)
    for record in committed_records(bootstrap, topic):
        found[record.partition][record.offset] = Event(record.key, hashlib.sha256(record.value).hexdigest())
    return found


def outcomes_of(bootstrap: str, predictions: str, dead_letters: str | None) -> Iterator[Outcome]:
    """Yield every outcome that the output topics hold."""
    for record in committed_records(bootstrap, predictions):
        yield outcome(record, json.loads(record.value)["trail"], is_dead_letter=False)
    if dead_letters is not None:
        for record in committed_records(bootstrap, dead_letters):
            yield outcome(record, json.loads(dict(record.headers)[TRAIL_OF_DEAD_LETTER]), is_dead_letter=True)


def outcome(record: Any, trail: dict[str, Any], *, is_dead_letter: bool) -> Outcome:
    source = trail["source"]
    # What a dead letter says of its event is believed less than the bytes that it carries.
    sha256 = hashlib.sha256(record.value).hexdigest() if is_dead_letter else trail["event_sha256"]
    return Outcome(
        source["partition"],
        source["offset"],
        trail["outcome"],
        record.key,
        sha256,
        trail["bundle_sha256"],
        is_dead_letter,
    )


def commits_of(bootstrap: str, group: str, topic: str) -> list[Commit]:
    """Return every commit of a group, in the log's order, from the broker's own topic of offsets."""
    found = []
    for record in committed_records(bootstrap, OFFSETS_TOPIC):
        place = _place(record.key)
        if place is None or place[:2] != (group, topic) or record.value is None:
            continue
        offset, metadata = _commit(record.value)
        mark: dict[str, Any] = json.loads(metadata) if metadata else {"alias_no": 0, "bundle": ""}
        found.append(Commit(place[2], offset, mark["alias_no"], mark["bundle"]))
    return found


def _place(key: bytes) -> tuple[str, str, int] | None:
    """Return group, topic and partition of a commit; None for a record of the group itself."""
    (version,) = struct.unpack_from(">h", key)
    if version not in (0, 1):
        return None
    at, texts = 2, []
    for _ in range(2):
        (length,) = struct.unpack_from(">h", key, at)
        texts.append(key[at + 2 : at + 2 + length].decode())
        at += 2 + length
    (partition,) = struct.unpack_from(">i", key, at)
    return texts[0], texts[1], partition


def _commit(value: bytes) -> tuple[int, str]:
    """Return offset and metadata of a commit."""
    version, offset = struct.unpack_from(">hq", value)
    at = 14 if version >= 3 else 10  # the leader's epoch lies between
    if version >= _FLEXIBLE:
        length = shift = 0
        while True:
            byte = value[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        length -= 1
    else:
        (length,) = struct.unpack_from(">h", value, at)
        at += 2
    return offset, value[at : at + length].decode()


def _consumer(bootstrap: str) -> Any:
    return KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        allow_auto_create_topics=False,
        exclude_internal_topics=False,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )


class Lookout(threading.Thread):
    """Watches the outputs while they grow: when the newest outcome was written that is visible, by input partition."""

    def __init__(
        self, bootstrap: str, topics: dict[str, int], partition_of: Callable[[Any], int], partitions: int
    ) -> None:
        """Watch topics, name -> number of partitions, from their beginnings."""
        super().__init__(name="lookout", daemon=True)
        self._where = bootstrap
        self._assigned = [TopicPartition(name, number) for name, count in topics.items() for number in range(count)]
        self._partition_of = partition_of
        self._stopped = threading.Event()
        self.written_ms = [0] * partitions
        """Of each input partition, on the clock of the machine that all processes share."""
        self.outcomes = 0

    def run(self) -> None:
        consumer = _consumer(self._where)
        consumer.assign(self._assigned)
        while not self._stopped.is_set():
            for records in consumer.poll(timeout_ms=20).values():
                self.outcomes += len(records)
                for record in records:
                    partition = self._partition_of(record)
                    self.written_ms[partition] = max(self.written_ms[partition], record.timestamp)
        consumer.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.join(30)
