"""Stops a worker when too many events are refused: then it is the producer, or the contract, that is wrong."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scoretrail.errors import DeadLetterLimitError

if TYPE_CHECKING:
    from jobs.stream.loop.turn import Turn


@dataclass(frozen=True)
class DeadLetterPolicy:
    """How many events may be refused."""

    max_ratio: float
    window_records: int
    """Judged over the last so many records at least, and not before there were so many."""


class DeadLetterLimit:
    """The share of dead letters among the last records."""

    def __init__(self, policy: DeadLetterPolicy) -> None:
        """Begin with no records."""
        self._policy = policy
        self._turns: deque[tuple[int, int]] = deque()
        self._records = 0
        self._dead_letters = 0

    def observe(self, turn: Turn) -> None:
        """Count a turn.

        Raises:
            DeadLetterLimitError: the share is too high. What was refused is committed, and can be redriven.
        """
        if not turn.records:
            return
        policy = self._policy
        self._turns.append((turn.records, turn.dead_letters))
        self._records += turn.records
        self._dead_letters += turn.dead_letters
        while self._records - self._turns[0][0] >= policy.window_records:
            records, dead_letters = self._turns.popleft()
            self._records -= records
            self._dead_letters -= dead_letters
        if self._records >= policy.window_records and self._dead_letters > policy.max_ratio * self._records:
            raise DeadLetterLimitError(
                f"{self._dead_letters} of the last {self._records} events were refused",
                where="stream.max_dead_letter_ratio",
                expected=f"at most {policy.max_ratio:.0%}",
                fix="look at the reasons in the topic of dead letters; mend their cause, restart, then redrive them",
            )
