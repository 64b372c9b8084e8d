"""Spark's own account of an application: the events that its driver wrote."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Attempt:
    """One try of a task."""

    job: str
    """What the job was for: the name of the function that its tasks call."""
    partition: int
    host: str
    number: int
    """0 for the first try."""
    speculative: bool
    end: str
    """``Success``, ``ExceptionFailure``, ``ExecutorLostFailure``, ``TaskKilled`` ..."""


class History:
    """The events of one application."""

    def __init__(self, file: Path) -> None:
        self._events: list[dict[str, Any]] = [json.loads(line) for line in file.read_text().splitlines()]

    @staticmethod
    def properties(folder: Path) -> dict[str, str]:
        """Return the Spark properties that make the driver write its events into a folder, as plain lines."""
        return {
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": folder.as_uri(),
            "spark.eventLog.compress": "false",
            "spark.eventLog.rolling.enabled": "false",
        }

    @cached_property
    def attempts(self) -> list[Attempt]:
        """Every try of every task, in the order in which they ended."""
        jobs = {
            stage: event["Properties"].get("spark.job.description", "").rpartition(" ")[2]
            for event in self._of("SparkListenerJobStart")
            for stage in event["Stage IDs"]
        }
        return [
            Attempt(
                job=jobs[event["Stage ID"]],
                partition=event["Task Info"]["Index"],
                host=event["Task Info"]["Host"],
                number=event["Task Info"]["Attempt"],
                speculative=event["Task Info"]["Speculative"],
                end=event["Task End Reason"]["Reason"],
            )
            for event in self._of("SparkListenerTaskEnd")
        ]

    def hosts(self, job: str) -> set[str]:
        """Return where tasks of a job succeeded."""
        return {one.host for one in self.attempts if one.job == job and one.end == "Success"}

    @property
    def lost_executors(self) -> int:
        """How many executors went while the application ran."""
        return len(self._of("SparkListenerExecutorRemoved"))

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self._events if event["Event"] == kind]
