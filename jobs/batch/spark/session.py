"""The Spark session, and tasks that are spread over it; the only module of a batch run that imports pyspark."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import re
import sys
import threading
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, TypeVar

from py4j.protocol import Py4JError
from pyspark import AccumulatorParam, SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from jobs.batch.spark.cluster import check_master, is_local
from jobs.batch.spark.failure import raise_of_start, raise_of_task
from jobs.batch.spark.shipment import ship
from scoretrail.errors import ConfigurationError, ScoretrailError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from jobs.progress import Progress
    from scoretrail.config import SparkSettings

Item = TypeVar("Item")
Result = TypeVar("Result")

_POLL_S: Final = 0.25
_LOCAL: Final = re.compile(r"local(?:\[(?P<cores>\*|\d+)\])?")
_QUICK_JAVA: Final = "-XX:TieredStopAtLevel=1"
"""The JVM only schedules; without its optimising compiler a session starts with 5.3 s of CPU in place of 9.7."""
_TASK_FAILURES: Final = 4
"""Spark's own default on a cluster; a local master would give up at the first lost worker."""


def run(
    context: SparkContext,
    name: str,
    splits: Sequence[Sequence[Item]],
    function: Callable[[Iterator[Item], Any], Iterator[Result | ScoretrailError]],
    shared: Any,  # noqa: ANN401
    rows_of: Callable[[Result], int],
    progress: Progress,
) -> list[Result]:
    """Return what ``function`` yields over all splits; see :meth:`jobs.batch.spark.engine.SparkEngine.run`.

    Raises:
        ScoretrailError: what a task yielded.
        RetryLaterError: Spark gave up on a task.
        DependencyError: an executor's Python is missing, of another version or without a library.
    """
    broadcast = context.broadcast(shared)
    rows = context.accumulator(0)
    failures: Any = context.accumulator([], _ListParam())

    def task(items: Iterable[tuple[Item, ...]]) -> Iterator[Result | ScoretrailError]:
        for split in items:
            for result in function(iter(split), broadcast.value):
                if isinstance(result, ScoretrailError):
                    failures.add([result])
                else:
                    rows.add(rows_of(result))
                yield result
        _keep_loaded(function.__qualname__)

    group = f"scoretrail-{id(broadcast):x}"
    context.setJobGroup(group, f"{name}: {function.__name__.strip('_')}")
    with _watched(context, group, rows, failures, progress):
        try:
            results = context.parallelize([tuple(split) for split in splits], len(splits)).mapPartitions(task).collect()
        except (Py4JError, PySparkException) as error:
            if failures.value:
                raise failures.value[0] from None
            raise_of_task(error)
        finally:
            broadcast.unpersist()
    failed = [result for result in results if isinstance(result, ScoretrailError)]
    if failed:
        raise failed[0]
    return results  # type: ignore[return-value]


@functools.cache
def _keep_loaded(task: str) -> None:
    """Leave what a task loaded out of garbage collections, once: Spark makes one after each task, 30 ms for nothing."""
    del task
    gc.collect()
    gc.freeze()


class _ListParam(AccumulatorParam[list[Any]]):
    """Adds up lists."""

    def zero(self, value: list[Any]) -> list[Any]:
        """Return an empty list."""
        del value
        return []

    def addInPlace(self, value1: list[Any], value2: list[Any]) -> list[Any]:  # noqa: N802  (pyspark's name)
        """Append."""
        value1.extend(value2)
        return value1


@contextlib.contextmanager
def _watched(
    context: SparkContext,
    group: str,
    rows: Any,  # noqa: ANN401  (pyspark's accumulators)
    failures: Any,  # noqa: ANN401
    progress: Progress,
) -> Iterator[None]:
    """Tell progress what Spark's status says, and cancel the job group at the first failure no retry will mend."""
    done = threading.Event()
    tracker = context.statusTracker()

    def tell() -> None:
        with contextlib.suppress(Exception):  # a status that cannot be had is no reason to stop the work
            jobs = map(tracker.getJobInfo, tracker.getJobIdsForGroup(group))
            stages = [tracker.getStageInfo(stage) for job in jobs if job is not None for stage in job.stageIds]
            progress.update(rows.value, sum(stage.numCompletedTasks for stage in stages if stage))

    def watch() -> None:
        while not done.wait(_POLL_S):
            tell()
            if failures.value:
                context.cancelJobGroup(group)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        tell()


def start(settings: SparkSettings, name: str) -> SparkSession:
    """Return a session whose executors can import what the driver runs.

    Raises:
        DependencyError: Java is missing, or not one that Spark runs on.
        ConfigurationError: a property, or a file to be shipped, that Spark refuses; or this process has a session on
            another master.
        EngineError: Spark cannot start, or its master does not answer.
    """
    os.environ.setdefault("PYSPARK_PYTHON", settings.conf.get("spark.pyspark.python", sys.executable))
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ  # then spark-submit chose the master
    master = _submitted_master() if submitted else settings.master
    _check_own_session(master)
    check_master(master)
    builder = SparkSession.builder.appName(name)
    with resources.as_file(resources.files("jobs.batch.spark") / "log4j2.properties") as logging:
        for key, value in _properties(settings, str(logging), submitted=submitted).items():
            builder = builder.config(key, value)
        try:
            session = builder.getOrCreate()
        except Exception as error:  # noqa: BLE001  (Spark's, Java's and py4j's have no common name)
            raise_of_start(error, master)
    session.sparkContext.setLogLevel("ERROR")
    ship(session.sparkContext)
    return session


def _submitted_master() -> str:
    """Return the master that spark-submit chose."""
    SparkContext._ensure_initialized()  # noqa: SLF001  (without the gateway a configuration knows nothing of it)
    return str(SparkConf().get("spark.master"))


def _check_own_session(master: str) -> None:
    """Refuse a cluster where this process has a session elsewhere: Spark would hand that one out without a word.

    Raises:
        ConfigurationError: it has one.
    """
    active = SparkContext._active_spark_context  # noqa: SLF001  (a session is its thread's own, the context everyone's)
    if active is not None and not is_local(master) and active.master != master:
        raise ConfigurationError(
            "this process has a Spark session on another master",
            where=active.master,
            expected=master,
            fix="stop that session first, or leave spark.master at its default to use it",
        )


def _properties(settings: SparkSettings, logging: str, *, submitted: bool) -> Mapping[str, str]:
    properties = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.python.worker.reuse": "true",
        # An empty task takes 27 ms through these, and 57 through TCP.
        "spark.python.unix.domain.socket.enabled": "true",
        "spark.task.maxFailures": str(_TASK_FAILURES),
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile=file:{logging} {_QUICK_JAVA}",
    }
    if not submitted:
        found = _LOCAL.fullmatch(settings.master)
        properties["spark.master"] = f"local[{found['cores'] or 1},{_TASK_FAILURES}]" if found else settings.master
        if found:
            properties |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return {**properties, **settings.conf}
