"""What a cluster says of its topics, a group of its offsets, and what comes into a topic, beside the loop."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from kafka import KafkaAdminClient, KafkaConsumer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    BrokerResponseError,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    InvalidProducerIdMappingError,
    KafkaError,
    NotCoordinatorError,
    TransactionalIdAuthorizationFailedError,
    UnknownMemberIdError,
    for_code,
)
from kafka.protocol.consumer.group import HeartbeatRequest
from kafka.protocol.metadata import CoordinatorType
from kafka.protocol.producer.transaction import AddOffsetsToTxnRequest
from kafka.structs import OffsetAndMetadata, TopicPartition

from jobs.stream.kafka.broker import committed_of
from jobs.stream.kafka.connection import connection, from_client, to_client, translated
from jobs.stream.port import Committed, Partition
from scoretrail.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from scoretrail.setting import KafkaSettings

_MS: Final = 1000
_TAIL_MS: Final = 500
_TIMEOUT_MS: Final = 10_000
"""For one question; brokers that are there answer in milliseconds."""
_AGAIN_S: Final = 0.2
_COORDINATOR_STARTS: Final = (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError)
"""What a coordinator says for a moment, such as when its topic is made at the first use."""


class KafkaOffsets:
    """The offsets of a group; see :class:`jobs.stream.loop.position.Offsets`. Close it, or use it as a context."""

    def __init__(self, settings: KafkaSettings, group: str) -> None:
        """Connect, without joining the group.

        Raises:
            BrokerError, ConfigurationError: the brokers cannot be reached, or refuse.
        """
        with translated("connecting"):
            self._consumer = KafkaConsumer(
                **connection(settings),
                client_id=f"{group}-start",
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
                allow_auto_create_topics=False,
            )

    def partitions(self, topics: Collection[str]) -> list[Partition]:
        """Return every partition of the topics, sorted.

        Raises:
            ConfigurationError: a topic is not there, or may not be described.
        """
        found = []
        for topic in sorted(topics):
            with translated(f"looking for topic {topic}"):
                numbers = self._consumer.partitions_for_topic(topic)
            if not numbers:
                raise ConfigurationError(
                    f"there is no topic {topic!r}, or this user may not see it",
                    where="stream.input",
                    fix=f"create it, or allow this user to Describe and Read {topic}",
                )
            found += [Partition(topic, number) for number in sorted(numbers)]
        return found

    def committed(self, partitions: Collection[Partition]) -> dict[Partition, Committed]:
        """Return what the group committed; a partition without a commit is left out."""
        with translated("reading committed offsets"):
            return committed_of(self._consumer, partitions, _TIMEOUT_MS)

    def first(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Return the first offset that is there."""
        with translated("reading the first offsets"):
            return from_client(self._consumer.beginning_offsets(to_client(partitions), timeout_ms=_TIMEOUT_MS))

    def end(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Return the offset after the last record that readers of committed records can see."""
        with translated("reading the last offsets"):
            return from_client(self._consumer.end_offsets(to_client(partitions), timeout_ms=_TIMEOUT_MS))

    def at(self, partitions: Collection[Partition], time_ms: int) -> dict[Partition, int | None]:
        """Return the first offset of a record of that time or later; None where there is none."""
        asked = dict.fromkeys(to_client(partitions), time_ms)
        with translated("reading offsets by time"):
            found = self._consumer.offsets_for_times(asked, timeout_ms=_TIMEOUT_MS)
        return {Partition(*key): None if value is None else value.offset for key, value in found.items()}

    def commit(self, offsets: Mapping[Partition, Committed]) -> None:
        """Commit for the group, which must have no members.

        Raises:
            StaleGroupError: it has.
        """
        committing = {
            TopicPartition(*partition): OffsetAndMetadata(committed.offset, committed.metadata, -1)
            for partition, committed in offsets.items()
        }
        with translated("committing the starting point"):
            self._consumer.commit(committing, timeout_ms=_TIMEOUT_MS)

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=_MS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Topic:
    """What a cluster says of a topic."""

    name: str
    partitions: int
    operations: frozenset[str]
    """What this user may do with it: READ, WRITE, DESCRIBE and others."""
    max_message_bytes: int | None
    """The largest batch of records it takes; None where this user may not ask."""
    id: str = ""
    """The topic's own id, which a topic of the same name that is made later does not have; empty on old brokers."""


@dataclass(frozen=True)
class Right:
    """What a broker says of one right."""

    allowed: bool | None
    """None where it says neither."""
    said: str


async def _sent(manager: Any, request: Any, node: Any) -> Any:  # noqa: ANN401
    return await manager.send(request, node_id=node)


class KafkaCluster:
    """A cluster's own account of itself. Close it, or use it as a context."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Connect.

        Raises:
            BrokerError, ConfigurationError: the brokers cannot be reached, or refuse.
        """
        with translated("connecting"):
            self._admin: Any = KafkaAdminClient(**connection(settings), request_timeout_ms=_TIMEOUT_MS)

    def id(self) -> str:
        """Return the cluster's id."""
        with translated("asking for the cluster's id"):
            return str(self._admin.describe_cluster()["cluster_id"])

    def topics(self, names: Collection[str]) -> dict[str, Topic]:
        """Return the topics that are there and that this user may see."""
        with translated("describing topics"):
            described = {one["name"]: one for one in self._admin.describe_topics(sorted(names))}
        found = {}
        for name in sorted(names):
            one = described.get(name, {})
            if one.get("partitions"):
                operations = frozenset(one.get("authorized_operations") or ())
                number, id_ = len(one["partitions"]), str(one.get("topic_id") or "")
                found[name] = Topic(name, number, operations, self._max_message_bytes(name), id_)
        return found

    def may_join(self, group: str) -> Right:
        """Return whether this user may Read a group: by a heartbeat of a member that is none."""
        beat = HeartbeatRequest(group_id=group, generation_id=0, member_id="preflight", group_instance_id=None)
        denied = {GroupAuthorizationFailedError: "Read"}
        return self._asked(group, CoordinatorType.GROUP, beat, denied, (UnknownMemberIdError,))

    def may_publish(self, transactional_id: str, group: str) -> Right:
        """Return whether this user may Write a transactional id: by offsets of a producer that is none.

        It fences nobody, unlike a producer's beginning; so a broker judges rights and then refuses the producer.
        """
        added = AddOffsetsToTxnRequest(
            transactional_id=transactional_id, producer_id=-1, producer_epoch=-1, group_id=group
        )
        # The group is judged after the transactional id.
        passed = (InvalidProducerIdMappingError, GroupAuthorizationFailedError)
        denied = {TransactionalIdAuthorizationFailedError: "Write"}
        return self._asked(transactional_id, CoordinatorType.TRANSACTION, added, denied, passed)

    def _asked(
        self,
        key: str,
        kind: CoordinatorType,
        request: Any,  # noqa: ANN401
        denied: Mapping[type[KafkaError], str],
        passed: tuple[type[KafkaError], ...],
    ) -> Right:
        """Return what a coordinator says to a request that it refuses in any case."""
        until = time.monotonic() + _TIMEOUT_MS / _MS
        while True:
            answer, step = self._answer(key, kind, request)
            name = answer.__name__
            if answer in denied:
                return Right(allowed=False, said=f"{name} when {step} ({denied[answer]})")
            if answer in passed:
                return Right(allowed=True, said="allowed")
            if answer not in _COORDINATOR_STARTS or time.monotonic() > until:
                return Right(allowed=None, said=f"{name} when {step}")
            time.sleep(_AGAIN_S)

    def _answer(self, key: str, kind: CoordinatorType, request: Any) -> tuple[type[KafkaError], str]:  # noqa: ANN401
        # The public methods of the client send neither request by itself.
        manager = self._admin._manager  # noqa: SLF001
        with translated(f"asking for the rights to {key}"):
            try:
                node = manager.run(self._admin._find_coordinator_id, key, kind)  # noqa: SLF001
            except BrokerResponseError as error:
                return type(error), "its coordinator was asked for"
            response = manager.run(_sent, manager, request, node)
        return for_code(response.error_code), "its coordinator was asked"

    def _max_message_bytes(self, name: str) -> int | None:
        resource = ConfigResource(ConfigResourceType.TOPIC, name)
        try:
            answer = self._admin.describe_configs([resource], config_filter="all")
        except KafkaError:
            return None
        found = answer.get("topic", {}).get(name, {}).get("max.message.bytes")
        return int(found["value"]) if found else None

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(KafkaError):
            self._admin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class KafkaTail:
    """Reads what is committed to a topic from now on, as member of no group; a thread hands it over."""

    def __init__(
        self, settings: KafkaSettings, topic: str, take: Callable[[list[bytes | None]], object], where: str
    ) -> None:
        """Connect, and begin at the end.

        Args:
            settings: the brokers.
            topic: what is read.
            take: given one value or more; called on the thread.
            where: the setting that names the topic, for who must mend it.

        Raises:
            BrokerError: the brokers cannot be reached.
            ConfigurationError: there is no such topic.
        """
        self._take = take
        self._stopped = False
        with translated(f"listening to topic {topic}"):
            self._consumer = KafkaConsumer(
                **connection(settings),
                client_id="tail",
                group_id=None,
                auto_offset_reset="latest",
                isolation_level="read_committed",
                allow_auto_create_topics=False,
            )
            numbers = self._consumer.partitions_for_topic(topic)
            if not numbers:
                raise ConfigurationError(f"there is no topic {topic!r}", where=where, fix="create it")
            partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
            self._consumer.assign(partitions)
            for partition, offset in self._consumer.end_offsets(partitions, timeout_ms=_TIMEOUT_MS).items():
                self._consumer.seek(partition, offset)  # now, and not when the thread gets to its first poll
        self._thread = threading.Thread(target=self._listen, name="tail", daemon=True)

    def start(self) -> None:
        """Listen."""
        self._thread.start()

    def stop(self) -> None:
        """Listen no longer."""
        self._stopped = True
        self._thread.join(_MS / _MS)

    def _listen(self) -> None:
        while not self._stopped:
            # What comes while brokers are away may be missed: comparisons count it, the registry is looked at anyway.
            with contextlib.suppress(KafkaError):
                found = self._consumer.poll(timeout_ms=_TAIL_MS)
                values = [record.value for records in found.values() for record in records]
                if values:
                    self._take(values)
        self._consumer.close(timeout_ms=_MS)
