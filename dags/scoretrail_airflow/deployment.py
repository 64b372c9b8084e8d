"""What is scored with what, and where it lies: the Airflow variable ``scoretrail``, checked key by key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Self

from airflow.sdk import Variable
from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE: Final = "scoretrail"
_DEFAULTS: Final[Mapping[str, Any]] = {
    "partition": "ds",
    "records_marker": "_SUCCESS",
    "features_marker": "_scoretrail_build.json",
    "segments": [],
}


class Deployment:
    """The places and names of one deployment; a relative path is found from the scoring environment's home."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {**_DEFAULTS, **values}

    @classmethod
    def load(cls) -> Self:
        """Return what the variable says.

        Raises:
            AirflowFailException: there is no such variable, or it is no JSON object.
        """
        text = Variable.get(VARIABLE, default=None)
        if text is None:
            raise _wrong("is not set")
        try:
            values = json.loads(text)
        except ValueError as error:
            raise _wrong("is no JSON") from error
        if not isinstance(values, dict):
            raise _wrong("is no JSON object")
        return cls(values)

    def text(self, key: str) -> str:
        """Return a text that must be there.

        Raises:
            AirflowFailException: it is not, or is something else.
        """
        return str(self._get(key, str))

    def maybe(self, key: str) -> str | None:
        """Return a text, or None where it is null or left out."""
        return self.text(key) if self._values.get(key) is not None else None

    def texts(self, key: str) -> list[str]:
        """Return a list of texts that must be there.

        Raises:
            AirflowFailException: it is not, or is something else.
        """
        return [str(one) for one in self._get(key, list)]

    def pairs(self, key: str) -> dict[str, str]:
        """Return names and texts that must be there.

        Raises:
            AirflowFailException: they are not, or are something else.
        """
        return {str(name): str(one) for name, one in self._get(key, dict).items()}

    def slice_of(self, day: str) -> str:
        """Return the slice of a day, as ``--slice`` takes it."""
        return f"{self.text('partition')}={day}"

    def _get(self, key: str, kind: type) -> Any:
        value = self._values.get(key)
        if not isinstance(value, kind) or (not value and kind is not list):
            raise _wrong(f"has no {key!r}, or it is no {kind.__name__}")
        return value


def _wrong(what: str) -> AirflowFailException:
    return AirflowFailException(
        f"the variable {VARIABLE!r} {what}\n"
        "  what to do: set it, as docs/how-to/schedule-with-airflow.md says, and clear this task"
    )
