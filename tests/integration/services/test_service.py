"""A service of a small program: what happens when it does not start, and that nothing is left."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from jobs.services.port import free_port, is_free
from jobs.services.probe import redis_answers
from jobs.services.service import Service
from scoretrail.errors import ServiceError

#: Answers every connection as a store would.
STORE = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listening:
    print("listening", flush=True)
    while True:
        connection, _ = listening.accept()
        with connection:
            connection.recv(64)
            connection.sendall(b"+PONG")
"""


@dataclass(frozen=True)
class Store:
    """The program; the source is what a test changes."""

    folder: Path
    source: str = STORE
    port: int = field(default_factory=free_port)

    @property
    def name(self) -> str:
        return "store"

    def further_ports(self) -> dict[str, int]:
        return {}

    def prepare(self) -> None:
        (self.folder / "prepared").touch()

    def command(self) -> tuple[str, ...]:
        return (sys.executable, "-I", "-S", "-c", self.source, str(self.port))

    def answers(self) -> bool:
        return redis_answers("127.0.0.1", self.port)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(Store(tmp_path / "store"))
    yield made
    made.stop()


def test_it_answers_when_it_has_started_and_not_when_it_was_stopped(service: Service) -> None:
    service.start()
    assert service.is_running()
    assert service.program.answers()
    assert (service.program.folder / "prepared").exists()
    assert service.stop()
    assert not service.is_running()
    assert is_free(service.program.port)


def test_it_starts_again_at_its_address_after_a_crash(service: Service) -> None:
    service.start()
    address, before = service.address, service.process
    service.kill()
    service.restart()
    assert service.address == address
    assert service.process != before
    assert service.log.read_text().count("listening") == 2


def test_a_frozen_one_does_not_answer_until_it_goes_on(service: Service) -> None:
    service.start()
    service.pause()
    assert not service.program.answers()
    assert service.is_running()
    service.resume()
    assert service.program.answers()


def test_it_is_not_started_twice(service: Service) -> None:
    service.start()
    with pytest.raises(ServiceError, match="runs already"):
        service.start()
    assert service.program.answers()


def test_one_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    service = Service(Store(tmp_path / "store", source="raise SystemExit('no licence')"))
    with pytest.raises(ServiceError, match="ended") as caught:
        service.start()
    assert "no licence" in str(caught.value.got)
    assert caught.value.where == str(service.log)


def test_one_that_does_not_answer_is_ended(tmp_path: Path) -> None:
    service = Service(Store(tmp_path / "store", source="import time; time.sleep(300)"))
    with pytest.raises(ServiceError, match=r"does not answer after 0\.5 s"):
        service.start(0.5)
    assert not service.is_running()


def test_an_interrupt_while_it_starts_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(Store(tmp_path / "store"))

    def interrupted(_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "answers", interrupted)
    with pytest.raises(KeyboardInterrupt):
        service.start()
    assert not service.is_running()


def test_what_was_never_started_has_no_process(tmp_path: Path) -> None:
    service = Service(Store(tmp_path / "store"))
    assert not service.is_running()
    assert service.stop()
    with pytest.raises(ServiceError, match="was not started"):
        service.kill()
