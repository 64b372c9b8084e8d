"""An Airflow whose scheduler runs: triggered and watched by its REST API, as its UI does."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.integration.airflow.place import Place
from tests.integration.cluster.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FINISHED = {"success", "failed"}
#: Each look is a call of the API server, which shares the machine with what is looked for.
_POLL_S = 0.5


@dataclass
class Live(Place):
    """A running Airflow, its connections in its database."""

    told: list[str] = field(default_factory=list)
    """What the web hook got."""

    def configure(self, spark: str, hook: str) -> None:
        """Define connections, the variable and the pool; wake the DAGs that a test runs."""
        self.connect("scoretrail", extra=json.dumps(self.connection()))
        self.connect("scoretrail_spark", conn_type="spark", host=spark)
        self.connect("scoretrail_alerts", conn_type="http", host=hook)
        variable = json.dumps(self.week.variable(self.scores, **self.changes))
        self.server.call("POST", "/api/v2/variables", {"key": "scoretrail", "value": variable})
        self.server.call("POST", "/api/v2/pools", {"name": "scoretrail_spark", "slots": 1})
        wait_for(lambda: self.server.call("GET", "/api/v2/dags")["total_entries"] == 6, "six DAGs", poll_s=_POLL_S)
        for dag in ("build_features", "score_daily", "backfill_scores"):
            self.server.call("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})

    def connect(self, name: str, conn_type: str = "generic", **fields: str) -> None:
        """Define a connection, over one that is there."""
        self.disconnect(name)
        body = {"connection_id": name, "conn_type": conn_type, **fields}
        self.server.call("POST", "/api/v2/connections", body)

    def disconnect(self, name: str) -> None:
        """Remove a connection, if it is there."""
        known = {one["connection_id"] for one in self.server.call("GET", "/api/v2/connections")["connections"]}
        if name in known:
            self.server.call("DELETE", f"/api/v2/connections/{name}")

    def trigger(self, dag: str, partition: str | None = None, **params: Any) -> Run:
        """Start a DAG run, as the UI's button does."""
        body = {"logical_date": None, "conf": params, **({"partition_key": partition} if partition else {})}
        return Run(self, dag, self.server.call("POST", f"/api/v2/dags/{dag}/dagRuns", body)["dag_run_id"])

    def run_of(self, dag: str, kind: str) -> Run:
        """Return the first run of a kind that the scheduler made, once it is there."""

        def look() -> str | None:
            runs = self.server.call("GET", f"/api/v2/dags/{dag}/dagRuns?order_by=run_after")["dag_runs"]
            return next((one["dag_run_id"] for one in runs if one["run_type"] == kind), None)

        return Run(self, dag, wait_for(look, f"{kind} run of {dag}", poll_s=_POLL_S))

    def get(self, path: str, *, as_user: bool = True) -> tuple[int, Mapping[str, str], str]:
        """Ask for a page, as the browser of somebody who is logged in or not."""
        token = self.server.call("POST", "/auth/token", {"username": "admin", "password": self.server.password})
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            headers = {"Cookie": f"_token={token['access_token']}"} if as_user else {}
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode(errors="replace")
        finally:
            connection.close()

    def command(self, *arguments: str) -> str:
        """Run the console script as a person would; return what it printed."""
        program = Path(sys.executable).with_name("scoretrail")
        done = subprocess.run(
            [str(program), *arguments],
            cwd=self.week.folder,
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@dataclass(frozen=True)
class Run:
    """One DAG run."""

    live: Live
    dag: str
    run_id: str

    @property
    def path(self) -> str:
        return f"/api/v2/dags/{self.dag}/dagRuns/{quote(self.run_id, safe='')}"

    @property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = self.live.server.call("GET", self.path)
        return found

    def tasks(self) -> dict[str, str | None]:
        """Return the state of each task."""
        found = self.live.server.call("GET", f"{self.path}/taskInstances")["task_instances"]
        return {one["task_id"]: one["state"] for one in found}

    def tries(self, task: str) -> int:
        return int(self.live.server.call("GET", f"{self.path}/taskInstances/{task}")["try_number"])

    def wait(self, limit_s: float = 120) -> dict[str, str | None]:
        """Return the states of its tasks once it has ended."""
        wait_for(lambda: self.facts["state"] in FINISHED, f"end of {self.dag}: {self.tasks()}", limit_s, _POLL_S)
        return self.tasks()

    def wait_until(self, task: str, state: str, limit_s: float = 120) -> None:
        """Return once a task is in a state."""

        def look() -> bool:
            states = self.tasks()
            wrong = {name for name, one in states.items() if one in {"failed", "upstream_failed"}} - {task}
            assert not wrong, (states, self.log(next(iter(wrong))))
            return states[task] == state

        wait_for(look, f"{task} that is {state}", limit_s, _POLL_S)

    def value(self, task: str, key: str = "return_value") -> Any:
        """Return what a task handed on."""
        return self.live.server.call("GET", f"{self.path}/taskInstances/{task}/xcomEntries/{key}")["value"]

    def links(self, task: str) -> dict[str, str]:
        found: dict[str, str] = self.live.server.call("GET", f"{self.path}/taskInstances/{task}/links")["extra_links"]
        return found

    def log(self, task: str) -> str:
        """Return what a task said in all of its tries."""
        folder = self.live.server.folder / "logs" / f"dag_id={self.dag}" / f"run_id={self.run_id}" / f"task_id={task}"
        return "\n".join(path.read_text(errors="replace") for path in sorted(folder.glob("*.log"))).replace("\\n", "\n")

    def stop(self) -> None:
        """Mark it as failed, as a person does who gives up."""
        self.live.server.call("PATCH", self.path, {"state": "failed"})


@contextmanager
def web_hook(told: list[str]) -> Iterator[str]:
    """Serve an address that takes messages, and yield it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.append(json.loads(body)["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
