"""Spark's failures in our words: of a start, and of a task that failed too often."""

from __future__ import annotations

import platform
import re
from typing import Final, NoReturn

from scoretrail import errors
from scoretrail.errors import ConfigurationError, DependencyError, EngineError, RetryLaterError

_FINAL: Final = (
    "Could not parse Master URL",
    "FileNotFoundException",
    "IllegalArgumentException",
    "InvalidMasterURL",
)
"""In what Spark says of a start that no second try would mend."""
_NO_MODULE: Final = re.compile(r"ModuleNotFoundError: No module named '(?P<name>[^']+)'")
_NO_PYTHON: Final = re.compile(r"Cannot run program .*|\[PYTHON_VERSION_MISMATCH\].*")
_OURS: Final = re.compile(r"scoretrail\.errors\.(?P<name>\w+): (?P<text>.+?)(?:\n\n|\n\tat |\Z)", re.DOTALL)
_CAUSE_CHARACTERS: Final = 400


def raise_of_start(error: Exception, master: str) -> NoReturn:
    """Raise our error for a session that did not start.

    Args:
        error: what building the session raised.
        master: the master's URL.

    Raises:
        DependencyError: Java is missing, or not one that Spark runs on.
        ConfigurationError: a property, or a file to be shipped, that Spark refuses.
        EngineError: anything else.
    """
    text = str(error)
    if "JAVA_GATEWAY" in text or isinstance(error, FileNotFoundError):
        raise DependencyError(
            "Spark cannot start: Java is missing or of another version",
            expected="Java 17 or 21 as JAVA_HOME or on PATH",
            got=text.splitlines()[0],
            fix="sudo apt-get install -y openjdk-17-jre-headless",
        ) from error
    cause = _cause(text)
    if any(word in cause for word in _FINAL):
        raise ConfigurationError("Spark refuses to start so", where=master, got=cause) from error
    raise EngineError("Spark cannot start", where=master, got=cause) from error


def raise_of_task(error: Exception) -> NoReturn:
    """Raise our error for what Spark reports of a task that failed too often.

    Args:
        error: what the action raised.

    Raises:
        DependencyError: an executor's Python is missing, of another version or without a library.
        RetryLaterError: the task raised one of these.
        EngineError: anything else.
    """
    text = str(error)
    missing, python = _NO_MODULE.search(text), _NO_PYTHON.search(text)
    if missing or python:
        raise DependencyError(
            f"an executor lacks the library {missing['name']}" if missing else "an executor cannot run its Python",
            expected=f"the libraries of the driver, on Python {platform.python_version()}",
            got=_cause(text if missing is None else missing[0]),
            fix="install locks/scoring.txt there, and let PYSPARK_PYTHON name that environment's Python",
        ) from error
    found = _OURS.search(text)
    cls = getattr(errors, found["name"], EngineError) if found else EngineError
    if found and issubclass(cls, RetryLaterError):
        raise cls(found["text"].strip()) from error
    raise EngineError(
        "Spark gave up on a task",
        got=_cause(text),
        fix="run the same command again: it goes on where this run stopped",
    ) from error


def _cause(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "Error" in line or "Exception" in line or "Reason" in line]
    return (telling or lines or ["no words"])[0].lstrip(": ")[:_CAUSE_CHARACTERS]
