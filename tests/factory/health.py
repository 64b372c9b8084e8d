"""Records as batch runs, joins of labels and days of a stream leave them, made up: for what reads them afterwards."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from scoretrail.clock import FixedClock, utc_text
from scoretrail.config import load
from scoretrail.model.registry import Registry
from scoretrail.storage import Storage
from scoretrail.trail.run import TRAIL_FOLDER, Hold, Intent, RunStore, ScoringRun
from tests.factory.bare import bare_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from scoretrail.config import Settings
    from scoretrail.trail.run import Status

MODEL = "parcel"
START = datetime(2013, 12, 1, 5, tzinfo=UTC)
NOW = datetime(2013, 12, 31, 12, tzinfo=UTC)
CLOCK = FixedClock(NOW)


def check(value: float, level: str = "ok", measure: str = "wasserstein", **changes: Any) -> dict[str, Any]:
    """Return one measure of a column."""
    found = {"measure": measure, "kind": "data", "level": level, "value": value, "warn": 0.1, "drift": 0.2}
    return {**found, "source": "ours", "usual": None, "p_value": 0.001, "detail": "", **changes}


def column(name: str, value: float, level: str = "ok", **changes: Any) -> dict[str, Any]:
    """Return what is said of one column by one measure."""
    checks = [check(value, level, **changes)]
    return {"group": "request", "name": name, "level": level, "rows": 1000, "checks": checks, "indications": {}}


def verdict(level: str = "ok", *columns: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a verdict on a run, ``weight`` being its only column unless others are given."""
    found = columns or (column("weight", {"ok": 0.02, "warn": 0.15, "drift": 0.3}.get(level, 0.0), level),)
    made = {
        "level": level,
        "kinds": {"data": level, "prediction": "ok", "upstream": "ok"},
        "rows": 1000,
        "is_day": True,
    }
    more = {"baseline_sha256": "b" * 64, "tally_sha256": "c" * 64, "rows_left_out": 0, "before": None, "confirmed": []}
    return {**made, **more, "columns": list(found), **changes}


def join_record(number: int = 1, **changes: Any) -> dict[str, Any]:
    """Return ``join.json``."""
    at = utc_text(START + timedelta(days=number))
    made: dict[str, Any] = {
        "join_id": f"{START + timedelta(days=number):%Y%m%dT%H%M%S}-0000000{number % 10}",
        "kind": "labels",
        "status": "published",
        "command": "scoretrail labels join",
        "started_at": at,
        "finished_at": at,
        "predictions": [{"table": "/scores", "version": 3}],
        "outcomes": {"root": "/outcomes", "slices": [], "files": 3, "data_sha256": "d" * 64},
        "output": {"table": "/labelled", "version": 2},
        "rows": {
            "predictions": 1000,
            "labelled": 900 + number,
            "unlabelled": 100 - number,
            "repeated": 0,
            "corrected": 0,
            "conflicting": 0,
            "early": 0,
            "unmatched": 2,
        },
        "delay_s": {"p50": 7200.0, "p95": 90_000.0, "max": 200_000.0},
        "level": "ok",
        "performance": [assessment(), *(assessment("history", week) for week in range(4))],
    }
    return made | changes


def assessment(kind: str = "rolling", week: int = 0, auc: float = 0.7, **changes: Any) -> dict[str, Any]:
    """Return how good scores were in a window."""
    start = datetime(2013, 12, 2, tzinfo=UTC) + timedelta(weeks=week)
    figures = [metric("roc_auc", auc + week / 100), metric("calibration_error", 0.03), metric("brier", 0.2)]
    return {
        "model": {"name": MODEL, "version": "1.0.0", "bundle_sha256": "a" * 64},
        "role": "champion",
        "kind": kind,
        "window": {"start": f"{start:%Y-%m-%d}", "end": f"{start + timedelta(days=6):%Y-%m-%d}"},
        "segment": None,
        "rows": 2000,
        "positives": 400,
        "days": 7,
        "drawn": "days",
        "level": "ok",
        "behind": {},
        "calibration": [[0.05, 0.04, 100], [0.15, 0.18, 900], [0.35, 0.3, 300]],
        "figures": figures,
        "promised": [metric("roc_auc", 0.71)],
        **changes,
    }


def metric(name: str, value: float, spread: float = 0.02) -> dict[str, Any]:
    """Return a figure with its interval."""
    return {"name": name, "value": value, "low": value - spread, "high": value + spread, "level": 0.95, "data": ""}


@dataclass
class Ward:
    """A registry, a scored table and a labelled one that hold records only, filled one after the other."""

    folder: Path
    registry: Registry = field(init=False)
    runs: int = 0

    def __post_init__(self) -> None:
        self.registry = Registry(Storage(str(self.folder / "registry")), FixedClock(START))

    @property
    def table(self) -> str:
        return str(self.folder / "scores")

    @property
    def labelled(self) -> str:
        return str(self.folder / "labelled")

    @property
    def settings(self) -> Settings:
        return load({"registry.uri": str(self.folder / "registry")}, folder=self.folder / "no-settings").settings

    @property
    def store(self) -> RunStore:
        return RunStore(Storage(f"{self.table}/{TRAIL_FOLDER}"))

    def publish(self, *versions: str, **changes: Any) -> None:
        """Publish versions of the model, which differ in their model's bytes."""
        for version in versions:
            self.registry.publish(*bare_bundle(version, model=version.encode(), name=MODEL, **changes))

    def move(self, alias: str, version: str, *, day: float = 0, reason: str = "") -> None:
        """Move an alias on a day from the first on."""
        clock = FixedClock(START + timedelta(days=day))
        Registry(Storage(str(self.folder / "registry")), clock).move_alias(MODEL, alias, version, reason)

    def run(
        self, status: Status = "published", judged: dict[str, Any] | None = None, *, run_id: str = "", **changes: Any
    ) -> ScoringRun:
        """Leave the records of one more run, a day after the one before."""
        at = START + timedelta(days=self.runs)
        made = scoring_run(run_id or f"{at:%Y%m%dT%H%M%S}-{self.runs:08x}", at, status, judged, self.table)
        run = replace(made, **{"plan_sha256": f"plan {self.runs}", **changes})
        self.runs += 1
        self.store.begin(intent(run))
        if judged is not None:
            self.store.judge(run.run_id, judged)
        if status == "held":
            self.store.hold(Hold(run, (), ()))
        elif status != "unfinished":
            self.store.finish(run)
        return run

    def join(self, number: int = 1, **changes: Any) -> None:
        """Leave the record of one join of labels."""
        record = join_record(number, **changes)
        storage = Storage(f"{self.labelled}/{TRAIL_FOLDER}")
        storage.put(f"{record['join_id']}/join.json", json.dumps(record).encode())


def scoring_run(
    run_id: str, at: datetime, status: Status, judged: dict[str, Any] | None, table: str = "/scores"
) -> ScoringRun:
    """Return the record of a run of one day."""
    day = f"ds={at:%Y-%m-%d}"
    raised = [one["name"] for one in judged["columns"] if one["level"] == judged["level"]] if judged else []
    return ScoringRun(
        run_id=run_id,
        status=status,
        command="scoretrail batch score",
        started_at=utc_text(at),
        finished_at=utc_text(at + timedelta(seconds=30)),
        plan_sha256="plan",
        settings={"storage": {"options": {"aws_secret_access_key": "**********"}}},
        settings_sha256="e" * 64,
        model={
            "uri": f"models:/{MODEL}@champion",
            "location": f"/registry/{MODEL}/1.0.0",
            "name": MODEL,
            "version": "1.0.0",
            "role": "champion",
            "bundle_sha256": "a" * 64,
            "model_sha256": "f" * 64,
            "score_digest": "0" * 64,
        },
        input={"root": "/input", "dataset": None, "where": None, "slices": [day], "files": 1, "bytes": 10},
        output={"table": table, "table_version": 1, "rejects": f"{table}_rejects", "rejects_version": None},
        rows={"in": 1010, "filtered": 0, "scored": 1000, "rejected": 10, "skipped": 0, "removed": 0},
        reasons={"weight_kg: above 1000": 10},
        files={"scored": 1, "skipped": 0, "removed": 0},
        scopes={f"scope {day}": {"slice": day, "guard": 1}},
        code={},
        environment={},
        seconds={"plan": 1.0, "total": 30.0},
        rows_per_s=1234.5,
        drift={"level": judged["level"], "columns": raised} if judged else None,
    )


def intent(run: ScoringRun) -> Intent:
    """Return the intent that a run began with."""
    return Intent(
        run_id=run.run_id,
        plan_sha256=run.plan_sha256,
        scored_at=run.started_at,
        command=run.command,
        bundle_uri=run.model["uri"],
        bundle_location=run.model["location"],
        bundle_sha256=run.model["bundle_sha256"],
        role=run.model["role"],
        input_root=run.input["root"],
        where=None,
    )
