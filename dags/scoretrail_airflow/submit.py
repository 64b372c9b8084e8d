"""Runs a ``scoretrail`` command by ``spark-submit``: the provider's operator, with Spark of the scoring environment."""

from __future__ import annotations

import functools
import re
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from scoretrail_airflow.command import result_of
from scoretrail_airflow.environment import SCORETRAIL, SPARK, ScoringEnvironment, connection
from scoretrail_airflow.failure import GATE, failure_of
from scoretrail_airflow.link import LINKS, show_trail
from scoretrail_airflow.notice import Notice, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
    from airflow.sdk import Context

HELD: Final = "held"
_EXIT_CODE: Final = re.compile(r"Error code is: (-?\d+)")
"""The hook raises one class for every exit code."""
_TAIL_LINES: Final = 200
"""The result is the driver's last word but for a few lines of Spark's farewell."""
_LONGEST: Final = 2000
"""Characters of what was said, where there is no result."""


class SubmitOperator(SparkSubmitOperator):
    """Runs a ``scoretrail`` command by ``spark-submit``; its result is the task's.

    A run that is held (exit code 3) is complete, so the task succeeds, with the status ``held``: the one that waits for
    its release comes after.

    Args:
        arguments: the command line without the program's name and ``--json``.
        trail: folder of the scoring run's records, for the links in the UI.
        conn_id: names the Spark master.
        scoretrail_conn_id: names the scoring environment.
    """

    template_fields = (*SparkSubmitOperator.template_fields, "trail")
    operator_extra_links = LINKS
    ui_color = "#e8eef4"

    def __init__(
        self,
        *,
        arguments: Sequence[str],
        trail: str | None = None,
        conn_id: str = SPARK,
        scoretrail_conn_id: str = SCORETRAIL,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            application_args=arguments,  # type: ignore[arg-type]
            conn_id=conn_id,
            deploy_mode="client",  # Spark's standalone master takes no Python driver
            durable=False,  # there is no driver to find again: a retry takes the run up by its id
            **kwargs,
        )
        self.trail = trail
        self.scoretrail_conn_id = scoretrail_conn_id
        self._folder = ""
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)

    def execute(self, context: Context) -> dict[str, Any]:  # type: ignore[override]
        """Submit the command and wait for its end.

        Raises:
            CommandError: it ended with another code than 0 and 3; the class says whether to try again.
            AirflowFailException: a connection is missing, or the scoring environment is.
        """
        environment = ScoringEnvironment.load(self.scoretrail_conn_id)
        show_trail(context, self.trail)
        connection(self._conn_id)  # without it the provider would submit to YARN
        self._folder = str(environment.home)
        self.application = str(environment.application)
        self.application_args = [*(self.application_args or ()), "--json"]
        self.env_vars = {**environment.spark_variables(), **(self.env_vars or {})}
        self.py_files = self.py_files or environment.wheel
        self._hook = self._get_hook()
        try:
            super().execute(context)
        except AirflowFailException:
            raise
        except AirflowException as error:
            return self._judged(error, result_of(list(self._tail)), context)
        return result_of(list(self._tail)) or {}

    def _judged(self, error: AirflowException, result: dict[str, Any] | None, context: Context) -> dict[str, Any]:
        """Return what a run that is held printed; raise what any other failure means."""
        found = _EXIT_CODE.search(str(error))
        if found is None:
            raise error
        code, arguments = int(found[1]), [str(one) for one in self.application_args or ()]
        told = (result or {}).get("error") or {}
        if code == GATE and told.get("type") == "HeldError":
            self._tell_held(told, arguments, context)
            return {"status": HELD, **(result or {})}
        command = " ".join(["scoretrail", *arguments[:2]])
        raise failure_of(code, command, result, str(error)[found.end() :].strip()[-_LONGEST:]) from error

    def _tell_held(self, told: Mapping[str, Any], arguments: Sequence[str], context: Context) -> None:
        """Tell people that they are waited for; that nobody could be told is no reason to fail."""
        table = arguments[arguments.index("--output") + 1] if "--output" in arguments else "TABLE"
        lines = [told["what"], f"  got: {told['got']}"] if told.get("got") else [told["what"]]
        lines.append(f"  what to do: look at its drift report, then {told['fix']} --table {table}")
        try:
            Notice().tell(text_of(context, "\n".join(lines)))
        except OSError as error:
            self.log.warning("nobody could be told: %s", error)

    def _get_hook(self) -> SparkSubmitHook:
        hook = super()._get_hook()
        read = hook._process_spark_submit_log  # noqa: SLF001  (the only place where the output passes by)
        hook._process_spark_submit_log = lambda itr: read(self._kept(itr))  # type: ignore[method-assign]  # noqa: SLF001
        hook.submit = functools.partial(hook.submit, cwd=self._folder)  # type: ignore[method-assign]
        return hook

    def _kept(self, lines: Iterator[Any]) -> Iterator[Any]:
        for line in lines:
            self._tail.append(line.strip())
            yield line
