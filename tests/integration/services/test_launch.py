"""A program that is tied to its parent ends with it, however the parent ends; one that is not goes on."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.services import launch as launches
from jobs.services.launch import launch
from jobs.services.process import Process, running
from scoretrail.errors import ServiceError

ROOT = Path(__file__).parents[3]
SLEEP = ("/bin/sleep", "300")
#: Launches two programs, says which, and waits to be killed.
PARENT = """
import os, sys, time
from pathlib import Path
from jobs.services.launch import launch
for tied in (True, False):
    process = launch(("/bin/sleep", "300"), log=Path(sys.argv[1]), environment=os.environ, tied=tied)
    print(process.pid, process.started, flush=True)
time.sleep(300)
"""


@pytest.fixture
def started() -> Iterator[list[Process]]:
    """Collect what a test starts, and end it."""
    processes: list[Process] = []
    yield processes
    for process in processes:
        process.kill()


def start(log: Path, *command: str, tied: bool = True) -> Process:
    return launch(command or SLEEP, log=log, environment=os.environ, tied=tied)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a program with a parent that was killed")
def test_a_tied_program_ends_with_a_parent_that_is_killed(tmp_path: Path, started: list[Process]) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        for _ in range(2):
            pid, began = parent.stdout.readline().split()
            started.append(Process(int(pid), began))
        tied, untied = started
        assert tied.is_running()
        parent.kill()
    assert tied.wait(10)
    assert untied.is_running()


def test_it_does_not_end_with_the_thread_that_started_it(tmp_path: Path, started: list[Process]) -> None:
    thread = threading.Thread(target=lambda: started.append(start(tmp_path / "log")))
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert started[0].is_running()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties to a thread")
def test_without_a_thread_that_lasts_it_would(tmp_path: Path, started: list[Process]) -> None:
    """The control of the test above: the same wrapper, started by the thread itself."""
    command = (sys.executable, "-I", "-S", str(launches._TETHER), str(os.getpid()), *SLEEP)

    def begin() -> None:
        started.append(launches._spawn(command, tmp_path / "log", os.environ))
        while b"tether" in Path("/proc", str(started[0].pid), "cmdline").read_bytes():
            time.sleep(0.01)

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    assert started[0].wait(10)


def test_it_has_a_session_of_its_own_so_that_no_terminal_interrupts_it(tmp_path: Path, started: list[Process]) -> None:
    for tied in (True, False):
        started.append(start(tmp_path / "log", tied=tied))
        assert os.getsid(started[-1].pid) == started[-1].pid


def test_its_output_is_in_the_log_after_what_is_there(tmp_path: Path, started: list[Process]) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    started.append(start(log, "/bin/sh", "-c", "echo out; echo err >&2; cat"))
    assert started[0].wait(10)
    assert log.read_text().splitlines() == ["before", "out", "err"]


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="cannot be started"):
        start(tmp_path / "log", str(tmp_path / "nothing"), tied=False)


def test_it_ends_when_asked_and_is_gone(tmp_path: Path, started: list[Process]) -> None:
    started.append(start(tmp_path / "log"))
    assert started[0].end(10)
    assert not started[0].is_running()
    assert running(started[0].pid) is None
    assert not started[0].send(signal.SIGTERM)


def test_one_that_does_not_listen_is_killed(tmp_path: Path, started: list[Process]) -> None:
    deaf = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    started.append(start(tmp_path / "log", "/bin/sh", "-c", deaf))
    while "ready" not in (tmp_path / "log").read_text():
        time.sleep(0.01)
    assert started[0].end(0.3) is False
    assert not started[0].is_running()


def test_one_that_is_frozen_ends_when_asked(tmp_path: Path, started: list[Process]) -> None:
    started.append(start(tmp_path / "log"))
    started[0].send(signal.SIGSTOP)
    assert started[0].is_running()
    assert started[0].end(10)


def test_a_later_process_of_the_same_id_gets_no_signal(tmp_path: Path, started: list[Process]) -> None:
    started.append(start(tmp_path / "log", tied=False))
    stranger = Process(started[0].pid, "another start")
    # As a stranger sees it: whose child it is must not matter.
    assert running(started[0].pid) != stranger
    command = "import sys; from jobs.services.process import Process as P; print(P(int(sys.argv[1]), 'x').send(15))"
    told = subprocess.run(
        [sys.executable, "-c", command, str(started[0].pid)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "False"
    assert started[0].is_running()
