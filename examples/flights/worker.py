"""``scoretrail stream run`` in a process of its own, which ends with this one."""

from __future__ import annotations

import os
import shlex
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from jobs.services.launch import launch
from jobs.services.port import free_port
from scoretrail.errors import ServiceError

if TYPE_CHECKING:
    from examples.flights.channel import Channel
    from jobs.services.process import Process

_START_LIMIT_S: Final = 90.0
"""Two seconds alone; many times that on a machine that is busy with tests."""
_DRAIN_LIMIT_S: Final = 20.0
_POLL_S: Final = 0.1
_ASK_S: Final = 2.0
_LAST_LINES: Final = 8


class WorkerProcess:
    """One worker. A context: it starts it, waits until it is ready, and drains it at the end."""

    def __init__(self, channel: Channel, model: str, folder: Path, settings: Mapping[str, str]) -> None:
        """Prepare; nothing runs yet.

        Args:
            channel: what it reads and writes.
            model: ``models:/NAME@ALIAS``.
            folder: where its log and the records of its runs go.
            settings: dotted name -> value of what else it is told.
        """
        self._channel = channel
        self._model = model
        self._folder = folder
        self._port = free_port()
        self._settings = {
            "kafka.bootstrap": f'["{channel.bootstrap}"]',
            "online.uri": channel.online,
            "stream.trail": str(folder / "trail"),
            "stream.health_port": str(self._port),
            **settings,
        }
        self._process: Process | None = None

    @property
    def log(self) -> Path:
        """The file with what it says."""
        return self._folder / "worker.log"

    @property
    def command(self) -> str:
        """The command line without the addresses, which are others each time."""
        return shlex.join(["scoretrail", *self._words()])

    def __enter__(self) -> Self:
        """Start it, and wait until it has partitions, a warm model and a store.

        Raises:
            ServiceError: it ended, or is not ready within the limit.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        options = [word for name, value in self._settings.items() for word in ("--set", f"{name}={value}")]
        command = [sys.executable, "-m", "jobs.cli", *self._words(), *options]
        self._process = launch(command, log=self.log, environment=os.environ, tied=True)
        try:
            self._await_ready(self._process)
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Let it finish its transaction, and end it."""
        if self._process is not None:
            self._process.end(_DRAIN_LIMIT_S)

    def check(self) -> None:
        """Return if it runs.

        Raises:
            ServiceError: it ended.
        """
        if self._process is None or not self._process.is_running():
            raise ServiceError("the worker ended", where=str(self.log), got=self._last_words())

    def _words(self) -> list[str]:
        channel = self._channel
        place = ["--input", channel.input, "--predictions", channel.predictions, "--dead-letters", channel.dead_letters]
        named = ["--model", self._model, "--group", channel.group, "--slot", "0", "--from", "earliest"]
        return ["stream", "run", *named, *place]

    def _await_ready(self, process: Process) -> None:
        end = time.monotonic() + _START_LIMIT_S
        while not self._is_ready():
            if not process.is_running():
                raise ServiceError("the worker ended", where=str(self.log), got=self._last_words())
            if time.monotonic() > end:
                what = f"the worker is not ready after {_START_LIMIT_S:g} s, and was ended"
                raise ServiceError(what, where=str(self.log), got=self._last_words())
            time.sleep(_POLL_S)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=_ASK_S) as answer:
                return int(answer.status) == 200
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            pass
        return False

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "no log"
        return "\n    ".join(lines[-_LAST_LINES:]) or "an empty log"
