"""Where the stream is measured: a real Kafka and a real Valkey, and the processes of a contestant around them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from kafka import KafkaAdminClient

from benchmarks import stream_feeder, stream_material, stream_reader
from jobs.online import open_store
from jobs.services import local
from jobs.services.service import Service
from jobs.services.topics import create_topics
from scoretrail.setting import OnlineSettings, StreamSettings

OURS: Final = "Scoretrail"
PLAIN: Final = "plain loop"
PARTITIONS: Final = 4
_CHECKOUT: Final = Path(__file__).resolve().parent.parent
_CLIENT: Final = {
    "producer": {
        "transaction_timeout_ms": 4000,
        "delivery_timeout_ms": 3000,
        "request_timeout_ms": 2995,
        "max_block_ms": 4000,
        "linger_ms": 5,
        "batch_size": 262_144,
        "retry_backoff_ms": 5,
    },
    "consumer": {
        "session_timeout_ms": 6000,
        "heartbeat_interval_ms": 2000,
        "max_poll_interval_ms": 30_000,
        "max_partition_fetch_bytes": 4 * 1024 * 1024,
        "retry_backoff_ms": 20,
    },
}
"""The worker's own (jobs/stream/kafka/broker.py), for the plain loop as well."""
_READY_S: Final = 90
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass
class Program:
    """A process that tells by lines of JSON what it found."""

    process: subprocess.Popen[str]
    log: Path

    def line(self) -> dict[str, Any]:
        """Return the next line that it says.

        Raises:
            RuntimeError: it ended; its last words are in the message.
        """
        text = self.process.stdout.readline() if self.process.stdout else ""
        if not text:
            msg = f"a process of the benchmark ended:\n{self.log.read_text(encoding='utf-8')[-2000:]}"
            raise RuntimeError(msg)
        found: dict[str, Any] = json.loads(text)
        return found

    def cpu_s(self) -> float:
        """Return the seconds of a core that it used so far."""
        return cpu_s(self.process.pid)

    def end(self) -> None:
        """Ask it to end, and see that it does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        if self.process.stdout:
            self.process.stdout.close()


def _partitions(member: Mapping[str, Any]) -> int:
    assignment = member["member_assignment"] or {}
    return sum(len(topic["partitions"]) for topic in assignment.get("assigned_partitions", ()))


def cpu_s(pid: int) -> float:
    """Return the seconds of a core that a process used so far, in its own code and in the kernel."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    user, system = stat[stat.rindex(")") + 2 :].split()[11:13]
    return (int(user) + int(system)) / _TICKS


@dataclass
class Stage:
    """Broker, store, model and stored features; usable as a context manager."""

    folder: Path
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Settings of the worker that are measured instead of the defaults."""
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __enter__(self) -> Self:
        """Start the services, register the model and fill the store."""
        try:
            self.kafka: Service = self._open.enter_context(local.kafka(self._fresh("kafka")))
            self.valkey: Service = self._open.enter_context(local.valkey(self._fresh("valkey")))
            registry = stream_material.register_model(self.folder / "registry")
            self.template = stream_material.template(registry)
            self.online = OnlineSettings(uri=f"redis://{self.valkey.address}/0")
            store = open_store(self.online)
            stream_material.fill(store)
            store.close()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the services."""
        self._open.close()

    @staticmethod
    def group() -> str:
        """Return the name of a group that was never used."""
        return f"g-{uuid.uuid4().hex[:8]}"

    def topic(self) -> str:
        """Return a topic that nobody has written to."""
        name = f"bench-{uuid.uuid4().hex[:12]}"
        create_topics([self.kafka.address], {name: PARTITIONS})
        return name

    def feed(self, topic: str, phase: str, events: int, rate: float = 0.0) -> dict[str, Any]:
        """Send events and return when they are acknowledged, with how long it took."""
        plan = stream_feeder.Plan(self.kafka.address, topic, phase, events, rate)
        with self._running("feeder", "benchmarks.stream_feeder", asdict(plan)) as feeder:
            return feeder.line()

    @contextlib.contextmanager
    def reader(self, plan: stream_reader.Plan) -> Iterator[Program]:
        """Read in a process of its own, which is there when this begins."""
        with self._running("reader", "benchmarks.stream_reader", asdict(plan)) as reader:
            reader.line()
            yield reader

    @contextlib.contextmanager
    def contestant(
        self, name: str, source: str, target: str, *, group: str, workers: int = 1
    ) -> Iterator[list[Program]]:
        """Run the workers of a contestant; they may still be starting.

        Args:
            name: :data:`OURS` or :data:`PLAIN`.
            source: topic of events.
            target: topic of predictions.
            group: consumer group that was never used.
            workers: how many.
        """
        with contextlib.ExitStack() as running:
            yield [
                running.enter_context(
                    self._ours(group, str(slot), source, target)
                    if name == OURS
                    else self._plain(group, str(slot), source, target)
                )
                for slot in range(workers)
            ]

    def settle(self, group: str, workers: int) -> None:
        """Return when every member of a group has its partitions.

        Raises:
            RuntimeError: they do not get them.
        """
        admin = KafkaAdminClient(bootstrap_servers=self.kafka.address)
        try:
            until = time.monotonic() + _READY_S
            while time.monotonic() < until:
                assigned = [_partitions(member) for member in admin.describe_groups([group])[group]["members"]]
                if sum(assigned) == PARTITIONS and sorted(assigned)[-workers:] == [PARTITIONS // workers] * workers:
                    return
                time.sleep(0.1)
        finally:
            admin.close()
        msg = f"the group's {workers} members did not get their partitions"
        raise RuntimeError(msg)

    def _ours(self, group: str, slot: str, source: str, target: str) -> contextlib.AbstractContextManager[Program]:
        settings = {
            "registry.uri": str(self.folder / "registry"),
            "stream.trail": str(self.folder / "trail"),
            "stream.health_port": "0",
            "online.uri": str(self.online.uri),
            "log.level": "warning",
            **self.overrides,
        }
        options = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
        named = ("--model", f"models:/{stream_material.MODEL}@champion", "--slot", slot, "--group", group)
        topics = ("--input", source, "--predictions", target, "--dead-letters", self.topic())
        place = ("--bootstrap", self.kafka.address, "--from", "earliest", "--json")
        return self._running("ours", "jobs.cli", "stream", "run", *options, *named, *topics, *place)

    def _plain(self, group: str, slot: str, source: str, target: str) -> contextlib.AbstractContextManager[Program]:
        # What the worker is given, or its defaults: transactions of one size on both sides.
        defaults = StreamSettings()
        plan = {
            "bootstrap": self.kafka.address,
            "group": group,
            "slot": slot,
            "input": source,
            "predictions": target,
            "template": self.template.to_json(),
            "batch_records": int(self.overrides.get("stream.batch_records", defaults.batch_records)),
            "batch_ms": float(self.overrides.get("stream.batch_ms", defaults.batch_ms)),
            "client": _CLIENT,
        }
        return self._running("plain", "benchmarks.stream_plain", plan)

    @contextlib.contextmanager
    def _running(self, name: str, module: str, *arguments: object) -> Iterator[Program]:
        words = [one if isinstance(one, str) else json.dumps(one) for one in arguments]
        path = self.folder / f"{name}.log"
        with path.open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(_CHECKOUT)},
            )
        program = Program(process, path)
        try:
            yield program
        finally:
            program.end()

    def _fresh(self, name: str) -> Path:
        # A broker's data of an earlier sitting would be recovered first, and topics pile up.
        folder = self.folder / f"{name}-{uuid.uuid4().hex[:8]}"
        self._open.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder
