"""Airflow with the DAGs and the demo's flights, on 127.0.0.1 until Ctrl-C: ``make airflow``.

It prepares what the demo prepares (the flights, the live model, December's features), starts a Spark standalone cluster
and Airflow, tells Airflow where all of this is, and prints the address, the user and the password.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from examples.flights.live import ARCHIVE, CODE, MODEL
from examples.flights.prepare import prepare
from examples.flights.register import LIVE_NAME, provenance, register_live
from examples.flights.stage import HOME
from examples.flights.stored import SETS, prepare_stored
from examples.flights.train import LIVE_VIEW_NAME, train_live
from examples.flights.truth import KNOWN_AT, OUTCOME, SEGMENTS, write_truth
from jobs.command.invocation import Invocation
from jobs.services.airflow_server import USER, AirflowServer
from jobs.services.java import find_java
from jobs.services.port import free_port, is_free
from jobs.services.spark_cluster import SparkCluster
from scoretrail.errors import ScoretrailError, ServiceError
from scoretrail.model.registry import CHAMPION

if TYPE_CHECKING:
    from collections.abc import Callable

    from examples.flights.stored import StoredFlights

PLACE: Final = Path(".scoretrail/airflow")
"""``AIRFLOW_HOME``, and the cluster's folder beside it."""
BUILT: Final = HOME / "built"
SCORES: Final = HOME / "scheduled"
TRUTH: Final = HOME / "truth"
PERFORMANCE: Final = HOME / "scheduled_labelled"
MARKER: Final = "_SUCCESS"
PORT: Final = 8080
"""Airflow's own, where it is free."""
USUAL_DAY, DRIFTING_DAY = "2013-12-04", "2013-12-24"
AWAKE: Final = ("score_daily", "backfill_scores")
"""They run when somebody asks for it; the others have a clock of their own, and December 2013 is over."""


def main() -> None:
    """Run until somebody interrupts it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends it so wants no program left, either
    invocation = Invocation()
    say: Callable[[str], None] = invocation.terminal.text
    try:
        _prepare(invocation, say)
        with contextlib.ExitStack() as running:
            cluster = SparkCluster(folder=PLACE.absolute() / "spark", java_home=find_java().parents[1])
            running.callback(cluster.stop)
            say("starting a Spark cluster")
            master = cluster.start()
            server = _server()
            running.callback(server.stop)
            say("starting Airflow; about a minute the first time")
            server.start()
            _configure(server, master)
            _greet(server, say)
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        say("\nstopped")
    except ScoretrailError as error:
        invocation.terminal.error(error)
        sys.exit(int(error.exit_code))


def _prepare(invocation: Invocation, say: Callable[[str], None]) -> None:
    prepared = prepare(HOME / "data", say)
    stored = prepare_stored(HOME / "stored", say)
    for day in sorted(stored.december.glob("ds=*")):
        (day / MARKER).touch()
    say(f"{write_truth(TRUTH):,} of December's flights have a known outcome")
    registry = invocation.registry
    if CHAMPION not in registry.aliases(LIVE_NAME):
        _build(stored, stored.training, BUILT / "training", say)
        candidate = train_live(prepared, BUILT / "training", CODE.read_bytes(), say)
        register_live(
            registry,
            candidate,
            clock=invocation.clock,
            budget=invocation.settings.registry.budget,
            origin=provenance(Path.cwd()),
            progress=say,
        )
    _build(stored, stored.december, BUILT / "december", say)


def _build(stored: StoredFlights, records: Path, output: Path, say: Callable[[str], None]) -> None:
    say(f"joining stored features to {records}")
    words = ["features", "build", "--view", f"{CODE}:{LIVE_VIEW_NAME}", "--records", str(records)]
    words += [word for name in SETS for word in ("--stored", f"{name}={stored.table(name)}")]
    done = subprocess.run([sys.executable, "-m", "jobs.cli", *words, "--output", str(output)], check=False)
    if done.returncode:
        raise ServiceError("the features were not built", where=str(output), fix="read what it said above")


def _server() -> AirflowServer:
    root = Path.cwd()
    return AirflowServer(
        folder=root / PLACE,
        control=root / ".venv-control",
        dags=root / "dags",
        plugins=root / "plugins",
        port=PORT if is_free(PORT) else free_port(),
        # Somebody is watching: a held day is looked at more often than in production.
        settings={"AIRFLOW__SCORETRAIL__POKE_INTERVAL": "10", "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "30"},
    )


def _configure(server: AirflowServer, master: str) -> None:
    """Tell Airflow where everything is; what a person changed since in the UI is set again."""
    variables = {"JAVA_HOME": str(find_java().parents[1]), "SPARK_LOCAL_IP": "127.0.0.1"}
    extra = {"home": str(Path.cwd()), "environment": sys.prefix, "variables": variables}
    _put(server, "connections", "connection_id", "scoretrail", {"conn_type": "generic", "extra": json.dumps(extra)})
    _put(server, "connections", "connection_id", "scoretrail_spark", {"conn_type": "spark", "host": master})
    deployment = {
        "model": MODEL,
        "view": f"{CODE}:{LIVE_VIEW_NAME}",
        "records": str(HOME / "stored" / "records" / "december"),
        "stored": {name: str(HOME / "stored" / "tables" / name) for name in SETS},
        "features": str(BUILT / "december"),
        "scores": str(SCORES),
        "predictions": ARCHIVE,
        "outcomes": str(TRUTH),
        "label": OUTCOME,
        "known_at": KNOWN_AT,
        "segments": list(SEGMENTS),
        "performance": str(PERFORMANCE),
    }
    _put(server, "variables", "key", "scoretrail", {"value": json.dumps(deployment, indent=2)})
    _put(server, "pools", "name", "scoretrail_spark", {"slots": 1})
    for dag in AWAKE:
        server.call("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})


def _put(server: AirflowServer, kind: str, key: str, name: str, fields: dict[str, Any]) -> None:
    """Make a connection, variable or pool, in the place of one that is there."""
    with contextlib.suppress(ServiceError):
        server.call("DELETE", f"/api/v2/{kind}/{name}")
    server.call("POST", f"/api/v2/{kind}", {key: name, **fields})


def _greet(server: AirflowServer, say: Callable[[str], None]) -> None:
    say(f"""
Airflow runs at {server.address}
  user      {USER}
  password  {server.password}

Try: Dags > score_daily > Trigger, with the day {USUAL_DAY}: it is published.
     The day {DRIFTING_DAY} drifts and is held: the task `released` waits, and its log has the command that releases it.
     Then unpause join_labels and trigger it with the same day: how good its scores were.
     Links to the run's record and to the drift report are under Details of the tasks `score` and `report`.

Logs and database: {server.folder}. Ctrl-C stops Airflow, Spark and what they started.""")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
