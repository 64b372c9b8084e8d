"""Services that outlive the command which starts them: what runs is written down, and found again by the next one."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from jobs.services import local
from jobs.services.jars import JarCache
from jobs.services.port import is_free
from jobs.services.probe import kafka_answers, redis_answers
from jobs.services.process import Process
from jobs.services.service import STOP_LIMIT_S
from scoretrail.errors import ServiceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from jobs.services.service import Service

NAMES: Final = ("kafka", "valkey")
_PROBES: Final = {"kafka": kafka_answers, "valkey": redis_answers}
_RECORD: Final = "service.json"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How one service stands."""

    name: str
    address: str | None
    """HOST:PORT; None if it never ran."""
    pid: int | None
    """None unless its process is there."""
    reachable: bool
    log: str


@dataclass(frozen=True, kw_only=True)
class Development:
    """The services of one state folder."""

    folder: Path
    cache: JarCache
    """Where Kafka's jars are kept."""

    def up(self, ports: Mapping[str, int | None], say: Callable[[str], None]) -> list[Standing]:
        """Start what does not run, and return how all stand. What runs is left alone.

        Args:
            ports: service -> its port; None is the one that it had before, else a free one.
            say: is told what is started.

        Raises:
            ServiceError: one does not start, or runs and does not answer.
            UsageError: one runs on another port than the wanted one.
            DependencyError: Java, Kafka's jars or a server is missing.
        """
        with self._locked():
            for name, port in ports.items():
                self._start(name, port, say)
            return self.status()

    def status(self) -> list[Standing]:
        """Return how all services stand."""
        return [self._standing(name) for name in NAMES]

    def down(self, say: Callable[[str], None], *, purge: bool = False) -> list[str]:
        """End the processes that were started here and are still there; return the names of their services.

        Args:
            say: is told what is ended.
            purge: whether to remove what they stored.
        """
        ended = []
        with self._locked():
            for name in NAMES:
                process = _process(self._record(name))
                if process is not None and process.is_running():
                    say(f"stopping {name}")
                    process.end(STOP_LIMIT_S)
                    ended.append(name)
                if purge:
                    shutil.rmtree(self._place(name), ignore_errors=True)
        return ended

    def _start(self, name: str, port: int | None, say: Callable[[str], None]) -> None:
        record, standing = self._record(name), self._standing(name)
        if standing.pid is not None and port not in {None, record["port"]}:
            raise UsageError(
                f"{name} runs on another port", expected=str(port), got=standing.address, fix="scoretrail services down"
            )
        if standing.pid is not None and not standing.reachable:
            raise ServiceError(f"{name} runs and does not answer", where=standing.log, fix="scoretrail services down")
        if standing.pid is not None:
            return
        if port is not None and not is_free(port):
            raise ServiceError("the port is taken", where=f"127.0.0.1:{port}", fix="choose another, or none")
        service = self._service(name, port, record, say)
        say(f"starting {name} on {service.address}")
        process = service.begin()
        # Written before the wait: whoever interrupts it must leave nothing that nobody knows of.
        self._write(name, service, process)
        service.await_answer()

    def _service(self, name: str, port: int | None, record: Mapping[str, Any], say: Callable[[str], None]) -> Service:
        port = port or _free(record.get("port"))
        if name == "valkey":
            return local.valkey(self._place(name), tied=False, persistent=True, port=port)
        return local.kafka(
            self._place(name),
            tied=False,
            port=port,
            controller_port=_free(record.get("controller_port")),
            cache=self.cache,
            say=say,
        )

    def _standing(self, name: str) -> Standing:
        record = self._record(name)
        process = _process(record)
        is_running = process is not None and process.is_running()
        port = record.get("port")
        return Standing(
            name=name,
            address=f"127.0.0.1:{port}" if port else None,
            pid=process.pid if process is not None and is_running else None,
            reachable=is_running and _PROBES[name]("127.0.0.1", record["port"]),
            log=str(self._place(name) / f"{name}.log"),
        )

    def _place(self, name: str) -> Path:
        return self.folder.absolute() / name

    def _record(self, name: str) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads((self._place(name) / _RECORD).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return record

    def _write(self, name: str, service: Service, process: Process) -> None:
        record = {"port": service.program.port, **asdict(process)}
        if hasattr(service.program, "controller_port"):
            record["controller_port"] = service.program.controller_port
        fresh = self._place(name) / f"{_RECORD}.new"
        fresh.write_text(json.dumps(record), encoding="utf-8")
        fresh.replace(self._place(name) / _RECORD)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield


def _free(port: int | None) -> int | None:
    return port if port is not None and is_free(port) else None


def _process(record: Mapping[str, Any]) -> Process | None:
    return Process(record["pid"], record["started"]) if "pid" in record else None
