"""Where the scoring environment is: what the Airflow connection ``scoretrail`` says, checked before anything starts."""

from __future__ import annotations

import functools
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Connection

SCORETRAIL: Final = "scoretrail"
"""Id of the connection that names the scoring environment."""
SPARK: Final = "scoretrail_spark"
"""Id of the connection that names the Spark master."""
_LOOK_LIMIT_S: Final = 60
"""An interpreter on a network disk takes its time for the first start."""
_OURS_ALONE: Final = ("AIRFLOW", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")
"""Of a worker's environment, what must not reach another interpreter: paths, and the scheduler's secrets."""


def connection(conn_id: str) -> Connection:
    """Return a connection.

    Raises:
        AirflowFailException: there is none; a retry would not find it either.
    """
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise AirflowFailException(
            f"the connection {conn_id!r} is not defined\n"
            "  what to do: add it, as docs/how-to/schedule-with-airflow.md says, and clear this task"
        ) from error


@dataclass(frozen=True)
class ScoringEnvironment:
    """The environment that scores, an interpreter with Spark and Scoretrail of its own."""

    home: Path
    """Where commands start: relative paths, ``conf/`` and feature code are found from here."""
    root: Path
    """The virtual environment."""
    given: Mapping[str, str]
    """Variables for its programs, over those of the worker."""
    wheel: str | None
    """Sent to executors that have the libraries and no Scoretrail."""

    @classmethod
    def load(cls, conn_id: str = SCORETRAIL) -> Self:
        """Return what a connection names.

        Raises:
            AirflowFailException: there is no such connection, or nothing to run where it points.
        """
        extra = connection(conn_id).extra_dejson
        lacking = [key for key in ("home", "environment") if not extra.get(key)]
        if lacking:
            raise AirflowFailException(
                f"the connection {conn_id!r} does not say where Scoretrail is\n"
                f"  expected: an extra with home and environment\n  got: no {', '.join(lacking)}"
            )
        given = {str(name): str(value) for name, value in (extra.get("variables") or {}).items()}
        found = cls(Path(extra["home"]), Path(extra["environment"]), given, extra.get("wheel"))
        for path, what in ((found.home, "home"), (found.program, "environment")):
            if not path.exists():
                raise AirflowFailException(
                    f"the scoring environment is missing\n  where: {path}\n"
                    f"  expected: the {what} that the connection {conn_id!r} names, on every worker\n"
                    "  what to do: install it there (`make setup` in a checkout), or correct the connection"
                )
        return found

    @property
    def program(self) -> Path:
        """The console script."""
        return self.root / "bin" / "scoretrail"

    @functools.cached_property
    def application(self) -> Path:
        """The file that is given to ``spark-submit``.

        Raises:
            AirflowFailException: it is not there.
        """
        return self._module("jobs.submit")

    @functools.cached_property
    def spark_home(self) -> Path:
        """The environment's Spark.

        Raises:
            AirflowFailException: it is not there.
        """
        return self._module("pyspark").parent

    def place(self, path: str) -> str:
        """Return a path as it is found from ``home``; a URI stays as it is."""
        return path if "://" in path else str(self.home / path)

    def variables(self) -> dict[str, str]:
        """Return the whole environment of a command."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS_ALONE)}
        return {**kept, "PATH": f"{self.root / 'bin'}:{os.environ.get('PATH', os.defpath)}", **self.given}

    def spark_variables(self) -> dict[str, str]:
        """Return what differs for ``spark-submit``, which inherits the worker's environment.

        A folder with the right ``spark-submit`` comes first on PATH: the provider allows its bare name only.
        """
        python = str(self.root / "bin" / "python")
        hidden = {name: "" for name in ("PYTHONHOME", "PYTHONPATH") if name in os.environ}
        return {
            **hidden,
            "PATH": f"{self.spark_home / 'bin'}:{self.root / 'bin'}:{os.environ.get('PATH', os.defpath)}",
            "SPARK_HOME": str(self.spark_home),
            "PYSPARK_PYTHON": python,
            "PYSPARK_DRIVER_PYTHON": python,
            **self.given,
        }

    def _module(self, name: str) -> Path:
        """Return where the environment's interpreter finds a module, without importing it.

        Raises:
            AirflowFailException: it does not.
        """
        find = f"import importlib.util as u; found = u.find_spec({name!r}); print(found.origin if found else '')"
        command = [str(self.root / "bin" / "python"), "-I", "-c", find]
        told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LOOK_LIMIT_S)
        path = Path(told.stdout.strip() or "-")
        if told.returncode or not path.is_file():
            raise AirflowFailException(
                f"the scoring environment has no {name}\n  where: {self.root}\n  got: {told.stderr.strip()[-300:]}\n"
                "  what to do: install scoretrail[batch] there"
            )
        return path
