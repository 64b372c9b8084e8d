"""Holds what a run covers against the baseline: what it scored, and what it skipped as it was scored before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from scoretrail.monitor.baseline import baseline_of
from scoretrail.monitor.drift import Verdict, judge
from scoretrail.monitor.tally import Tally, added

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jobs.batch.plan.plan import Plan
    from scoretrail.config import DriftSettings
    from scoretrail.trail.run import RunStore, WorkMessage


_LOOKED_BACK: Final = 100
"""Runs, for the one before."""


def judge_run(
    run_id: str,
    plan: Plan,
    messages: Iterable[WorkMessage],
    store: RunStore,
    files: Mapping[str, bytes],
    settings: DriftSettings,
) -> Verdict | None:
    """Return the verdict on all rows of a run's scopes; None where the bundle has no baseline, or nothing was counted.

    Args:
        run_id: the run.
        plan: what it covers.
        messages: what it scored.
        store: has the messages of what it skipped.
        files: the bundle's.
        settings: when a difference is one.

    Raises:
        BundleError: the baseline cannot be read.
        TrailError: the counts of a message cannot be read.
    """
    baseline = baseline_of(files)
    if baseline is None:
        return None
    fresh = list(messages)
    kept = store.published(sorted(plan.live - {message.work_key for message in fresh}))
    tallies = {one.work_key: Tally.from_text(one.tally) for one in (*fresh, *kept) if one.tally is not None}
    # What was skipped may have been scored by a bundle of the same model with another baseline: then it has no say.
    ours = {key: tally for key, tally in tallies.items() if tally.baseline == baseline.sha256}
    total = added(ours.values())
    if total is None:
        return None
    verdict = judge(baseline, total, minimum_rows=settings.minimum_rows, false_discoveries=settings.false_discoveries)
    verdict = replace(verdict, rows_left_out=sum(work.rows for work in plan.work if work.key not in ours))
    before = _before(run_id, verdict, store)
    return verdict if before is None else verdict.after(*before)


def _before(run_id: str, now: Verdict, store: RunStore) -> tuple[str, dict[str, Any]] | None:
    """Return the newest other run that was held against the same baseline, and what was said of it.

    The same rows once more, as of a run that was held and is done again, are no second window.
    """
    others = [one for one in store.run_ids() if one != run_id]
    for one in reversed(others[-_LOOKED_BACK:]):
        verdict = store.verdict(one)
        if verdict is None or verdict["baseline_sha256"] != now.baseline_sha256:
            continue
        if verdict["tally_sha256"] != now.tally_sha256:
            return one, verdict
    return None


def summary(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run's record says of a verdict (:meth:`scoretrail.monitor.drift.Verdict.to_json`)."""
    level = verdict["level"]
    worst = [one["name"] for one in verdict["columns"] if one["level"] == level] if level in {"warn", "drift"} else []
    return {
        "level": level,
        "kinds": verdict["kinds"],
        "columns": worst,
        "confirmed": list(verdict["confirmed"]),
        "rows": verdict["rows"],
        "rows_left_out": verdict["rows_left_out"],
        "baseline_sha256": verdict["baseline_sha256"],
        "tally_sha256": verdict["tally_sha256"],
    }
