"""How a worker ends: on a signal it finishes its turn within a deadline, on a second one it ends at once."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from scoretrail import log
from scoretrail.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable


class Stopping:
    """Whether the loop is to end."""

    def __init__(self, drain_s: float, end: Callable[[int], object] = os._exit) -> None:
        """Prepare.

        Args:
            drain_s: how long the loop may take to end by itself.
            end: ends the process where it does not.
        """
        self._drain_s = drain_s
        self._end = end
        self._asked = threading.Event()
        self._timer: threading.Timer | None = None

    @property
    def asked(self) -> bool:
        """Whether somebody asked the worker to end."""
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait until somebody asks, at most so long; return whether somebody did."""
        return self._asked.wait(seconds)

    def listen(self) -> None:
        """Let SIGTERM and SIGINT ask; only the main thread may."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.ask)

    def ask(self, *_: Any) -> None:  # noqa: ANN401  (as a signal's handler it is handed a frame)
        """Ask the loop to end; a second time the process ends at once, and its transaction is aborted by the broker."""
        if self._asked.is_set():
            self._end(int(ExitCode.RETRY))
            return
        self._asked.set()
        self._timer = threading.Timer(self._drain_s, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def done(self) -> None:
        """Say that the loop has ended in time."""
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        log.get().error(log.DRAIN_EXPIRED, drain_s=self._drain_s)
        self._end(int(ExitCode.RETRY))
