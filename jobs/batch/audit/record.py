"""Makes ``run.json``: where the code came from, on what it ran, and what the messages add up to."""

from __future__ import annotations

import functools
import platform
import socket
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

import scoretrail
from jobs.batch.publication.judgement import summary
from jobs.batch.spark.shipment import files_of
from scoretrail import digest
from scoretrail.clock import utc_text
from scoretrail.model.manifest import MODEL
from scoretrail.model.profile import cpu_name
from scoretrail.model.scorer import engine_version
from scoretrail.trail.run import ScoringRun, messages_digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from jobs.batch.plan.plan import Frame
    from jobs.batch.request import BatchRequest
    from scoretrail.config import ResolvedSettings
    from scoretrail.model.registry import ResolvedBundle
    from scoretrail.trail.run import Intent, Status, WorkMessage


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the steps of a run found, for its record."""

    request: BatchRequest
    resolved: ResolvedSettings
    bundle: ResolvedBundle
    frame: Frame
    intent: Intent
    messages: Sequence[WorkMessage]
    status: Status
    verdict: Mapping[str, Any] | None
    versions: tuple[int | None, int | None]
    """Of the scored and of the rejects table."""
    outputs: tuple[str, str]
    """URIs of the scored and of the rejects table."""
    spark: str
    attempts: int
    seconds: Mapping[str, float]
    finished_at: datetime


def scoring_run(evidence: Evidence) -> ScoringRun:
    """Return the record of a run."""
    frame, bundle, intent, messages = evidence.frame, evidence.bundle, evidence.intent, evidence.messages
    plan = frame.plan
    done = {message.work_key for message in messages}
    skipped = [work for work in plan.work if work.key in plan.live and work.key not in done]
    settings = evidence.resolved.masked()
    rows = totals(messages)
    return ScoringRun(
        run_id=intent.run_id,
        status=evidence.status,
        command=intent.command,
        started_at=intent.scored_at,
        finished_at=utc_text(evidence.finished_at),
        plan_sha256=intent.plan_sha256,
        settings=settings,
        settings_sha256=digest.of_json(settings),
        model=_model(bundle, frame.role),
        input=_input(evidence),
        output=_output(evidence),
        rows={
            **rows,
            "skipped": sum(work.rows for work in skipped),
            "removed": sum(file.rows for file in plan.removes),
        },
        reasons=reasons(messages),
        files={
            "scored": len({message.source_path for message in messages}),
            "skipped": len({work.path for work in skipped}),
            "removed": len(plan.removes),
        },
        scopes={scope: {"slice": plan.scopes[scope].slice, "guard": version} for scope, version in frame.guard.items()},
        code=code_facts(),
        environment=environment_facts(evidence.spark, messages),
        seconds=dict(evidence.seconds),
        rows_per_s=_rows_per_s(rows["in"], evidence.seconds),
        attempts=evidence.attempts,
        drift=summary(evidence.verdict) if evidence.verdict else None,
        work=tuple(sorted(done)),
    )


def _model(bundle: ResolvedBundle, role: str) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "uri": bundle.uri,
        "location": bundle.location,
        "name": manifest.name,
        "version": manifest.version,
        "role": role,
        "bundle_sha256": bundle.digest,
        "model_sha256": manifest.files[MODEL],
        "score_digest": manifest.score_digest,
    }


def _input(evidence: Evidence) -> dict[str, Any]:
    frame, plan = evidence.frame, evidence.frame.plan
    return {
        "root": frame.root.uri,
        "dataset": evidence.request.dataset,
        "where": frame.where,
        "slices": sorted(scope.slice for scope in plan.scopes.values()),
        "files": len({work.path for work in plan.work}),
        "bytes": frame.input_bytes,
        "data_sha256": digest.of_json(sorted({(work.path, work.data_sha256) for work in plan.work})),
    }


def _output(evidence: Evidence) -> dict[str, Any]:
    plan, messages = evidence.frame.plan, evidence.messages
    return {
        "table": evidence.outputs[0],
        "table_version": evidence.versions[0],
        "rejects": evidence.outputs[1],
        "rejects_version": evidence.versions[1],
        "files_added": sum(len(message.predictions) for message in messages),
        "files_removed": len(plan.removes),
        "messages_sha256": messages_digest(messages),
    }


@functools.cache
def code_facts() -> dict[str, Any]:
    """Return which code runs: version, commit where there is one, digests of the lock and of the installed files."""
    folder = Path(scoretrail.__file__).parent
    return {
        "scoretrail": scoretrail.__version__,
        "commit": _git_commit(folder),
        "lock_sha256": _file_digest(folder.parent / "locks" / "scoring.txt"),
        "distribution_sha256": _distribution_digest(),
    }


def environment_facts(spark: str, messages: Sequence[WorkMessage]) -> dict[str, Any]:
    """Return on what the run ran."""
    return {
        "python": platform.python_version(),
        "onnxruntime": engine_version(),
        "pyarrow": pa.__version__,
        "machine": platform.machine(),
        "cpu": cpu_name(),
        "host": socket.gethostname(),
        "hosts": sorted({message.host for message in messages}),
        "spark": spark,
        "repeats_bits": all(message.repeats_bits for message in messages),
        "engines": sorted({message.engine for message in messages}),
    }


def _rows_per_s(rows: int, seconds: Mapping[str, float]) -> float:
    """Return the rate of scoring; what Spark's own start took is another figure."""
    scoring = seconds.get("score", 0.0) - seconds.get("spark_start", 0.0)
    return round(rows / scoring, 1) if scoring > 0 else 0.0


def totals(messages: Sequence[WorkMessage]) -> dict[str, int]:
    """Return the sums of rows over messages: in, filtered, scored, rejected."""
    return {
        name: sum(getattr(message, f"rows_{name}") for message in messages)
        for name in ("in", "filtered", "scored", "rejected")
    }


def reasons(messages: Sequence[WorkMessage]) -> dict[str, int]:
    """Return how many rows each reason rejected."""
    counts: Counter[str] = Counter()
    for message in messages:
        counts.update(message.reasons)
    return dict(sorted(counts.items()))


def _git_commit(folder: Path) -> str | None:
    """Return the commit of the checkout that our code runs from; None where it was installed."""
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return _git(folder, "rev-parse", "HEAD")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607  (git wherever the user has it)
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _file_digest(path: Path) -> str | None:
    return digest.of_bytes(path.read_bytes()) if path.is_file() else None


def _distribution_digest() -> str:
    """Return a digest over our own installed source files, whatever way they were installed."""
    sources = [item for package in ("scoretrail", "jobs") for item in files_of(package) if item[0].endswith(".py")]
    return digest.of_json(sorted([name, digest.of_bytes(data)] for name, data in sources))
