"""A Spark standalone cluster on this machine: a master, and workers under names of their own, each a process."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.cluster.process import Process, descendants, wait_for

ROOT = Path(__file__).parents[3]
SITE = Path(sysconfig.get_paths()["purelib"])
SPARK_HOME = SITE / "pyspark"
#: Spark never starts a second copy of a task on the host name of the first, so one machine needs two names.
HOSTS = ("127.0.0.1", "localhost")
#: For every JVM: they live for seconds, so that what optimises a long life costs more than it brings.
SHORT_LIFE = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_READY_S = 120
_LEAVE_S = 20


def java_home() -> str | None:
    """Return the home of a Java that Spark runs on, or None."""
    found = subprocess.run(
        ["sh", str(ROOT / "scripts" / "java_home.sh")], capture_output=True, text=True, check=False, timeout=60
    )
    return found.stdout.strip() or None


def python_without_us(folder: Path) -> Path:
    """Make an environment with every library of this one, but without Scoretrail; return its Python.

    An editable install is a line in a ``.pth`` file, and its version lies in a ``.dist-info`` folder: both stay out.
    """
    venv.create(folder, symlinks=True, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    for entry in SITE.iterdir():
        if entry.suffix != ".pth" and not entry.name.startswith("scoretrail"):
            (site / entry.name).symlink_to(entry)
    return folder / "bin" / "python"


def build_wheel(folder: Path) -> Path:
    """Build our wheel as it is released; nothing is fetched."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    (wheel,) = folder.glob("scoretrail-*.whl")
    return wheel


@dataclass
class StandaloneCluster:
    """Starts and ends the processes; reads the master's own page to know what it knows."""

    folder: Path
    java: str
    hosts: tuple[str, ...] = HOSTS
    """Of the workers, one each."""
    url: str = ""
    _port: int = 0
    _master: subprocess.Popen[bytes] | None = None
    _workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self) -> None:
        """Return once all workers are registered."""
        self._master = self._launch("master", "master.Master", "127.0.0.1", "--host", "127.0.0.1")
        self.url = self._logged("master", r"Starting Spark master at (spark://\S+)")
        self._port = int(self._logged("master", r"'MasterUI' on port (\d+)"))
        for host in self.hosts:
            room = ["--cores", "1", "--memory", "1g", "--work-dir", str(self.folder / f"work-{host}")]
            self._workers[host] = self._launch(f"worker-{host}", "worker.Worker", host, "--host", host, *room, self.url)
        wait_for(lambda: self.alive_hosts() == sorted(self.hosts), "workers at the master", _READY_S)

    def alive_hosts(self) -> list[str]:
        """Return the hosts of the workers that the master believes in, sorted."""
        return sorted(worker["host"] for worker in self._page()["workers"] if worker["state"] == "ALIVE")

    def processes(self, host: str) -> list[Process]:
        """Return what runs below the worker of a host: executors, and their Python processes."""
        return descendants(self._workers[host].pid)

    def stop(self) -> None:
        """End every process that was started, and what those started."""
        started = [process for process in (*self._workers.values(), self._master) if process is not None]
        family = [one for process in started for one in descendants(process.pid)]
        for process in started:
            process.terminate()
        for process in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LEAVE_S)
            process.kill()
            process.wait()
        for one in family:
            one.send(signal.SIGKILL)

    def _launch(self, name: str, kind: str, host: str, *arguments: str) -> subprocess.Popen[bytes]:
        # Ports are the system's choice, and nobody but this machine can reach them.
        environment = {
            **os.environ,
            "JAVA_HOME": self.java,
            "JAVA_TOOL_OPTIONS": SHORT_LIFE,
            "SPARK_HOME": str(SPARK_HOME),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_HOSTNAME": host,
            "SPARK_DAEMON_MEMORY": "128m",
            "SPARK_DAEMON_JAVA_OPTS": "-Dspark.master.rest.enabled=false",
        }
        command = [str(SPARK_HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}", *arguments[:2]]
        command += ["--port", "0", "--webui-port", "0", *arguments[2:]]
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)

    def _logged(self, name: str, pattern: str) -> str:
        """Wait until a process says something in its log; return the part in brackets."""
        log = self.folder / f"{name}.log"
        return wait_for(lambda: re.search(pattern, log.read_text()), f"{pattern} in {log}", _READY_S)[1]

    def _page(self) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", "/json/")
            answer = connection.getresponse()
            # The port is open a moment before the page is there.
            page: dict[str, Any] = json.loads(answer.read()) if answer.status == http.client.OK else {"workers": []}
        finally:
            connection.close()
        return page
