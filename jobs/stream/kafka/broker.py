"""Kafka's consumer and transactional producer, set up as the loop needs them."""

from __future__ import annotations

import contextlib
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from kafka import KafkaConsumer, KafkaProducer, errors
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.partitioner import DefaultPartitioner
from kafka.structs import OffsetAndMetadata, TopicPartition

from jobs.stream.kafka.connection import TOO_LARGE, connection, refuse, translated
from jobs.stream.kafka.murmur import murmur2
from jobs.stream.port import Change, Committed, Membership, Partition
from jobs.stream.record import Record
from scoretrail.errors import BrokerError, OffsetError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from jobs.stream.record import Message
    from scoretrail.setting import KafkaSettings

_MS: Final = 1000
_LINGER_MS: Final = 5
"""Records wait for company so long at most; a flush sends at once."""
_BATCH_BYTES: Final = 262_144
"""The default of 16 KiB costs a request per 30 predictions."""
_BACKOFF_MS: Final = 5
"""The default of 100 ms adds a wait for the previous transaction's markers: p99 287 -> 96 ms at 200 events/s."""
_FETCH_BYTES: Final = 4 * 1024 * 1024
_HEARTBEATS: Final = 3
"""In a session, so that one that is lost does not end it."""


def _topic_partitions(partitions: Iterable[Partition]) -> list[TopicPartition]:
    return [TopicPartition(*partition) for partition in partitions]


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # the library has no types
    """Sets flags only: it is called on the I/O thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._assigned: set[Partition] = set()
        self._revoked: set[Partition] = set()
        self._rebalances = 0

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        with self._lock:
            self._rebalances += 1
            self._assigned |= {Partition(*partition) for partition in assigned}

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        with self._lock:
            gone = {Partition(*partition) for partition in revoked}
            self._revoked |= gone
            self._assigned -= gone

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self.on_partitions_revoked(lost)

    def take(self) -> Change:
        with self._lock:
            change = Change(frozenset(self._assigned), frozenset(self._revoked), self._rebalances)
            self._assigned, self._revoked, self._rebalances = set(), set(), 0
        return change


class KafkaInput:
    """A member of a consumer group, on a real cluster; see :class:`jobs.stream.port.Input`."""

    def __init__(self, settings: KafkaSettings, topics: Collection[str], group: str, member: str) -> None:
        """Connect and subscribe; the group is joined by the first poll.

        Args:
            settings: the brokers.
            topics: what to read.
            group: the consumer group.
            member: the name of the slot: whoever takes it fences whoever had it.

        Raises:
            BrokerError, ConfigurationError: the brokers cannot be reached, or refuse.
        """
        self._listener = _Listener()
        self._timeout_ms = round(settings.session_s * _MS)
        self._open = partial(self._connected, settings, topics, group, member)
        self._consumer = self._open()

    def _connected(self, settings: KafkaSettings, topics: Collection[str], group: str, member: str) -> Any:  # noqa: ANN401  (the library has no types)
        with translated("connecting the consumer"):
            consumer = KafkaConsumer(
                **connection(settings),
                client_id=member,
                group_id=group,
                group_instance_id=member,
                partition_assignment_strategy=[CooperativeStickyAssignor],
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
                allow_auto_create_topics=False,
                session_timeout_ms=round(settings.session_s * _MS),
                heartbeat_interval_ms=round(settings.session_s * _MS / _HEARTBEATS),
                max_poll_interval_ms=round(settings.max_poll_interval_s * _MS),
                max_partition_fetch_bytes=_FETCH_BYTES,
                retry_backoff_ms=20,
                metrics_enabled=False,
            )
            for topic in topics:
                # A group's leader that assigns before it knows a topic may assign nothing and never look again.
                consumer.partitions_for_topic(topic)
            consumer.subscribe(sorted(topics), listener=self._listener)
        return consumer

    def poll(self, timeout_s: float, max_records: int) -> list[Record]:
        """Return the next records, of each partition in order.

        Raises:
            OffsetError: the next offset of a partition is unknown, or is no longer there; the range is named.
            BrokerError, FencedError, ConfigurationError: see the protocol.
        """
        try:
            with translated("polling"):
                found = self._consumer.poll(timeout_ms=round(timeout_s * _MS), max_records=max_records)
        except OffsetError as error:
            raise self._with_range(error) from error
        return [
            Record(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
            for records in found.values()
            for r in records
        ]

    def membership(self) -> Membership:
        """Return the membership as it stands."""
        found = self._consumer.group_metadata()
        return Membership(found.generation_id, found.member_id, found)

    def rejoin(self, refused: Membership) -> None:
        """Connect anew if the client still holds a membership that the group refused; the next poll joins.

        The client learns from its heartbeats that it was put out, which may be seconds later; and now and then it stops
        sending them and never learns (kafka-python 3.0.12, seen on a machine without spare time).

        Raises:
            BrokerError, ConfigurationError: see the protocol.
        """
        if self.membership() != refused:
            return
        fresh = self._open()  # first: if the brokers are away, what there is goes on until they are back
        self._listener.on_partitions_lost(self._consumer.assignment())
        self.close()
        self._consumer = fresh

    def changes(self) -> Change:
        """Return what rebalances did since the last call."""
        return self._listener.take()

    def assignment(self) -> frozenset[Partition]:
        """Return the partitions that are this member's."""
        return frozenset(Partition(*partition) for partition in self._consumer.assignment())

    def committed(self, partitions: Collection[Partition]) -> dict[Partition, Committed]:
        """Return what the group committed; a partition without a commit is left out.

        Raises:
            BrokerError, FencedError, ConfigurationError: see the protocol.
        """
        with translated("reading committed offsets"):
            return committed_of(self._consumer, partitions, self._timeout_ms)

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Read on from these offsets; partitions that are no longer this member's are passed over."""
        for partition, offset in offsets.items():
            with contextlib.suppress(ValueError, KeyError):  # revoked by the I/O thread, perhaps this very moment
                self._consumer.seek(TopicPartition(*partition), offset)

    def skip(self, offsets: Mapping[Partition, Committed]) -> None:
        """Commit these offsets by themselves and read on from there; only while no transaction is under way.

        Raises:
            StaleGroupError: the group moved on, and nothing was committed.
            BrokerError, FencedError, ConfigurationError: see the protocol.
        """
        committing = {
            TopicPartition(*partition): OffsetAndMetadata(committed.offset, committed.metadata, -1)
            for partition, committed in offsets.items()
        }
        with translated("skipping forward"):
            self._consumer.commit(committing, timeout_ms=self._timeout_ms)
        self.seek({partition: committed.offset for partition, committed in offsets.items()})

    def pause(self, partitions: Collection[Partition]) -> None:
        """Read nothing of these partitions until they are resumed or assigned again."""
        for partition in _topic_partitions(partitions):
            with contextlib.suppress(KeyError):
                self._consumer.pause(partition)

    def resume(self, partitions: Collection[Partition]) -> None:
        """Read these partitions again."""
        for partition in _topic_partitions(partitions):
            with contextlib.suppress(KeyError):
                self._consumer.resume(partition)

    def ends(self) -> dict[Partition, int]:
        """Return the high watermark of each partition that was read."""
        found = {}
        for partition in self._consumer.assignment():
            with contextlib.suppress(errors.IllegalStateError, KeyError):
                end = self._consumer.highwater(partition)
                if end is not None:
                    found[Partition(*partition)] = end
        return found

    def close(self) -> None:
        """Close without committing; a static member keeps its partitions for a session, for its successor."""
        with contextlib.suppress(errors.KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=self._timeout_ms)

    def _with_range(self, error: OffsetError) -> OffsetError:
        """Return the error with what the partitions hold."""
        partitions = sorted(self._consumer.assignment())
        try:
            first = self._consumer.beginning_offsets(partitions, timeout_ms=self._timeout_ms)
            last = self._consumer.end_offsets(partitions, timeout_ms=self._timeout_ms)
        except errors.KafkaError:
            return error
        held = ", ".join(f"{p.topic}/{p.partition}: {first[p]} to {last[p]}" for p in partitions)
        return OffsetError(
            error.what,
            where=error.where,
            expected=f"an offset that is there ({held})",
            got=error.got,
            fix=error.fix
            or "records were lost to retention: see which, then reset the group's offsets with kafka-consumer-groups",
        )


def committed_of(
    consumer: Any,  # noqa: ANN401
    partitions: Collection[Partition],
    timeout_ms: int,
) -> dict[Partition, Committed]:
    """Return what a consumer's group committed for these partitions."""
    found = {}
    for partition in partitions:
        committed = consumer.committed(TopicPartition(*partition), metadata=True, timeout_ms=timeout_ms)
        if committed is not None and committed.offset >= 0:
            found[partition] = Committed(committed.offset, committed.metadata or "")
    return found


class _Partitioner(DefaultPartitioner):  # type: ignore[misc]  # the library has no types
    """Chooses the partition that the client's own default chooses: 37 microseconds a prediction, not 44."""

    def partition(
        self,
        topic: str,
        key: bytes | None,
        serialized_key: bytes | None,
        value: bytes | None,
        serialized_value: bytes | None,
        cluster: Any,  # noqa: ANN401
    ) -> int:
        partitions = cluster.partitions_for_topic(topic)
        if serialized_key is None or not partitions:
            return int(super().partition(topic, key, serialized_key, value, serialized_value, cluster))
        return int(sorted(partitions)[(murmur2(serialized_key) & 0x7FFFFFFF) % len(partitions)])


class KafkaOutput:
    """A transactional producer, on a real cluster; see :class:`jobs.stream.port.Output`."""

    def __init__(self, settings: KafkaSettings, transactional_id: str) -> None:
        """Remember how to connect; :meth:`reset` does it."""
        self._settings = settings
        self._id = transactional_id
        self._producer: Any = None
        self._manager: Any = None

    @classmethod
    def open(cls, settings: KafkaSettings, transactional_id: str) -> Self:
        """Return a producer that has fenced whoever had this id.

        Raises:
            BrokerError, FencedError, ConfigurationError: see the protocol.
        """
        output = cls(settings, transactional_id)
        output.reset()
        return output

    def begin(self) -> None:
        """Begin a transaction."""
        with translated("beginning a transaction", self._manager):
            self._producer.begin_transaction()

    def send(self, message: Message) -> Any:  # noqa: ANN401
        """Hand over one message; return a promise for :meth:`check`."""
        # kafka-python sends no header without a value.
        headers = [header if header[1] is not None else (header[0], b"") for header in message.headers]
        value = message.value
        if value is None and message.key is None:
            value = b""  # nor a record without both; other clients do, and its dead letter must go out
        try:
            return self._producer.send(message.topic, value=value, key=message.key, headers=headers)
        except errors.KafkaError as error:
            refuse(error, f"sending to {message.topic}", self._manager)

    def flush(self) -> None:
        """Wait until every message was acknowledged or failed."""
        with translated("flushing", self._manager):
            self._producer.flush(timeout=self._settings.delivery_s + 1)

    def check(self, promises: Sequence[Any]) -> list[int]:
        """Look at every promise: a message that timed out does not fail the transaction by itself.

        Raises:
            BrokerError: a message is still under way, or was lost.
        """
        refused = []
        for position, promise in enumerate(promises):
            if not promise.is_done:
                raise BrokerError("a message is still under way after the flush", where="checking what was sent")
            if promise.exception is None:
                continue
            if not isinstance(promise.exception, TOO_LARGE):
                with translated("checking what was sent", self._manager):
                    raise promise.exception
            refused.append(position)
        return refused

    def send_offsets(self, offsets: Mapping[Partition, Committed], membership: Membership) -> None:
        """Make offsets part of the transaction; the broker compares the membership."""
        committing = {
            TopicPartition(*partition): OffsetAndMetadata(committed.offset, committed.metadata, -1)
            for partition, committed in offsets.items()
        }
        with translated("adding offsets to the transaction", self._manager):
            self._producer.send_offsets_to_transaction(committing, membership.token)

    def commit(self) -> None:
        """Publish everything since :meth:`begin`; waits without a limit, so a watchdog must stand by."""
        with translated("committing", self._manager):
            self._producer.commit_transaction()

    def abort(self) -> None:
        """Drop everything since :meth:`begin`; waits without a limit, so a watchdog must stand by."""
        with translated("aborting", self._manager):
            self._producer.abort_transaction()

    def reset(self) -> None:
        """Make a new producer under the same id; the broker aborts what the old one had begun."""
        self.close()
        settings = self._settings
        with translated("connecting the producer"):
            self._producer = KafkaProducer(
                **connection(settings),
                client_id=self._id,
                transactional_id=self._id,
                transaction_timeout_ms=round(settings.transaction_s * _MS),
                delivery_timeout_ms=round(settings.delivery_s * _MS),
                request_timeout_ms=round(settings.delivery_s * _MS) - _LINGER_MS,
                max_block_ms=round(settings.transaction_s * _MS),
                max_request_size=settings.max_request_bytes,
                compression_type=settings.compression,
                linger_ms=_LINGER_MS,
                batch_size=_BATCH_BYTES,
                partitioner=_Partitioner(),
                retry_backoff_ms=_BACKOFF_MS,
                metrics_enabled=False,
                allow_auto_create_topics=False,
            )
            self._manager = self._producer._transaction_manager  # noqa: SLF001  (nothing public tells why it is in error)
            self._producer.init_transactions()

    def close(self) -> None:
        """End; what is under way is aborted by the broker, or by the successor."""
        if self._producer is None:
            return
        with contextlib.suppress(errors.KafkaError):
            self._producer.close(timeout=self._settings.delivery_s + 1)
        self._producer = self._manager = None
