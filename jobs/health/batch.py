"""The newest runs of a scored table, with the verdicts on them; a record that is damaged stays with its run."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from jobs.health.fact import Run
from jobs.health.series import Judged
from scoretrail.errors import TrailError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scoretrail.trail.run import Intent, RunStore, ScoringRun

NEWEST: Final = 100
"""Runs that are looked at: enough for three months of days, and a second of reading."""
_READERS: Final = 16
"""An object store answers each in its own time."""
_DIGIT: Final = re.compile(r"\d")
_KINDS: Final = 3
"""Of ids that are looked at; somebody who invents a word for each run must not slow the page down."""


@dataclass(frozen=True)
class RunFacts:
    """What was read of one run."""

    run: Run
    model: str | None
    """None where its records cannot be read."""
    scopes: frozenset[str] = frozenset()
    plan_sha256: str = ""
    verdict: Mapping[str, Any] | None = None


def read_runs(store: RunStore, newest: int = NEWEST) -> list[RunFacts]:
    """Return the newest runs of a table, oldest first; two small objects are read of each, and none of its work.

    Args:
        store: the table's records.
        newest: how many at most.

    Raises:
        StorageError: the records cannot be listed.
    """
    run_ids = _newest(store.run_ids(), newest)
    with ThreadPoolExecutor(_READERS) as readers:
        found = list(readers.map(lambda run_id: _read(store, run_id), run_ids))
    return sorted(found, key=lambda one: (one.run.started_at, one.run.run_id))[-newest:]


def of_model(found: Sequence[RunFacts], model: str) -> tuple[Run, ...]:
    """Return the runs of a model, each with whether it waits for somebody; those that cannot be read are anybody's."""
    ours = [one for one in found if one.model in {model, None}]
    return tuple(replace(one.run, is_settled=_is_settled(one, ours[i + 1 :])) for i, one in enumerate(ours))


def judged(found: Iterable[RunFacts], model: str) -> list[Judged]:
    """Return the verdicts on the runs of a model, oldest first."""
    return [
        Judged("batch", one.run.role, one.run.version, _named(one.run), one.run.run_id, one.verdict)
        for one in found
        if one.model == model and one.verdict is not None
    ]


def newest_model(found: Sequence[RunFacts]) -> str | None:
    """Return the model of the newest run whose record can be read."""
    return next((one.model for one in reversed(found) if one.model), None)


def _newest(run_ids: Sequence[str], number: int) -> list[str]:
    """Return so many of the newest ids of each kind: an orchestrator's begin with a word, and only then with a time.

    >>> _newest(["20131201", "20131202", "manual__2013-12-03", "nightly__2013-12-01", "nightly__2013-12-02"], 1)
    ['20131202', 'manual__2013-12-03', 'nightly__2013-12-02']
    """
    kinds: dict[str, list[str]] = {}
    for run_id in sorted(run_ids):
        kinds.setdefault(_DIGIT.split(run_id, 1)[0], []).append(run_id)
    return [run_id for several in kinds.values() for run_id in several[-number:]][-_KINDS * number :]


def _read(store: RunStore, run_id: str) -> RunFacts:
    try:
        run = store.find(run_id)
        held = store.held(run_id) if run is None else None
        record = held.run if held else run
        if record is None:
            return _unfinished(store.intent(run_id))
        # A verdict is taken from its own record only where there is one to be read.
        return _finished(record, store.verdict(run_id) if record.drift else None)
    except (TrailError, KeyError, TypeError) as error:
        return _damaged(store, run_id, str(getattr(error, "where", None) or run_id))


def _damaged(store: RunStore, run_id: str, where: str) -> RunFacts:
    """Return a run of which a record cannot be read, with what its intent says if that can be."""
    try:
        known = _unfinished(store.intent(run_id))
    except (TrailError, KeyError, TypeError):
        known = RunFacts(Run(run_id=run_id, status="unfinished"), None)
    return replace(known, run=replace(known.run, status="damaged", damaged=where))


def _finished(record: ScoringRun, verdict: Mapping[str, Any] | None) -> RunFacts:
    run = Run(
        run_id=record.run_id,
        status=record.status,
        role=record.model["role"],
        version=record.model["version"],
        started_at=record.started_at,
        finished_at=record.finished_at,
        slices=tuple(record.input["slices"]),
        rows=record.rows,
        reasons=record.reasons,
        rows_per_s=record.rows_per_s,
        seconds=record.seconds["total"],
        level=record.drift["level"] if record.drift else None,
    )
    return RunFacts(run, record.model["name"], frozenset(record.scopes), record.plan_sha256, verdict)


def _unfinished(intent: Intent) -> RunFacts:
    # The folder of a version lies in that of its model, wherever the registry is.
    *_, model, version = ("", "", *intent.bundle_location.rstrip("/").split("/"))
    run = Run(run_id=intent.run_id, status="unfinished", role=intent.role, version=version, started_at=intent.scored_at)
    return RunFacts(run, model or None, frozenset(), intent.plan_sha256)


def _is_settled(one: RunFacts, later: Sequence[RunFacts]) -> bool:
    """Tell whether nobody needs to look after a run: it is done, or later ones did its scopes or its plan."""
    if one.run.status not in {"held", "refused", "unfinished"}:
        return True
    done = [other for other in later if other.run.status in {"published", "unchanged"}]
    if any(other.plan_sha256 == one.plan_sha256 for other in done):
        return True
    return bool(one.scopes) and one.scopes <= frozenset[str]().union(*(other.scopes for other in done))


def _named(run: Run) -> str:
    return run.slices[0] if len(run.slices) == 1 else run.run_id
