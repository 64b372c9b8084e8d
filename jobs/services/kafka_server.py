"""One Kafka broker that is its own controller, started from its jars on 127.0.0.1."""

from __future__ import annotations

import subprocess
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from jobs.services.fencing import fence
from jobs.services.probe import kafka_answers
from scoretrail.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_HOST: Final = "127.0.0.1"
_FORMAT_LIMIT_S: Final = 120.0
_ONE_BROKER: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAIN",
    # Internal topics ask for three brokers unless told otherwise.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    # One broker needs neither the 50 partitions of a cluster nor the time to open them after a crash.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
}
_OURS: Final = {
    # A topic whose name is misspelt must not appear.
    "auto.create.topics.enable": "false",
    # A group's first member does not wait for others that might come.
    "group.initial.rebalance.delay.ms": "0",
    # Readers wait for a transaction whose worker is gone: its timeout, and until the broker looks for such (10 s).
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # Nobody takes over from the only broker. A busy machine that delays its heartbeats must not take the leader from
    # every partition: transactions may break at that (see fencing.py, which also makes a restart independent of it).
    "broker.session.timeout.ms": "30000",
    # For the same reason: to hand over its partitions, which nobody else has, it would first let them be taken.
    "controlled.shutdown.enable": "false",
}


@dataclass(frozen=True, kw_only=True)
class KafkaServer:
    """How a broker runs; a :class:`~jobs.services.service.Service` runs it."""

    folder: Path
    java: Path
    jars: tuple[Path, ...]
    port: int
    """Of the listener PLAIN, without encryption or users. It is always there, for the broker itself uses it."""
    controller_port: int
    listeners: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Further listeners: name -> (security protocol, port), such as ``{"SECURE": ("SASL_SSL", 19093)}``."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Broker properties over ours."""
    heap_mib: int = 512
    java_options: tuple[str, ...] = ()
    """Such as ``-XX:TieredStopAtLevel=1``, for a broker that lives for seconds."""

    @property
    def name(self) -> str:
        """What people call it."""
        return "kafka"

    def further_ports(self) -> dict[str, int]:
        """Return name -> port of what else it listens on for clients."""
        return {name: port for name, (_, port) in self.listeners.items()}

    def prepare(self) -> None:
        """Write its properties; format its data folder the first time, and fence it every other time.

        Raises:
            ServiceError: Kafka refuses to format, or cannot fence.
        """
        properties = self.all_properties()
        self._properties_file.write_text(
            "".join(f"{key}={value}\n" for key, value in properties.items()), encoding="utf-8"
        )
        if not (self._data / "meta.properties").is_file():
            self._format()
        else:
            fence(self.folder, properties, self._command, self.folder / "fencing.log")

    def _format(self) -> None:
        arguments = ["format", "--config", str(self._properties_file), "--ignore-formatted"]
        arguments += ["--cluster-id", cluster_id(uuid.uuid4())]
        told = subprocess.run(
            [*self._jvm(128), "kafka.tools.StorageTool", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_FORMAT_LIMIT_S,
        )
        if told.returncode != 0:
            raise ServiceError("Kafka cannot format its data folder", where=str(self._data), got=told.stderr.strip())

    def command(self) -> tuple[str, ...]:
        """Return an absolute path and its arguments."""
        return self._command(self._properties_file)

    def answers(self) -> bool:
        """Tell whether it does its work now; takes a second at most."""
        return kafka_answers(_HOST, self.port)

    def all_properties(self) -> dict[str, str]:
        """Return the broker's properties, the given ones over ours."""
        places = {"PLAIN": ("PLAINTEXT", self.port), **self.listeners}
        advertised = ",".join(f"{name}://{_HOST}:{port}" for name, (_, port) in places.items())
        controller = f"{_HOST}:{self.controller_port}"
        protocols = {name: protocol for name, (protocol, _) in places.items()} | {"CONTROLLER": "PLAINTEXT"}
        return {
            **_ONE_BROKER,
            **_OURS,
            "listeners": f"{advertised},CONTROLLER://{controller}",
            "advertised.listeners": advertised,
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": str(self._data),
            **self.properties,
        }

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _properties_file(self) -> Path:
        return self.folder / "server.properties"

    def _command(self, properties: Path, *options: str) -> tuple[str, ...]:
        return (*self._jvm(self.heap_mib, *options), "kafka.Kafka", str(properties))

    def _jvm(self, heap_mib: int, *options: str) -> tuple[str, ...]:
        return (
            str(self.java),
            f"-Xmx{heap_mib}m",
            *self.java_options,
            f"-XX:ErrorFile={self.folder}/hs_err_%p.log",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            # At every start it would say all its properties five times, a thousand lines.
            "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config.AbstractConfig=warn",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
            *options,
            "-cp",
            ":".join(str(jar) for jar in self.jars),
        )


def cluster_id(chosen: uuid.UUID) -> str:
    """Return a UUID as Kafka writes one; it would take a dash at the beginning for an option.

    >>> cluster_id(uuid.UUID(int=0xF8 << 120))
    'AAAAAAAAAAAAAAAAAAAAAA'
    """
    text = urlsafe_b64encode(chosen.bytes).decode().rstrip("=")
    return f"A{text[1:]}" if text.startswith("-") else text
