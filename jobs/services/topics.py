"""Topics for development, the demo and tests: made if they are not there, and waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from jobs.services.probe import kafka_answers
from scoretrail.errors import BrokerError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LIMIT_MS: Final = 10_000


def create_topics(
    bootstrap: Sequence[str], partitions: Mapping[str, int], properties: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return the names of the topics that were made; each is ready, those that were there before as well.

    Args:
        bootstrap: HOST:PORT of brokers without encryption; the first that answers is asked.
        partitions: topic -> number of partitions.
        properties: of the topics that are made.

    Raises:
        BrokerError: no broker answers, or a topic does not become ready.
        ConfigurationError: a topic is there with another number of partitions.
    """
    address = next((one for one in bootstrap if kafka_answers(*_split(one))), None)
    if address is None:
        raise BrokerError("no broker answers", where=", ".join(bootstrap), fix="scoretrail services status")
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=address, request_timeout_ms=_LIMIT_MS, bootstrap_timeout_ms=_LIMIT_MS
        )
        try:
            return _create(admin, partitions, properties or {})
        finally:
            admin.close()
    except KafkaError as error:
        raise BrokerError("topics cannot be made", where=address, got=f"{type(error).__name__}: {error}") from error


def _create(admin: KafkaAdminClient, partitions: Mapping[str, int], properties: Mapping[str, str]) -> tuple[str, ...]:
    there = set(admin.list_topics())
    missing = {
        name: {"num_partitions": number, "replication_factor": -1, "configs": dict(properties)}
        for name, number in partitions.items()
        if name not in there
    }
    if missing:
        admin.create_topics(missing)
    admin.wait_for_topics(list(partitions), timeout_ms=_LIMIT_MS)
    for topic in admin.describe_topics(list(partitions)):
        name, found = str(topic["name"]), len(topic["partitions"])
        if found != partitions[name]:
            raise ConfigurationError(
                "a topic is there with another number of partitions",
                where=name,
                expected=f"{partitions[name]}",
                got=f"{found}",
                fix="remove the topic if nobody needs it, or go on with its number",
            )
    return tuple(missing)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
