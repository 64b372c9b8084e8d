"""What an exit code of Scoretrail means to a scheduler: done, try again, or stop at once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.exceptions import AirflowException

if TYPE_CHECKING:
    from collections.abc import Mapping

GATE: Final = 3
"""A gate said no: the run is held, or it drifted."""
TRY_AGAIN: Final = 75
REFUSALS: Final[Mapping[int, str]] = {
    2: "the command was not understood",
    GATE: "a gate said no",
    65: "the data or the bundle is bad",
    70: "a limit was exceeded",
    78: "something is not configured as it must be",
}
"""Exit codes that the same command gives again: https://man.freebsd.org/sysexits, and docs/reference/errors.md."""
_SOON: Final = timedelta(minutes=2)
"""What answers with 75 is a service that starts or a writer that was faster."""


class CommandError(AirflowException):
    """A command ended with another exit code than 0; one that has no meaning of its own, or a signal."""


class TryAgainError(CommandError):
    """Exit code 75: the same command may succeed later."""


class RefusedError(CommandError):
    """The same command would end so again: a person must look."""


RETRY_POLICY: Final = ExceptionRetryPolicy(
    rules=[
        RetryRule(RefusedError, RetryAction.FAIL, reason="the same command would end so again"),
        RetryRule(TryAgainError, RetryAction.RETRY, reason="exit code 75: try again later"),
    ]
)
"""A killed process, and what is no failure of ours, takes the task's own number of retries."""


def failure_of(code: int, command: str, result: Mapping[str, Any] | None, said: str = "") -> CommandError:
    """Return what to raise for an exit code.

    Args:
        code: of the process; negative where a signal ended it.
        command: which one, without its values.
        result: the JSON object that it printed, which of an error has the five parts.
        said: the end of what it said, for want of the parts.
    """
    error = (result or {}).get("error") or {}
    parts = {
        "where": error.get("where"),
        "expected": error.get("expected"),
        "got": error.get("got"),
        "what to do": error.get("fix"),
    }
    meaning = "try again later" if code == TRY_AGAIN else REFUSALS.get(code, "")
    ended = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
    head = f"{command}: {error.get('what') or said or 'it said nothing'} ({', '.join(filter(None, (ended, meaning)))})"
    text = "\n".join([head, *(f"  {name}: {one}" for name, one in parts.items() if one)])
    if code == TRY_AGAIN:
        return TryAgainError(text)
    return RefusedError(text) if code in REFUSALS else CommandError(text)
