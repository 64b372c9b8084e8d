"""How a job tells how far it is, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Listens to a job. The job calls it from one thread at a time; a call returns at once and never fails."""

    def step(self, text: str) -> None:
        """Say in a few words what begins now, such as ``planning 31 files``."""
        ...

    def start(self, total_rows: int | None, total_tasks: int, what: str = "scoring") -> None:
        """Begin a count.

        Args:
            total_rows: rows that will be done; None where that is not known before.
            total_tasks: tasks that will be done.
            what: the work in one word.
        """
        ...

    def update(self, done_rows: int, done_tasks: int) -> None:
        """Tell how much is done since :meth:`start`: totals, not increments. Outside a count it does nothing."""
        ...

    def stop(self) -> None:
        """End the count, whether or not everything is done; a second call does nothing."""
        ...


class SilentProgress:
    """Listens and says nothing."""

    def step(self, text: str) -> None:
        """Say nothing."""

    def start(self, total_rows: int | None, total_tasks: int, what: str = "scoring") -> None:
        """Say nothing."""

    def update(self, done_rows: int, done_tasks: int) -> None:
        """Say nothing."""

    def stop(self) -> None:
        """Say nothing."""
