"""A real Kafka and a real Valkey or Redis for tests: an address that is given, a container, or a process of our own.

Ask for ``kafka`` or ``valkey`` to share one with the whole session; make topics and keys of your own there. Ask for
``start_kafka`` or ``start_valkey`` to get one that may be killed, frozen and restarted, or that has other settings.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from jobs.services import local
from jobs.services.port import free_port
from jobs.services.probe import kafka_answers, redis_answers
from jobs.services.service import Service
from scoretrail.errors import DependencyError

ROOT = Path(__file__).parents[2]
#: Where a service is that somebody else runs: HOST:PORT, and redis://HOST:PORT/DB.
KAFKA_VARIABLE = "SCORETRAIL_TEST_KAFKA"
REDIS_VARIABLE = "SCORETRAIL_TEST_REDIS"
#: For a broker that lives for seconds: what optimises a long life costs more than it brings.
SHORT_LIFE = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
READY_S = 120

StartService = Callable[..., Service]


@dataclass(frozen=True)
class Kafka:
    """A broker that is shared: leave it as it is."""

    bootstrap: str

    def topic(self, partitions: int = 1, **properties: str) -> str:
        """Make a topic that nobody else has, and return its name; properties with ``_`` for each dot."""
        return fresh_topic(self.bootstrap, partitions, **properties)

    def read(self, topic: str) -> list[Any]:
        """Return what a ``read_committed`` reader sees of a topic now; see :func:`read_committed`."""
        return read_committed(self.bootstrap, topic)


@dataclass(frozen=True)
class Redis:
    """A store that is shared: use keys of your own."""

    uri: str


def fresh_topic(bootstrap: str, partitions: int = 1, **properties: str) -> str:
    """Make a topic with a name that was never used, and return the name."""
    from jobs.services.topics import create_topics

    name = f"t-{uuid.uuid4().hex[:12]}"
    create_topics([bootstrap], {name: partitions}, {key.replace("_", "."): value for key, value in properties.items()})
    return name


def await_committed(bootstrap: str, topic: str, at_least: int, limit_s: float = 60) -> list[Any]:
    """Return what :func:`read_committed` does, once it is so many records: a commit returns before readers see it."""
    deadline = time.monotonic() + limit_s
    while len(found := read_committed(bootstrap, topic)) < at_least:
        assert time.monotonic() < deadline, f"{topic}: {len(found)} of {at_least} records after {limit_s:g} s"
        time.sleep(0.1)
    return found


def read_committed(bootstrap: str, topic: str, limit_s: float = 30) -> list[Any]:
    """Return the records of a topic that a ``read_committed`` reader sees now, by partition and offset.

    They are read by a consumer without a group, up to the end that the broker states for such readers: aborted records
    and those of open transactions are not among them.
    """
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        allow_auto_create_topics=False,
    )
    try:
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        assert partitions, f"there is no topic {topic}"
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        records: list[Any] = []
        deadline = time.monotonic() + limit_s
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            assert time.monotonic() < deadline, f"{topic} cannot be read up to {ends}"
            for fetched in consumer.poll(timeout_ms=100).values():
                records += fetched
    finally:
        consumer.close()
    inside = [one for one in records if one.offset < ends[TopicPartition(topic, one.partition)]]
    return sorted(inside, key=lambda one: (one.partition, one.offset))


@pytest.fixture(scope="session")
def start_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartService]:
    """Return a function that starts a broker of one's own; all are stopped when the session ends."""
    with contextlib.ExitStack() as running:
        yield lambda **options: _started(
            local.kafka, tmp_path_factory.mktemp("kafka"), running, {"java_options": SHORT_LIFE, **options}
        )


@pytest.fixture(scope="session")
def start_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartService]:
    """Return a function that starts a store of one's own; all are stopped when the session ends."""
    with contextlib.ExitStack() as running:
        yield lambda **options: _started(local.valkey, tmp_path_factory.mktemp("valkey"), running, options)


@pytest.fixture(scope="session")
def kafka(start_kafka: StartService) -> Iterator[Kafka]:
    """A broker for the session."""
    given = os.environ.get(KAFKA_VARIABLE)
    if given:
        host, _, port = given.rpartition(":")
        assert kafka_answers(host, int(port)), f"{KAFKA_VARIABLE}={given}: no broker answers"
        yield Kafka(given)
    elif has_image("kafka"):
        with kafka_container() as address:
            yield Kafka(address)
    else:
        yield Kafka(start_kafka().address)


@pytest.fixture(scope="session")
def valkey(start_valkey: StartService) -> Iterator[Redis]:
    """A store for the session."""
    given = os.environ.get(REDIS_VARIABLE)
    if given:
        place = urlsplit(given)
        answers = redis_answers(place.hostname or "", place.port or 6379, tls=place.scheme == "rediss")
        assert answers, f"{REDIS_VARIABLE}: no store answers"
        yield Redis(given)
    elif has_image("redis"):
        with redis_container() as address:
            yield Redis(f"redis://{address}/0")
    else:
        yield Redis(f"redis://{start_valkey().address}/0")


def _started(
    make: Callable[..., Service], folder: Path, running: contextlib.ExitStack, options: dict[str, Any]
) -> Service:
    return running.enter_context(or_skip(lambda: make(folder, **options)))


def or_skip(make: Callable[[], Service]) -> Service:
    """Return what is made, or skip the test where Java, jars or a server cannot be had."""
    try:
        return make()
    except DependencyError as error:
        pytest.skip(re.sub(r"\s*\n\s*", "; ", str(error)))


# --- containers -------------------------------------------------------------------------------------------------------


@cache
def engine() -> Any:
    """Return a client of the container engine, or None where none runs."""
    if "DOCKER_HOST" not in os.environ and not Path("/var/run/docker.sock").exists():
        return None  # the client would leave a socket open
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=5)
        client.ping()
    except DockerException:
        return None
    return client


def compose_services() -> dict[str, Any]:
    """Return what ``docker-compose.yml`` says, so that tests and people run the same images."""
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    return services


def has_image(service: str) -> bool:
    """Tell whether there is an engine, and the image of a service is there already: nothing is pulled for a test."""
    client = engine()
    if client is None:
        return False
    from docker.errors import ImageNotFound

    try:
        client.images.get(compose_services()[service]["image"])
    except ImageNotFound:
        return False
    return True


@contextlib.contextmanager
def kafka_container() -> Iterator[str]:
    """Run the broker's image as docker-compose.yml has it; yield HOST:PORT."""
    port = free_port()
    service = compose_services()["kafka"]
    # The client outside and the broker itself reach it by different ways, and each is told its own.
    advertised = f"INTERNAL://127.0.0.1:9092,HOST://127.0.0.1:{port}"
    environment = {**service["environment"], "KAFKA_ADVERTISED_LISTENERS": advertised}
    environment["KAFKA_CONTROLLER_QUORUM_VOTERS"] = "1@127.0.0.1:9093"
    with _container(service["image"], {9094: port}, environment):
        _await(lambda: kafka_answers("127.0.0.1", port), "the broker's container")
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def redis_container() -> Iterator[str]:
    """Run the store's image as docker-compose.yml has it; yield HOST:PORT."""
    port = free_port()
    with _container(compose_services()["redis"]["image"], {6379: port}, {}):
        _await(lambda: redis_answers("127.0.0.1", port), "the store's container")
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def _container(image: str, ports: dict[int, int], environment: dict[str, Any]) -> Iterator[None]:
    # Its reaper is an image of its own, which would have to be pulled.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    from testcontainers.core.container import DockerContainer

    container = DockerContainer(image)
    for inside, outside in ports.items():
        container.with_bind_ports(inside, outside)
    for name, value in environment.items():
        container.with_env(name, str(value))
    with container:
        yield


def _await(look: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + READY_S
    while not look():
        assert time.monotonic() < end, f"{what} does not answer after {READY_S} s"
        time.sleep(0.1)
