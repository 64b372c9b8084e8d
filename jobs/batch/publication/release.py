"""Publishes a run that was held, exactly as it was planned."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.batch.plan.plan import Plan
from jobs.batch.plan.scope import ScopeBook
from jobs.batch.publication import publish
from jobs.batch.publication.settlement import settle
from jobs.metrics.textfile import Textfiles
from scoretrail.clock import utc_text
from scoretrail.errors import ConflictError, TrailError, UsageError
from scoretrail.storage import Storage, join
from scoretrail.table import OutputTable
from scoretrail.trail.run import TRAIL_FOLDER, RunStore

if TYPE_CHECKING:
    from scoretrail.clock import Clock
    from scoretrail.config import Settings
    from scoretrail.model.registry import Registry
    from scoretrail.trail.run import ScoringRun


def release(table_uri: str, run_id: str, registry: Registry, settings: Settings, clock: Clock) -> ScoringRun:
    """Publish a held run and return its record; a run that is published already is returned as it is.

    Raises:
        UsageError: the run is not held.
        ConflictError: its scopes moved since it was planned, so that it would undo what another run published.
        TrailError: messages of the run are missing.
        ConfigurationError: its metrics are to be told, and cannot be.
    """
    textfiles = Textfiles(settings.metrics)
    textfiles.check()
    options = settings.storage.plain()
    trail = Storage(join(table_uri, TRAIL_FOLDER), options)
    store = RunStore(trail)
    finished = store.find(run_id)
    if finished is not None and finished.status == "published":
        return finished
    hold = store.held(run_id)
    if hold is None:
        raise UsageError(f"run {run_id} is not held", where=store.uri, got=store.status(store.intent(run_id).run_id))
    scored = OutputTable(table_uri, options)
    rejects = OutputTable(hold.run.output["rejects"], options)
    committed = scored.version_of_run(run_id)
    intent = store.intent(run_id)
    manifest = registry.resolve(intent.bundle_location, options).manifest
    versions: tuple[int, int | None]
    if committed is None:
        messages = store.messages(run_id, hold.run.work)
        if len(messages) != len(hold.run.work):
            raise TrailError("messages of the held run are missing", where=store.uri, got=f"{len(messages)} messages")
        guard = {scope: entry["guard"] for scope, entry in hold.run.scopes.items()}
        gone = set(hold.removes)
        removes = tuple(file for file in scored.live_files() if file.path in gone)
        if len(removes) != len(gone) or scored.scope_versions(guard) != guard:
            raise ConflictError(
                f"other runs published into the scopes of {run_id} since it was held",
                where=table_uri,
                fix="score again: what is still right is skipped",
            )
        scopes = {scope: found for scope in guard if (found := ScopeBook(trail).read(scope)) is not None}
        plan = Plan((), scopes, frozenset(hold.live), removes)
        publish.check_files(messages, table_uri, rejects.uri, options)
        versions = publish.publish(
            plan, messages, guard, (scored, rejects), publish.metadata_of(intent, manifest), options
        )
    else:
        messages = store.messages(run_id, hold.run.work)
        versions = (committed, settle(scored, rejects, hold.run.scopes, messages, options))
    output = {**hold.run.output, "table_version": versions[0], "rejects_version": versions[1]}
    run = replace(hold.run, status="published", output=output, finished_at=utc_text(clock.now()))
    store.finish(run)
    textfiles.tell_run(run, manifest.card.owner)  # of the verdict was told when it was given
    return run
