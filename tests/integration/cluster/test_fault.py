"""Frozen and killed processes in the middle of a task: Spark tries again elsewhere, and every row is there once."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.cluster.launch import Launcher, Outcome, Program
from tests.integration.cluster.process import PROC, Process, wait_for
from tests.integration.cluster.standalone import HOSTS, StandaloneCluster

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not PROC.is_dir(), reason="processes are found through /proc"),
]

#: Scoring in calls of ten rows takes seconds instead of a moment, and every 500 rows a file grows: time to strike.
SLOWLY = ("--set=batch.batch_rows=10", "--set=batch.row_group_rows=500")

#: A task that takes half as long again as the faster half did is begun a second time.
SPECULATION = {
    "speculation": "true",
    "speculation.interval": "200ms",
    "speculation.quantile": "0.5",
    "speculation.multiplier": "1.5",
}


@dataclass(frozen=True)
class Writing:
    """A Python worker of an executor that is in the middle of a task."""

    host: str
    worker: Process
    path: str
    """The output file that it has open."""

    @property
    def other_host(self) -> str:
        (other,) = set(HOSTS) - {self.host}
        return other

    @property
    def day(self) -> str:
        """The input partition that it scores."""
        return Path(self.path).parent.name


def find_writing(cluster: StandaloneCluster, table: str, hosts: Iterable[str] = HOSTS) -> Writing | None:
    """Return an executor's Python worker that has an output file open: its first rows are scored."""
    for host in hosts:
        for process in cluster.processes(host):
            for path in process.open_paths():
                if path.startswith(f"{table}/ds=") and path.endswith(".parquet"):
                    return Writing(host, process, path)
    return None


def wait_for_writing(cluster: StandaloneCluster, program: Program, table: str) -> Writing:
    def look() -> Writing | None:
        assert program.is_running, program.outcome().said
        return find_writing(cluster, table)

    return wait_for(look, "worker that writes")


def executor_of(cluster: StandaloneCluster, host: str) -> Process:
    """Return the executor that runs on a host."""
    (found,) = [one for one in cluster.processes(host) if "CoarseGrainedExecutorBackend" in one.command]
    return found


@pytest.fixture
def struck() -> Iterator[list[Process]]:
    """Processes that a test froze or killed: none of them stays frozen."""
    processes: list[Process] = []
    yield processes
    for process in processes:
        process.send(signal.SIGKILL)


def assert_each_row_once(launcher: Launcher, local_run: Launcher, outcome: Outcome) -> None:
    assert outcome.code == 0, outcome.said
    assert launcher.rows().equals(local_run.rows())
    assert launcher.rows("_rejects").equals(local_run.rows("_rejects"))


def test_a_frozen_task_is_finished_by_a_copy_on_the_other_host(
    cluster: StandaloneCluster, launcher: Launcher, local_run: Launcher, struck: list[Process]
) -> None:
    program = launcher.submit(*SLOWLY, **SPECULATION)
    frozen = wait_for_writing(cluster, program, launcher.table)
    struck.append(frozen.worker)
    frozen.worker.send(signal.SIGSTOP)
    outcome = program.outcome()
    assert_each_row_once(launcher, local_run, outcome)
    wait_for(frozen.worker.has_ended, "end of the frozen worker, by Spark's hand", 30)

    tries = [one for one in launcher.history().attempts if one.job == "score_works"]
    copies = [one for one in tries if one.speculative and one.end == "Success" and one.host == frozen.other_host]
    assert copies, tries
    # What the frozen try had written is no part of the table.
    assert frozen.path not in launcher.live_paths()
    (winner,) = [path for path in launcher.live_paths() if Path(path).parent.name == frozen.day]
    assert Path(winner).name.rpartition("-")[0] == Path(frozen.path).name.rpartition("-")[0], "another attempt"


@pytest.mark.slow
def test_of_two_attempts_at_work_at_once_one_counts(
    cluster: StandaloneCluster, launcher: Launcher, local_run: Launcher, struck: list[Process]
) -> None:
    # The loser is left alone for as long as it needs to find that the other's message stands.
    program = launcher.submit(*SLOWLY, **SPECULATION, **{"python.task.killTimeout": "60s"})
    first = wait_for_writing(cluster, program, launcher.table)
    struck.append(first.worker)
    first.worker.send(signal.SIGSTOP)

    def copy_of_first() -> Writing | None:
        assert program.is_running, program.outcome().said
        found = find_writing(cluster, launcher.table, {first.other_host})
        return found if found and found.day == first.day else None

    second = wait_for(copy_of_first, "copy of the frozen task")
    first.worker.send(signal.SIGCONT)
    outcome = program.outcome()
    assert_each_row_once(launcher, local_run, outcome)
    assert len({first.path, second.path} & launcher.live_paths()) == 1


def test_a_killed_python_worker_and_a_killed_executor_are_replaced(
    cluster: StandaloneCluster, launcher: Launcher, local_run: Launcher, struck: list[Process]
) -> None:
    program = launcher.submit(*SLOWLY)
    first = wait_for_writing(cluster, program, launcher.table)
    struck.append(first.worker)
    first.worker.send(signal.SIGKILL)
    wait_for(first.worker.has_ended, "end of the worker")

    second = wait_for_writing(cluster, program, launcher.table)
    executor = executor_of(cluster, second.host)
    struck += [executor, second.worker]
    executor.send(signal.SIGKILL)
    outcome = program.outcome()
    assert_each_row_once(launcher, local_run, outcome)

    history = launcher.history()
    ends = [one.end for one in history.attempts if one.job == "score_works"]
    assert "ExceptionFailure" in ends, "the task of the killed worker failed"
    assert "ExecutorLostFailure" in ends, "the task of the killed executor was lost with it"
    assert any(one.number > 0 and one.end == "Success" for one in history.attempts), "a second try succeeded"
    assert history.lost_executors >= 1
    assert {first.path, second.path}.isdisjoint(launcher.live_paths())
