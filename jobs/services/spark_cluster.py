"""A Spark standalone cluster on 127.0.0.1, a master and a worker, which end with this process."""

from __future__ import annotations

import importlib.util
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobs.services.launch import launch
from jobs.services.process import Process, descendants
from scoretrail.errors import DependencyError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Sequence

_HOST: Final = "127.0.0.1"
_LIMIT_S: Final = 90.0
"""Two JVMs start in 5 s alone, and in many times that on a busy machine."""
_END_LIMIT_S: Final = 10.0
_POLL_S: Final = 0.1
_DEPLOY: Final = "org.apache.spark.deploy"


@dataclass(kw_only=True)
class SparkCluster:
    """Where the cluster runs, and how much of the machine it gives to executors."""

    folder: Path
    java_home: Path
    cores: int = 2
    memory: str = "2g"
    _running: list[Process] = field(default_factory=list)

    def start(self) -> str:
        """Start the master and the worker; return the master's address.

        Raises:
            DependencyError: Spark is not installed.
            ServiceError: one of them ended, or is not ready within the limit.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._launch("master", ["master.Master", "--host", _HOST, "--port", "0", "--webui-port", "0"])
            url = self._await("master", r"Starting Spark master at (spark://\S+)")
            room = ["--cores", str(self.cores), "--memory", self.memory, "--work-dir", str(self.folder / "work")]
            self._launch("worker", ["worker.Worker", "--host", _HOST, "--port", "0", "--webui-port", "0", *room, url])
            self._await("worker", r"(Successfully registered) with master")
        except BaseException:
            self.stop()
            raise
        return url

    def stop(self) -> None:
        """End both, and the executors."""
        everyone = [one for process in self._running for one in descendants(process)]
        for process in reversed(self._running):
            process.end(_END_LIMIT_S)
        for one in everyone:
            one.kill()
        self._running.clear()

    def _launch(self, name: str, arguments: Sequence[str]) -> None:
        spark = importlib.util.find_spec("pyspark")
        if spark is None or spark.origin is None:
            raise DependencyError("Spark is not installed", fix="pip install 'scoretrail[batch]'")
        home = Path(spark.origin).parent
        environment = {
            **os.environ,
            "JAVA_HOME": str(self.java_home),
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_IP": _HOST,
            "SPARK_DAEMON_MEMORY": "256m",
        }
        self._log(name).unlink(missing_ok=True)
        command = [str(home / "bin" / "spark-class"), f"{_DEPLOY}.{arguments[0]}", *arguments[1:]]
        self._running.append(launch(command, log=self._log(name), environment=environment, tied=True))

    def _await(self, name: str, pattern: str) -> str:
        """Return what a pattern finds in a log, once it is there.

        Raises:
            ServiceError: the program ended before, or the limit is over.
        """
        end = time.monotonic() + _LIMIT_S
        while True:
            found = re.search(pattern, self._log(name).read_text(encoding="utf-8", errors="replace"))
            if found is not None:
                return found[1]
            if not self._running[-1].is_running() or time.monotonic() > end:
                raise ServiceError(f"Spark's {name} does not start", where=str(self._log(name)))
            time.sleep(_POLL_S)

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"
