"""A program that runs: started until it answers, stopped, killed, frozen and started again."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import TYPE_CHECKING, Final, Self

from jobs.services.launch import launch
from scoretrail.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jobs.services.process import Process
    from jobs.services.program import Program

_START_LIMIT_S: Final = 90.0
"""A broker takes 4 s alone, and many times that on a machine that is busy with tests."""
STOP_LIMIT_S: Final = 20.0
_POLL_S: Final = 0.05
_LAST_BYTES: Final = 65_536
_LAST_LINES: Final = 5
_TELLING: Final = re.compile(r"\b(ERROR|FATAL)\b|Exception|[Ee]rror:|Caused by")
"""A program that gives up says why, and then for long how it cleans up."""


class Service:
    """One program at 127.0.0.1. Usable as a context manager, which starts it and stops it."""

    def __init__(self, program: Program, *, tied: bool = True, process: Process | None = None) -> None:
        """Take a program that may run already.

        Args:
            program: what is run.
            tied: whether it ends with this process.
            process: the one that runs it, where another process started it.
        """
        self.program = program
        self._tied = tied
        self._process = process

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.program.port}"

    @property
    def addresses(self) -> Mapping[str, str]:
        """Name -> HOST:PORT of every further listener, where the program has such."""
        return {name: f"127.0.0.1:{port}" for name, port in self.program.further_ports().items()}

    @property
    def log(self) -> Path:
        """The file with its output."""
        return self.program.folder / f"{self.program.name}.log"

    @property
    def process(self) -> Process:
        """The process.

        Raises:
            ServiceError: it was never started.
        """
        if self._process is None:
            raise ServiceError(f"{self.program.name} was not started")
        return self._process

    def is_running(self) -> bool:
        """Tell whether the process is there."""
        return self._process is not None and self._process.is_running()

    def start(self, limit_s: float = _START_LIMIT_S) -> None:
        """Return once it answers.

        Raises:
            ServiceError: it runs already, ended, or does not answer within the limit; then it is killed.
        """
        self.begin()
        self.await_answer(limit_s)

    def begin(self) -> Process:
        """Start it and return at once; :meth:`await_answer` comes next.

        Raises:
            ServiceError: it runs already, or cannot be started.
        """
        if self.is_running():
            raise ServiceError(f"{self.program.name} runs already", where=self.address)
        self.program.folder.mkdir(parents=True, exist_ok=True)
        self.program.prepare()
        self._process = launch(self.program.command(), log=self.log, environment=os.environ, tied=self._tied)
        return self._process

    def await_answer(self, limit_s: float = _START_LIMIT_S) -> None:
        """Return once it answers; whatever else happens meanwhile, an interrupt too, ends it.

        Raises:
            ServiceError: it ended, or does not answer within the limit.
        """
        end = time.monotonic() + limit_s
        try:
            while not self.program.answers():
                self._check(limit_s if time.monotonic() > end else None)
                time.sleep(_POLL_S)
        except BaseException:
            self.kill()
            raise

    def stop(self, limit_s: float = STOP_LIMIT_S) -> bool:
        """End it; tell whether it ended by itself within the limit, or had ended before, and need not be killed."""
        return self._process is None or self._process.end(limit_s)

    def kill(self) -> None:
        """End it as a crash does; return when it is gone."""
        self.process.kill()

    def pause(self) -> None:
        """Freeze it: connections stay, nothing answers."""
        self.process.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send(signal.SIGCONT)

    def restart(self, limit_s: float = STOP_LIMIT_S) -> None:
        """Stop it, unless it was stopped or killed, and start it with its data at its address.

        Raises:
            ServiceError: it does not start.
        """
        self.stop(limit_s)
        self.start()

    def _check(self, over_s: float | None) -> None:
        name = self.program.name
        if not self.process.is_running():
            raise ServiceError(f"{name} ended", where=str(self.log), got=self.last_words())
        if over_s is not None:
            what = f"{name} does not answer after {over_s:g} s, and was ended"
            raise ServiceError(what, where=str(self.log), got=self.last_words())

    def last_words(self) -> str:
        """Return what the end of its log says of errors, or just its end."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _LAST_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return "no log"
        telling = [line for line in lines if _TELLING.search(line)][:_LAST_LINES] or lines[-_LAST_LINES:]
        return "\n    ".join(telling) or "an empty log"
