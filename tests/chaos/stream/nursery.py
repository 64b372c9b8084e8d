"""Bears workers: imports everything once, then forks a process for each line of JSON that it reads.

A worker of its own program needs seconds of processor time to import what it uses, and a long run bears thousands.
What a fork leaves out, the start of the interpreter, is measured by the tests that start ``scoretrail stream run``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import scoretrail.feature.online_redis  # noqa: F401  (what a worker loads when it is used)
import scoretrail.model.scorer  # noqa: F401
from jobs.stream.loop.position import start_of
from jobs.stream.operation.stopping import Stopping
from jobs.stream.service import Service, ServiceRequest
from scoretrail import config, log
from scoretrail.clock import SystemClock
from scoretrail.errors import ScoretrailError
from scoretrail.feature.lean import keep_pandas_out
from scoretrail.model.registry import Registry
from scoretrail.storage import Storage
from tests.chaos.stream.naive import work_naively
from tests.chaos.stream.order import Action, Order

PR_SET_PDEATHSIG = 1
LOOK_S = 0.005
BROKEN = 99
"""Exit code of a worker that ended by anything but an error of ours."""


def say(**facts: Any) -> None:
    os.write(1, (json.dumps(facts) + "\n").encode())


def main() -> None:
    """Fork and reap until standard input ends; then end every worker."""
    pending = b""
    living: set[int] = set()
    say(ready=True)
    while True:
        if select.select([0], [], [], LOOK_S)[0]:
            data = os.read(0, 65_536)
            if not data:
                break
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                plan = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    be_born(plan)
                living.add(pid)
                say(born=pid, slot=plan["slot"])
        for pid, code in reaped():
            living.discard(pid)
            say(ended=pid, code=code)
    for pid in living:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def reaped() -> list[tuple[int, int]]:
    found = []
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            found.append((pid, os.waitstatus_to_exitcode(status)))
    return found


def be_born(plan: dict[str, Any]) -> None:
    """Be a worker in a forked process, and never return."""
    code = BROKEN
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        file = os.open(plan["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(file, 1)
        os.dup2(file, 2)
        code = work_naively(plan) if plan["naive"] else serve(plan)
    except BaseException:  # noqa: BLE001  (the process is the boundary)
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


def serve(plan: dict[str, Any]) -> int:
    """Be the worker that ``scoretrail stream run`` is, with orders between its steps; return its exit code."""
    keep_pandas_out()
    resolved = config.load(plan["settings"])
    log.configure(resolved.settings.log.level, resolved.settings.log.render)
    order = Order(Path(plan["order"]))

    def on_step(name: str) -> None:
        action = order.take(name)
        if action is Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if action is Action.STALL_ALONE:
            service._watchdog.stop()
        if action is not Action.NONE:
            time.sleep(plan["stall_s"])

    registry = Registry(Storage(resolved.settings.registry.uri), SystemClock())
    request = ServiceRequest(slot=plan["slot"], start=start_of("earliest"), on_step=on_step)
    stopping = Stopping(resolved.settings.stream.drain_s)
    service = Service(resolved, registry, request, SystemClock(), stopping)
    stopping.listen()
    try:
        service.run()
    except ScoretrailError as error:
        log.get().error("worker_failed", error=str(error), kind=type(error).__name__)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    main()
