"""An Airflow that is used by its command line: its DAGs run as ``airflow dags test`` runs them."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from deltalake import DeltaTable

from jobs.batch.request import BatchRequest
from jobs.batch.run import BatchRun
from jobs.progress import SilentProgress
from scoretrail.config import load
from tests.factory.scheduled import MODEL
from tests.factory.workshop import InlineEngine

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.batch.spark.engine import SparkEngine
    from jobs.services.airflow_server import AirflowServer
    from tests.factory.scheduled import Scheduled

ROOT = Path(__file__).parents[3]
_LIMIT_S = 300


@dataclass
class Trial:
    """A ``dags test`` that runs, or has ended."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait(self, limit_s: float = _LIMIT_S) -> int:
        """Return its exit code."""
        try:
            return self.process.wait(limit_s)
        finally:
            self.end()

    def end(self) -> None:
        """End it, and what it started in its session."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass
class Place:
    """One home, one table of scores, and what is read back from both."""

    server: AirflowServer
    week: Scheduled
    scores: str
    variables: dict[str, str]
    """Of the connection ``scoretrail``."""
    settings: dict[str, str] = field(default_factory=dict)
    """Environment variables of Airflow."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Of the Airflow variable."""

    def begin(self, dag: str, *options: str, **params: Any) -> Trial:
        """Start ``airflow dags test``."""
        log = self.server.folder / f"{dag}-test.log"
        command = [str(self.server.program), "dags", "test", dag, "--conf", json.dumps(params), *options]
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
                env=self._environment(),
                start_new_session=True,
            )
        return Trial(process, log)

    def test(self, dag: str, **params: Any) -> Trial:
        """Run ``airflow dags test`` to its end, which is a good one."""
        tested = self.begin(dag, **params)
        assert tested.wait() == 0, tested.said[-6000:]
        return tested

    def states(self, dag: str) -> dict[str, str]:
        """Return the state of each task of a DAG's only run; of a mapped one with its index."""
        rows = self.ask("SELECT task_id, map_index, state FROM task_instance WHERE dag_id = ?", dag)
        return {task if index < 0 else f"{task}[{index}]": state for task, index, state in rows}

    def tries(self, dag: str, task: str) -> int:
        """Return how often a task was tried."""
        ((number,),) = self.ask("SELECT try_number FROM task_instance WHERE dag_id = ? AND task_id = ?", dag, task)
        return int(number)

    def events(self, asset: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the events of an asset: partition key and extra."""
        rows = self.ask(
            "SELECT e.partition_key, e.extra FROM asset_event e JOIN asset a ON a.id = e.asset_id WHERE a.name = ? "
            "ORDER BY e.id",
            asset,
        )
        return [(key, json.loads(extra)) for key, extra in rows]

    def ask(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """Read Airflow's database."""
        with closing(sqlite3.connect(f"file:{self.server.folder / 'airflow.db'}?mode=ro", uri=True)) as database:
            return database.execute(query, values).fetchall()

    def score_here(self, day: str) -> None:
        """Score a day in this process, without Spark: what a table held before."""
        values = {"registry.uri": str(self.week.registry)}
        resolved = load(values, folder=self.week.folder / "no-settings")
        asked = BatchRequest(
            model=MODEL, input=str(self.week.folder / "features"), output=self.scores, slices=(f"ds={day}",)
        )
        BatchRun(asked, resolved, cast("SparkEngine", InlineEngine()), SilentProgress()).score()

    def rows(self) -> pa.Table:
        """Return every published row."""
        return DeltaTable(self.scores).to_pyarrow_table()

    def keys(self) -> list[str]:
        """Return the entity key of every published row, sorted."""
        return sorted(self.rows()["parcel_id"].to_pylist())

    def version(self) -> int:
        """Return the table's version; -1 where there is no table."""
        return int(DeltaTable(self.scores).version()) if DeltaTable.is_deltatable(self.scores) else -1

    def connection(self) -> dict[str, Any]:
        """Return the extra of the connection ``scoretrail``."""
        return {"home": str(self.week.folder), "environment": sys.prefix, "variables": self.variables}

    def _environment(self) -> dict[str, str]:
        variable = self.week.variable(self.scores, **self.changes)
        return {
            **self.server.environment(),
            "AIRFLOW_CONN_SCORETRAIL": json.dumps({"conn_type": "generic", "extra": self.connection()}),
            "AIRFLOW_VAR_SCORETRAIL": json.dumps(variable),
            # A retry and a look come soon: their distances are the administrator's, not the DAGs'.
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
            "AIRFLOW__SCORETRAIL__POKE_INTERVAL": "1",
            "AIRFLOW__SCORETRAIL__DATA_TIMEOUT": "2",
            **self.settings,
        }
