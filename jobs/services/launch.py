"""Starts a program in a session of its own: tied to the life of this process, or left to run without it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobs.services.process import Process, running
from scoretrail.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TETHER: Final = Path(__file__).with_name("tether.py")
_TIED: Final[list[Process]] = []


def launch(command: Sequence[str], *, log: Path, environment: Mapping[str, str], tied: bool) -> Process:
    """Return the process that the command started; it writes to ``log`` and reads nothing.

    A terminal's interrupt does not reach it, for it has a session of its own.

    Args:
        command: an absolute path, and its arguments.
        log: the file that gets its output, after what is there already.
        environment: its environment variables.
        tied: whether it ends when this process does, however that ends: on Linux the kernel sees to it, elsewhere
            this process does, unless it is killed.

    Raises:
        ServiceError: the program ended before it could be told from others, or is not there.
    """
    if not tied:
        return _spawn(tuple(command), log, environment)
    wrapped = (sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *command)
    process = _keeper().submit(_spawn, wrapped, log, environment).result()
    _TIED.append(process)
    return process


@functools.cache
def _keeper() -> ThreadPoolExecutor:
    # The kernel ties to the thread that starts a program, and a test's thread may end long before the test does. This
    # one lives as long as the process.
    atexit.register(_end_tied)
    return ThreadPoolExecutor(1, "scoretrail-services")


def _spawn(command: tuple[str, ...], log: Path, environment: Mapping[str, str]) -> Process:
    # Unlike subprocess, it does not complain of a program that goes on without us, which is what `services up` is for.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = (
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    )
    try:
        pid = os.posix_spawn(
            command[0], command, environment, file_actions=actions, setsid=True, setsigdef=[signal.SIGPIPE]
        )
    except OSError as error:
        raise ServiceError("the program cannot be started", where=command[0], got=str(error)) from error
    process = running(pid)
    if process is None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        raise ServiceError("the program ended at once", where=command[0], fix=f"read {log}")
    return process


def _end_tied() -> None:
    for process in _TIED:
        process.send(signal.SIGKILL)


def _forget() -> None:
    # A forked child has neither the thread nor the right to end what its parent started.
    _keeper.cache_clear()
    _TIED.clear()


os.register_at_fork(after_in_child=_forget)
