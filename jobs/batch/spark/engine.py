"""Spark as a scheduler that starts when it is first needed: a run with nothing to score never loads it."""

from __future__ import annotations

import os
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeVar

from jobs.batch.spark.cluster import await_executors, is_local

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pyspark.sql import SparkSession

    from jobs.progress import Progress
    from scoretrail.config import SparkSettings
    from scoretrail.errors import ScoretrailError

Item = TypeVar("Item")
Result = TypeVar("Result")


class SparkEngine:
    """Runs functions over items on Spark."""

    def __init__(self, settings: SparkSettings, name: str) -> None:
        """Remember how to start; nothing starts yet.

        Args:
            settings: master and properties.
            name: the application's name.
        """
        self._settings = settings
        self._name = name
        self._session: SparkSession | None = None
        self._has_settled = False

    @property
    def is_local(self) -> bool:
        """Whether tasks run on this machine, which then may as well do small things itself."""
        return is_local(self._settings.master) and "PYSPARK_GATEWAY_PORT" not in os.environ

    @property
    def has_started(self) -> bool:
        """Whether there is a session."""
        return self._session is not None

    def session(self) -> SparkSession:
        """Return the session, starting it at the first call.

        Raises:
            DependencyError: Java is missing, or not one that Spark runs on.
            EngineError: Spark cannot start, or its master does not answer.
        """
        if self._session is None:
            from jobs.batch.spark import session  # noqa: PLC0415

            self._session = session.start(self._settings, self._name)
        return self._session

    def parallelism(self) -> int:
        """Return how many tasks run at once; on a cluster, once its executors are there."""
        context = self.session().sparkContext
        if not self._has_settled and not is_local(str(context.master)):
            await_executors(context)
        self._has_settled = True
        return int(context.defaultParallelism)

    def spark_version(self) -> str:
        """Return Spark's version."""
        return metadata.version("pyspark")

    def stop(self) -> None:
        """End the session, if there is one."""
        if self._session is not None:
            self._session.stop()
            self._session = None
            self._has_settled = False

    def run(
        self,
        splits: Sequence[Sequence[Item]],
        function: Callable[[Iterator[Item], Any], Iterator[Result | ScoretrailError]],
        shared: Any,  # noqa: ANN401  (whatever the function takes)
        rows_of: Callable[[Result], int],
        progress: Progress,
    ) -> list[Result]:
        """Return what ``function`` yields over the items of all splits, one task per split, in no order.

        Args:
            splits: the items of each task.
            function: takes a split's items and ``shared``; an error that it yields ends the run.
            shared: broadcast once to every executor.
            rows_of: how many rows a result stands for, for progress.
            progress: is told of tasks and rows as Spark reports them.

        Raises:
            ScoretrailError: what a task yielded.
            RetryLaterError: Spark gave up on a task.
        """
        from jobs.batch.spark import session  # noqa: PLC0415

        return session.run(self.session().sparkContext, self._name, splits, function, shared, rows_of, progress)
