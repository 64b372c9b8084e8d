"""What the demo's steps share: where things lie, one Spark session, who is told, and scoring in batch."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobs.batch.request import BatchOutcome, BatchRequest, outcome_of
from jobs.batch.run import BatchRun

if TYPE_CHECKING:
    from jobs.batch.spark.engine import SparkEngine
    from jobs.command.invocation import Invocation

HOME: Final = Path("demo-data")
STEPS: Final = 20


@dataclass
class Stage:
    """The demo as it goes on."""

    invocation: Invocation
    engine: SparkEngine
    step: int = 0

    def begin(self, text: str, command: str | None = None) -> None:
        """Say which step begins, and the command that does the same."""
        self.step += 1
        self.invocation.terminal.text("")
        self.invocation.terminal.text(f"[{self.step}/{STEPS}] {text}")
        if command:
            self.invocation.terminal.text(f"      $ {command}")

    def tell(self, text: str) -> None:
        """Say one thing that was done."""
        self.invocation.terminal.text(f"      {text}")

    def score(self, model: str, flights: Path, table: str, *slices: str) -> BatchOutcome:
        """Run what ``scoretrail batch score`` runs."""
        request = BatchRequest(
            model=model,
            input=str(flights),
            output=table,
            slices=slices,
            command=scoring(model, flights, table, *slices),
        )
        progress = self.invocation.terminal.progress()
        outcome = outcome_of(BatchRun(request, self.invocation.resolved, self.engine, progress).score())
        self.tell(
            f"run {outcome.run_id}: {outcome.status}; {outcome.rows_in:,} rows in, {outcome.rows_scored:,} scored, "
            f"{outcome.rows_rejected:,} rejected, {outcome.rows_skipped:,} skipped; {outcome.rows_per_s:,.0f} rows/s, "
            f"{outcome.seconds:.1f} s in all"
        )
        return outcome


def scoring(model: str, flights: Path, table: str, *slices: str) -> str:
    """Return the command line that does what :meth:`Stage.score` does."""
    words = ["scoretrail", "batch", "score", "--model", model, "--input", str(flights), "--output", table]
    return shlex.join(words + [word for one in slices for word in ("--slice", one)])
