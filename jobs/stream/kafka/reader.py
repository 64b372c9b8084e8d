"""Topics read from any place and without a group: what readers of committed records see, and how far it goes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, Self

from kafka import KafkaConsumer
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from jobs.stream.kafka.connection import connection, from_client, to_client, translated
from jobs.stream.port import Partition
from jobs.stream.record import Record
from scoretrail.errors import ConfigurationError, OffsetError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from scoretrail.setting import KafkaSettings

_MS: Final = 1000
_TIMEOUT_MS: Final = 10_000
"""For one question; brokers that are there answer in milliseconds."""
_FETCH_BYTES: Final = 4 * 1024 * 1024


class KafkaReader:
    """Reads every partition of some topics; where it is, only its caller keeps. Close it, or use it as a context.

    Every method may raise BrokerError (ask again later) or ConfigurationError (a person must act).
    """

    def __init__(self, settings: KafkaSettings, topics: Collection[str], name: str) -> None:
        """Connect; nothing is read before :meth:`seek`.

        Args:
            settings: the brokers.
            topics: what to read.
            name: by which brokers know this client in their logs.

        Raises:
            ConfigurationError: a topic is not there, or may not be described.
        """
        with translated("connecting the reader"):
            self._consumer: Any = KafkaConsumer(
                **connection(settings),
                client_id=name,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
                allow_auto_create_topics=False,
                max_partition_fetch_bytes=_FETCH_BYTES,
                metrics_enabled=False,
            )
        try:
            self.partitions: Final = self._found(topics)
        except BaseException:
            self.close()
            raise
        self._consumer.assign(to_client(self.partitions))

    def _found(self, topics: Collection[str]) -> tuple[Partition, ...]:
        found = []
        for topic in sorted(topics):
            with translated(f"looking for topic {topic}"):
                numbers = self._consumer.partitions_for_topic(topic)
            if not numbers:
                raise ConfigurationError(
                    f"there is no topic {topic!r}, or this user may not see it",
                    fix=f"create it, or allow this user to Describe and Read {topic}",
                )
            found += [Partition(topic, number) for number in sorted(numbers)]
        return tuple(found)

    def first(self) -> dict[Partition, int]:
        """Return the first offset that is there, of each partition."""
        with translated("reading the first offsets"):
            return from_client(self._consumer.beginning_offsets(to_client(self.partitions), timeout_ms=_TIMEOUT_MS))

    def ends(self) -> dict[Partition, int]:
        """Return the offset after the last record that readers of committed records can see, of each partition."""
        with translated("reading the last offsets"):
            return from_client(self._consumer.end_offsets(to_client(self.partitions), timeout_ms=_TIMEOUT_MS))

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Read on from these offsets."""
        for partition, offset in offsets.items():
            self._consumer.seek(TopicPartition(*partition), offset)

    def poll(self, timeout_s: float, max_records: int) -> list[Record]:
        """Return the next records, of each partition in order.

        Raises:
            OffsetError: the next offset of a partition is no longer there.
        """
        try:
            with translated("reading"):
                found = self._consumer.poll(timeout_ms=round(timeout_s * _MS), max_records=max_records)
        except OffsetError as error:
            held = ", ".join(f"{partition} from {offset}" for partition, offset in sorted(self.first().items()))
            raise OffsetError(error.what, where=error.where, expected=f"an offset that is there ({held})") from error
        return [
            Record(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
            for records in found.values()
            for r in records
        ]

    def positions(self) -> dict[Partition, int]:
        """Return the offset that is read next, of each partition; marks of transactions lie between records."""
        with translated("asking where the reader is"):
            return {partition: self._consumer.position(TopicPartition(*partition)) for partition in self.partitions}

    def read_up_to_now(self, timeout_s: float = 0.5, max_records: int = 2000) -> Iterator[list[Record]]:
        """Yield the records that are there now, from the first one on; what comes meanwhile is left out."""
        ends = self.ends()
        self.seek(self.first())
        while any(position < ends[partition] for partition, position in self.positions().items()):
            records = self.poll(timeout_s, max_records)
            yield [record for record in records if record.offset < ends[Partition(record.topic, record.partition)]]

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=_MS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
