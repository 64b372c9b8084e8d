"""Starts our programs as an operator would: by spark-submit, or by the console script; against any master."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from tests.integration.cluster.history import History
from tests.integration.cluster.standalone import HOSTS, ROOT, SHORT_LIFE, SPARK_HOME

#: With these two a run's rows depend on nothing but the data and the model: tables can be compared whole.
RUN_ID = "20131202T000000-0badcafe"
CLOCK = "2013-12-02T00:00:00Z"
_LIMIT_S = 300


@dataclass(frozen=True)
class Outcome:
    """What a program left behind."""

    code: int
    result: dict[str, Any]
    """The one JSON object on standard output; of an error its parts."""
    said: str
    """Standard error."""


class Program:
    """A program that runs while the test does something else."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self._out, self._err = folder / "out.txt", folder / "err.txt"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                command,
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def outcome(self, limit_s: float = _LIMIT_S) -> Outcome:
        """Wait for the end, and return it."""
        try:
            code = self._process.wait(limit_s)
        finally:
            self.end()
        lines = self._out.read_text().splitlines()
        return Outcome(code, json.loads(lines[-1]) if lines else {}, self._err.read_text())

    def end(self) -> None:
        """End it, and what it started, if it still runs."""
        if self.is_running:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@dataclass(frozen=True)
class Launcher:
    """One place for one test: its programs, their table, and what Spark says of them."""

    folder: Path
    java: str
    master: str
    registry: Path
    model: str
    input: Path
    python: Path
    """The executors' Python: every library, nothing of ours."""
    wheel: Path
    programs: list[Program] = field(default_factory=list)

    def end(self) -> None:
        """End what still runs: a test that fails does not wait for its program."""
        for program in self.programs:
            program.end()

    @property
    def table(self) -> str:
        return str(self.folder / "table")

    def submit(self, *arguments: str, **properties: str) -> Program:
        """Score by spark-submit; neither the driver nor the executors have Scoretrail but for the wheel."""
        command = [str(SPARK_HOME / "bin" / "spark-submit"), "--master", self.master, "--py-files", str(self.wheel)]
        for name, value in self._properties(properties).items():
            command += ["--conf", f"{name}={value}"]
        command += [str(ROOT / "jobs" / "submit.py"), *self._score(), *arguments]
        return self._start(command)

    def score(self, *arguments: str, **properties: str) -> Program:
        """Score by the console script of this environment."""
        settings = [f"--set=spark.conf.{name}={value}" for name, value in self._properties(properties).items()]
        return self.command(*self._score(), "--master", self.master, *settings, *arguments)

    def command(self, *arguments: str) -> Program:
        """Run any command of the console script."""
        script = Path(sys.executable).with_name("scoretrail")
        return self._start([str(script), *arguments])

    def program(self, file: Path, *arguments: str, **properties: str) -> Program:
        """Run a Python program of ours; its first argument is JSON with the place and Spark's properties."""
        place = {
            "master": self.master,
            "registry": str(self.registry),
            "model": self.model,
            "input": str(self.input),
            "table": self.table,
            "conf": self._properties(properties),
        }
        return self._start([sys.executable, str(file), json.dumps(place), *arguments])

    def history(self) -> History:
        """Return what Spark says of the only application that ran here."""
        (file,) = self._events.iterdir()
        return History(file)

    @property
    def has_rows(self) -> bool:
        """Whether any file was published."""
        return DeltaTable.is_deltatable(self.table) and bool(self.live_paths())

    def rows(self, suffix: str = "") -> pa.Table:
        """Return every row of the table, or of ``_rejects``, by the place it came from."""
        table = DeltaTable(self.table + suffix).to_pyarrow_table()
        return table.sort_by([("source_path", "ascending"), ("source_row", "ascending")]).combine_chunks()

    def live_paths(self) -> set[str]:
        """Return the files that readers of the table see."""
        return set(DeltaTable(self.table).file_uris())

    def record(self, run_id: str = RUN_ID) -> dict[str, Any]:
        """Return ``run.json``."""
        found: dict[str, Any] = json.loads((Path(self.table) / "_scoretrail" / run_id / "run.json").read_bytes())
        return found

    @property
    def _events(self) -> Path:
        return self.folder / "events"

    def _score(self) -> list[str]:
        return [
            *("batch", "score", "--json", "--model", self.model, "--input", str(self.input), "--output", self.table),
            *("--run-id", RUN_ID, f"--set=registry.uri={self.registry}", f"--set=clock.fixed_at={CLOCK}"),
        ]

    def _properties(self, more: Mapping[str, str]) -> dict[str, str]:
        self._events.mkdir(exist_ok=True)
        cluster = {
            "spark.executor.memory": "512m",
            # Work begins when both executors are there, so that both get some of it.
            "spark.cores.max": str(len(HOSTS)),
            "spark.scheduler.minRegisteredResourcesRatio": "1.0",
            "spark.scheduler.maxRegisteredResourcesWaitingTime": "120s",
        }
        chosen = cluster if self.master.startswith("spark://") else {}
        return {**chosen, **History.properties(self._events), **{f"spark.{key}": value for key, value in more.items()}}

    def _start(self, command: Sequence[str]) -> Program:
        environment = {
            **os.environ,
            "JAVA_HOME": self.java,
            "JAVA_TOOL_OPTIONS": SHORT_LIFE,
            "PYSPARK_PYTHON": str(self.python),
            "SPARK_LOCAL_IP": "127.0.0.1",
        }
        self.programs.append(Program(command, environment, self.folder))
        return self.programs[-1]
