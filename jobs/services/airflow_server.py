"""One Airflow on 127.0.0.1, of the control environment: its parts start together and end with all they started."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import json
import os
import secrets
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jobs.services.launch import launch
from jobs.services.process import Process, descendants
from scoretrail.errors import DependencyError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping

USER: Final = "admin"
PARTS: Final = ("api-server", "scheduler", "dag-processor", "triggerer")
_HOST: Final = "127.0.0.1"
_PASSWORDS: Final = "passwords.json"
_MIGRATION_LIMIT_S: Final = 180
"""It takes 7 s alone."""
_CALL_LIMIT_S: Final = 30
_END_LIMIT_S: Final = 15.0
_POLL_S: Final = 0.2


@dataclass(kw_only=True)
class AirflowServer:
    """How Airflow runs for one person at one machine: SQLite, the local executor, one user with a made-up password."""

    folder: Path
    """``AIRFLOW_HOME``."""
    control: Path
    """The control environment."""
    dags: Path
    plugins: Path
    port: int
    parts: tuple[str, ...] = PARTS
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further environment variables, over ours."""
    _running: list[Process] = field(default_factory=list)
    _token: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        """Where the UI is."""
        return f"http://{_HOST}:{self.port}"

    @property
    def program(self) -> Path:
        """Airflow's command line.

        Raises:
            DependencyError: the control environment is not there.
        """
        program = self.control / "bin" / "airflow"
        if not program.exists():
            raise DependencyError("Airflow is not installed", where=str(self.control), fix="make setup-control")
        return program

    @property
    def password(self) -> str:
        """Of the one user."""
        return self._secrets["password"]

    @functools.cached_property
    def _secrets(self) -> dict[str, str]:
        """Made when they are first asked for, and kept: left to themselves, the parts each make keys of their own."""
        file = self.folder / "secrets.json"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            made = {name: secrets.token_urlsafe(32) for name in ("jwt", "api")}
            made |= {"password": secrets.token_urlsafe(12)}
            made |= {"fernet": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}
            _write_secret(file, made)
        found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        return found

    def environment(self) -> dict[str, str]:
        """Return the environment of everything that is Airflow's."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
        return {
            **kept,
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.plugins),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.address}/execution/",
            "AIRFLOW__CORE__FERNET_KEY": self._secrets["fernet"],
            "AIRFLOW__API__SECRET_KEY": self._secrets["api"],
            "AIRFLOW__API_AUTH__JWT_SECRET": self._secrets["jwt"],
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.folder / _PASSWORDS),
            "AIRFLOW__API__HOST": _HOST,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.address,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **self.settings,
        }

    def migrate(self) -> None:
        """Make the database, unless it is there.

        Raises:
            ServiceError: that failed.
        """
        if not (self.folder / "airflow.db").exists():
            self.run("db", "migrate")

    def run(self, *arguments: str) -> str:
        """Run Airflow's command line to its end; return what it printed.

        Raises:
            ServiceError: it failed.
        """
        done = subprocess.run(
            [str(self.program), *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=_MIGRATION_LIMIT_S,
        )
        if done.returncode:
            raise ServiceError(f"airflow {' '.join(arguments[:2])} failed", got=(done.stdout + done.stderr)[-2000:])
        return done.stdout

    def start(self, limit_s: float = 120) -> None:
        """Start all parts, and return once the API answers and the scheduler and the DAG processor do their work.

        Raises:
            ServiceError: one ended, or they do not answer within the limit; all are ended.
        """
        self.migrate()
        _write_secret(self.folder / _PASSWORDS, {USER: self.password})
        for part in self.parts:
            command = [str(self.program), part]
            self._running.append(launch(command, log=self._log(part), environment=self.environment(), tied=True))
        end = time.monotonic() + limit_s
        try:
            while not self.answers():
                self._check(is_over=time.monotonic() > end)
                time.sleep(_POLL_S)
        except BaseException:
            self.stop()
            raise

    def answers(self) -> bool:
        """Tell whether all parts do their work."""
        try:
            health = self._ask("GET", "/api/v2/monitor/health", None, {})
        except (OSError, http.client.HTTPException, ServiceError):
            return False
        return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))

    def call(self, method: str, path: str, body: Any = None) -> Any:  # noqa: ANN401  (JSON)
        """Call the REST API as the one user; return its answer.

        Raises:
            ServiceError: it refused.
        """
        if not self._token:
            told = self._ask("POST", "/auth/token", {"username": USER, "password": self.password}, {})
            self._token = told["access_token"]
        return self._ask(method, path, body, {"Authorization": f"Bearer {self._token}"})

    def stop(self) -> None:
        """End all parts, and whatever they started."""
        everyone = [one for part in self._running for one in (*descendants(part), part)]
        for part in self._running:
            part.send(signal.SIGTERM)
        end = time.monotonic() + _END_LIMIT_S
        for part in self._running:
            part.wait(max(0.0, end - time.monotonic()))
        for one in everyone:
            one.send(signal.SIGKILL)
        self._running.clear()

    def _log(self, part: str) -> Path:
        return self.folder / f"{part}.log"

    def _check(self, *, is_over: bool) -> None:
        for part, process in zip(self.parts, self._running, strict=True):
            if not process.is_running():
                raise ServiceError(f"Airflow's {part} ended", where=str(self._log(part)))
        if is_over:
            raise ServiceError("Airflow does not answer", where=str(self.folder), fix="read the logs there")

    def _ask(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:  # noqa: ANN401  (JSON)
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=_CALL_LIMIT_S)
        with contextlib.closing(connection):
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        if answer.status >= http.client.BAD_REQUEST:
            raise ServiceError(f"{method} {path}: {answer.status}", got=text[:2000])
        return json.loads(text) if text else None


def _write_secret(file: Path, values: Mapping[str, str]) -> None:
    file.touch(mode=0o600)
    file.write_text(json.dumps(values) + "\n", encoding="utf-8")
