"""A real Valkey on 127.0.0.1, in a process of its own: bare, quick to start, to freeze and to start again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.services.port import free_port
from jobs.services.valkey_server import find_valkey
from scoretrail.errors import StoreUnavailableError
from scoretrail.feature.online_redis import RedisAddress, RedisOnlineStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_LIMIT_S = 20


@dataclass
class ValkeyServer:
    """A server that can be stopped, frozen and started again under its address."""

    folder: Path
    port: int
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> RedisAddress:
        return RedisAddress(port=self.port)

    def start(self) -> None:
        """Start it, empty, and wait until it takes connections."""
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        self.process = subprocess.Popen(
            [str(find_valkey()), *place, "--save", "", "--appendonly", "no", *self.arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        limit = time.monotonic() + START_LIMIT_S
        while time.monotonic() < limit:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.01)
        raise TimeoutError("Valkey did not start")

    def stop(self) -> None:
        """End it, frozen or not."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=30)
            self.process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it do nothing for a while; its connections stay open."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def flush(self) -> None:
        """Remove every key; scripts stay."""
        self.command(b"FLUSHALL\r\n")

    def command(self, line: bytes) -> bytes:
        """Send one line of its inline protocol as the default user, and return what comes back at once."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain:
            plain.sendall(line)
            return plain.recv(65_536)


@contextlib.contextmanager
def running(folder: Path, *arguments: str) -> Iterator[ValkeyServer]:
    """Start a server on a free port, and end it on the way out."""
    server = ValkeyServer(folder, free_port(), arguments)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def wait_until_answered(store: RedisOnlineStore) -> None:
    """Return once a server that was away answers again."""
    limit = time.monotonic() + START_LIMIT_S
    while True:
        try:
            store.ping()
            return
        except StoreUnavailableError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.01)
