"""Records of runs and of joins of labels that nothing wrote, for what only reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from scoretrail.clock import utc_text
from scoretrail.trail.run import ScoringRun, Status

ROWS = {"in": 100, "filtered": 0, "scored": 96, "rejected": 4, "skipped": 7, "removed": 0}


def scoring_run(
    status: Status = "published",
    *,
    model: str = "flight-delay",
    output: str = "s3://lake/scores",
    rows: dict[str, int] | None = None,
    finished_at: datetime | None = None,
    rows_per_s: float = 50.0,
) -> ScoringRun:
    """Return the record of a run; it ended just now unless a time is given."""
    return ScoringRun(
        run_id="r1",
        status=status,
        command="score",
        started_at="2013-12-05T06:00:00.000000Z",
        finished_at=utc_text(finished_at or datetime.now(UTC)),
        plan_sha256="p" * 64,
        settings={},
        settings_sha256="s" * 64,
        model={"name": model, "version": "1.0.0", "role": "champion", "bundle_sha256": "b" * 64},
        input={},
        output={"table": output},
        rows=ROWS if rows is None else rows,
        reasons={"out_of_range": 3, "null": 1} if rows is None else {},
        files={},
        scopes={},
        code={},
        environment={},
        seconds={"total": 2.5},
        rows_per_s=rows_per_s,
    )


def join_of_labels(**changes: Any) -> dict[str, Any]:
    """Return ``join.json`` of a champion and a challenger, each with a rolling window; the champion has two."""
    return {
        "join_id": "j1",
        "kind": "labels",
        "status": "published",
        "finished_at": "2013-12-29T06:00:00.000000Z",
        "rows": {
            "predictions": 1000,
            "labelled": 900,
            "unlabelled": 100,
            "repeated": 3,
            "corrected": 2,
            "conflicting": 1,
            "early": 0,
            "unmatched": 5,
        },
        "delay_s": {"p50": 3600.0, "p95": 7200.0, "max": 90000.0},
        "level": "drift",
        "performance": [
            performance("champion", "2013-12-27", level="ok"),
            performance("champion", "2013-12-28", level="drift", behind={"roc_auc": "drift", "brier": "warn"}),
            performance("champion", "2013-12-29", kind="segment"),
            performance("challenger", "2013-12-28", level="ok"),
        ],
    } | changes


def performance(
    role: str, end: str, *, kind: str = "rolling", level: str = "ok", behind: dict[str, str] | None = None
) -> dict[str, Any]:
    """Return one entry of the performance in ``join.json``."""
    return {
        "model": {"name": "flight-delay", "version": "1.0.0", "bundle_sha256": "b" * 64},
        "role": role,
        "kind": kind,
        "window": {"start": "2013-12-01", "end": end},
        "segment": None,
        "rows": 900,
        "positives": 200,
        "days": 28,
        "level": level,
        "behind": behind or {},
        "figures": [figure("roc_auc", 0.6), figure("brier", 0.2), figure("cost", 0.5)],
        "promised": [figure("roc_auc", 0.7), figure("brier", 0.15), {"name": "f1", "value": 0.4}],
    }


def figure(name: str, value: float) -> dict[str, Any]:
    return {"name": name, "value": value, "low": value - 0.02, "high": value + 0.02, "level": 0.95, "data": ""}


def verdict(**changes: Any) -> dict[str, Any]:
    """Return ``drift.json``, as far as anybody needs it to tell of it."""
    return {
        "level": "drift",
        "kinds": {"data": "drift", "prediction": "warn", "upstream": "not_enough_data"},
        "rows": 2000,
        "confirmed": ["distance"],
        "columns": [
            column("distance", "drift", [(0.5, 0.25), (0.1, 0.2)], 0.0),
            column("carrier", "warn", [(0.15, 0.25)], 0.125),
            column("score", "not_enough_data", [], 0.0),
        ],
    } | changes


def column(name: str, level: str, checks: list[tuple[float, float]], missing: float) -> dict[str, Any]:
    return {
        "name": name,
        "group": "request",
        "level": level,
        "checks": [{"value": value, "drift": drift} for value, drift in checks],
        "indications": {"missing_share": missing},
    }
