"""What a batch run is asked to do, and what it answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scoretrail.trail.run import ScoringRun, Status


@dataclass(frozen=True, kw_only=True)
class BatchRequest:
    """The arguments of ``scoretrail batch score``; settings come beside it."""

    model: str
    input: str
    output: str
    slices: tuple[str, ...] = ()
    dataset: str | None = None
    rejects: str | None = None
    """The rejects table; default the output's name with ``_rejects``."""
    where: str | None = None
    partition_by: tuple[str, ...] = ()
    """Default: the input's own partition keys."""
    role: str | None = None
    run_id: str | None = None
    hold: bool = False
    dry_run: bool = False
    rehash: bool = False
    allow_remove: bool = False
    command: str = ""
    """The command line, for the trail."""


@dataclass(frozen=True, kw_only=True)
class BatchOutcome:
    """What a run did; ``batch score --json`` prints it."""

    run_id: str
    status: Status
    rows_in: int
    rows_scored: int
    rows_rejected: int
    rows_skipped: int
    files_scored: int
    files_skipped: int
    files_removed: int
    table: str
    rejects: str
    table_version: int | None
    seconds: float
    rows_per_s: float
    drift: str | None
    """The verdict against the baseline: ok, warn, drift, not_enough_data; None where there is none."""
    drifted: tuple[str, ...]
    """The columns that it is raised for."""

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """What a run would do."""

    slices: tuple[str, ...]
    files_to_score: tuple[str, ...]
    rows_to_score: int
    files_skipped: int
    rows_skipped: int
    files_to_remove: tuple[str, ...]
    rows_to_remove: int

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def outcome_of(run: ScoringRun) -> BatchOutcome:
    """Return the outcome that a run's record states."""
    return BatchOutcome(
        run_id=run.run_id,
        status=run.status,
        rows_in=run.rows["in"],
        rows_scored=run.rows["scored"],
        rows_rejected=run.rows["rejected"],
        rows_skipped=run.rows["skipped"],
        files_scored=run.files["scored"],
        files_skipped=run.files["skipped"],
        files_removed=run.files["removed"],
        table=run.output["table"],
        rejects=run.output["rejects"],
        table_version=run.output["table_version"],
        seconds=run.seconds["total"],
        rows_per_s=run.rows_per_s,
        drift=run.drift["level"] if run.drift else None,
        drifted=tuple(run.drift["columns"]) if run.drift else (),
    )
