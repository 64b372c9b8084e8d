"""The Spark session, and tasks that are spread over it; the only module of a batch run that imports pyspark."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from py4j.protocol import Py4JError
from pyspark import AccumulatorParam
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from scoretrail import errors
from scoretrail.errors import DependencyError, EngineError, RetryLaterError, ScoretrailError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pyspark import SparkContext

    from jobs.progress import Progress
    from scoretrail.config import SparkSettings

Item = TypeVar("Item")
Result = TypeVar("Result")

_POLL_S: Final = 0.25
_LOCAL: Final = re.compile(r"local(?:\[(?P<cores>\*|\d+)\])?")
_TASK_FAILURES: Final = 4
"""Spark's own default on a cluster; a local master would give up at the first lost worker."""
_WORKER_ERROR: Final = re.compile(r"scoretrail\.errors\.(?P<name>\w+): (?P<text>.+?)(?:\n\n|\n\tat |\Z)", re.DOTALL)


def run(
    context: SparkContext,
    name: str,
    splits: Sequence[Sequence[Item]],
    function: Callable[[Iterator[Item], Any], Iterator[Result | ScoretrailError]],
    shared: Any,  # noqa: ANN401
    rows_of: Callable[[Result], int],
    progress: Progress,
) -> list[Result]:
    """Return what ``function`` yields over all splits; see :meth:`jobs.batch.engine.SparkEngine.run`.

    Raises:
        ScoretrailError: what a task yielded.
        RetryLaterError: Spark gave up on a task.
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

    group = f"scoretrail-{id(broadcast):x}"
    context.setJobGroup(group, name)
    with _watched(context, group, rows, failures, progress):
        try:
            results = context.parallelize([tuple(split) for split in splits], len(splits)).mapPartitions(task).collect()
        except (Py4JError, PySparkException) as error:
            if failures.value:
                raise failures.value[0] from None
            _raise_translated(error)
        finally:
            broadcast.unpersist()
    failed = [result for result in results if isinstance(result, ScoretrailError)]
    if failed:
        raise failed[0]
    return results  # type: ignore[return-value]


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

    def watch() -> None:
        tracker = context.statusTracker()
        while not done.wait(_POLL_S):
            with contextlib.suppress(Exception):  # a status that cannot be had is no reason to stop the work
                stages = [
                    tracker.getStageInfo(stage)
                    for job in map(tracker.getJobInfo, tracker.getJobIdsForGroup(group))
                    if job is not None
                    for stage in job.stageIds
                ]
                progress.update(rows.value, sum(stage.numCompletedTasks for stage in stages if stage))
                if failures.value:
                    context.cancelJobGroup(group)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        with contextlib.suppress(Exception):
            progress.update(rows.value, 0)


def start(settings: SparkSettings, name: str) -> SparkSession:
    """Return a session.

    Raises:
        DependencyError: Java is missing, or not one that Spark runs on.
        EngineError: Spark cannot start.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(name)
    for key, value in _properties(settings).items():
        builder = builder.config(key, value)
    try:
        session = builder.getOrCreate()
    except Exception as error:
        if "JAVA_GATEWAY" in str(error) or isinstance(error, FileNotFoundError):
            raise DependencyError(
                "Spark cannot start: Java is missing or of another version",
                expected="Java 17 or 21 as JAVA_HOME or on PATH",
                got=str(error).splitlines()[0],
                fix="sudo apt-get install -y openjdk-17-jre-headless",
            ) from error
        raise EngineError("Spark cannot start", where=settings.master, got=_cause(str(error))) from error
    session.sparkContext.setLogLevel("ERROR")
    return session


def _properties(settings: SparkSettings) -> Mapping[str, str]:
    logging = Path(__file__).with_name("log4j2.properties")
    properties = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.python.worker.reuse": "true",
        "spark.task.maxFailures": str(_TASK_FAILURES),
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile=file:{logging}",
    }
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # else spark-submit chose the master
        found = _LOCAL.fullmatch(settings.master)
        properties["spark.master"] = f"local[{found['cores'] or 1},{_TASK_FAILURES}]" if found else settings.master
        if found:
            properties |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return {**properties, **settings.conf}


def _raise_translated(error: Exception) -> NoReturn:
    """Raise our error for what Spark reports of a task that failed too often.

    Raises:
        RetryLaterError: always.
        EngineError: Spark does not say which of ours.
    """
    text = str(error)
    found = _WORKER_ERROR.search(text)
    cls = getattr(errors, found["name"], EngineError) if found else EngineError
    if found and issubclass(cls, RetryLaterError):
        raise cls(found["text"].strip()) from error
    raise EngineError(
        "Spark gave up on a task",
        got=_cause(text),
        fix="run the same command again: it goes on where this run stopped",
    ) from error


def _cause(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "Error" in line or "Exception" in line or "Reason" in line]
    return (telling or lines or ["no words"])[0][:400]
