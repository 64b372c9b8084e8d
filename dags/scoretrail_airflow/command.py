"""Runs a ``scoretrail`` command in the scoring environment, and returns the one JSON object that it prints."""

from __future__ import annotations

import json
import logging
import subprocess
import tempfile
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import BaseOperator

from scoretrail_airflow.environment import SCORETRAIL, ScoringEnvironment
from scoretrail_airflow.failure import failure_of
from scoretrail_airflow.link import LINKS, show_trail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.sdk import Context

_log: Final = logging.getLogger(__name__)
_TAIL_LINES: Final = 20
"""Of what a command said: enough for the reason, little enough for a notification."""


def run_command(
    environment: ScoringEnvironment,
    arguments: Sequence[str],
    log: Any = _log,
    started: Callable[[subprocess.Popen[str]], None] = lambda _: None,
) -> dict[str, Any]:
    """Run a command to its end, what it says going to the task's log; return its result.

    Args:
        environment: where it runs.
        arguments: the command line without the program's name.
        log: of the task.
        started: is given the process, so that somebody else can end it.

    Raises:
        CommandError: it ended with another code than 0; the class says whether to try again.
    """
    command = [str(environment.program), *arguments, "--json"]
    said: deque[str] = deque(maxlen=_TAIL_LINES)
    with (
        tempfile.TemporaryFile("w+") as printed,
        subprocess.Popen(
            command,
            cwd=environment.home,
            env=environment.variables(),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process,
    ):
        started(process)
        for line in process.stderr or ():
            said.append(line.rstrip())
            log.info("%s", line.rstrip())
        code = process.wait()
        printed.seek(0)
        result = result_of(printed.read().splitlines())
    if code:
        raise failure_of(code, " ".join(["scoretrail", *arguments[:2]]), result, "\n".join(said))
    return result or {}


def result_of(lines: Sequence[str]) -> dict[str, Any] | None:
    """Return the last line that is a JSON object and no log event, or None."""
    for line in reversed(lines):
        if line.startswith("{"):
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict) and "event" not in value:
                return value
    return None


class ScoretrailOperator(BaseOperator):
    """Runs a ``scoretrail`` command that needs no Spark; its result is the task's.

    Args:
        arguments: the command line without the program's name and ``--json``.
        trail: folder of the scoring run's records, for the links in the UI.
        scoretrail_conn_id: names the scoring environment.
    """

    template_fields = ("arguments", "trail")
    operator_extra_links = LINKS
    ui_color = "#e8f4ec"

    def __init__(
        self,
        *,
        arguments: Sequence[str],
        trail: str | None = None,
        scoretrail_conn_id: str = SCORETRAIL,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.arguments = arguments
        self.trail = trail
        self.scoretrail_conn_id = scoretrail_conn_id
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the command.

        Raises:
            CommandError: it ended with another code than 0.
            AirflowFailException: the scoring environment is not there.
        """
        show_trail(context, self.trail)
        return run_command(ScoringEnvironment.load(self.scoretrail_conn_id), self.arguments, self.log, self._keep)

    def on_kill(self) -> None:
        """End the command."""
        if self._process is not None:
            self._process.terminate()

    def _keep(self, process: subprocess.Popen[str]) -> None:
        self._process = process
