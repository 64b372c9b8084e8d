"""A batch run from request to record: plan, intend, score, publish, record; one function per step, in order."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NoReturn

from jobs.batch.audit import record
from jobs.batch.output.columns import schemas
from jobs.batch.plan.plan import Frame, Plan, pack
from jobs.batch.plan.planner import Planner
from jobs.batch.plan.removal import check_removal
from jobs.batch.plan.scope import ScopeBook
from jobs.batch.publication import publish
from jobs.batch.publication.judgement import judge_run
from jobs.batch.publication.settlement import settle
from jobs.batch.request import BatchRequest, DryRun
from jobs.batch.stopwatch import Stopwatch
from jobs.batch.task.work import WorkContext, score_works
from jobs.metrics.textfile import Textfiles
from scoretrail import digest, log
from scoretrail.clock import FixedClock, SystemClock, utc_text
from scoretrail.config import MIB
from scoretrail.errors import ConflictError, HeldError, InputChangedError, LimitExceededError, UsageError
from scoretrail.model.registry import Registry
from scoretrail.monitor.drift import Level
from scoretrail.storage import Storage, join, normalise_uri
from scoretrail.table import OutputTable
from scoretrail.trail.run import TRAIL_FOLDER, Hold, Intent, RunStore, ScoringRun, check_run_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.batch.input.listing import InputRoot
    from jobs.batch.spark.engine import SparkEngine
    from jobs.progress import Progress
    from scoretrail.clock import Clock
    from scoretrail.config import ResolvedSettings, Settings
    from scoretrail.model.registry import ResolvedBundle
    from scoretrail.trail.run import Status, WorkMessage

_RUN_SUFFIX_BYTES: Final = 4


def clock_of(settings: Settings) -> Clock:
    """Return the clock that the settings ask for."""
    return FixedClock(settings.clock.fixed_at) if settings.clock.fixed_at else SystemClock()


def open_registry(settings: Settings) -> Registry:
    """Return the registry that the settings name."""
    storage = Storage(settings.registry.uri, settings.storage.plain())
    return Registry(storage, clock_of(settings), settings.registry.trusted_keys)


def rejects_uri(output: str, rejects: str | None) -> str:
    """Return where the rejects table lies: beside the output, unless it was named."""
    return normalise_uri(rejects) if rejects else f"{output}_rejects"


class BatchRun:
    """One run: what was asked, and what every step needs to know."""

    def __init__(
        self, request: BatchRequest, resolved: ResolvedSettings, engine: SparkEngine, progress: Progress
    ) -> None:
        """Prepare a run; nothing is read yet.

        Args:
            request: what to do.
            resolved: the settings and their origins.
            engine: Spark, started when it is first needed.
            progress: is told how far the run is.
        """
        self._request = request
        self._resolved = resolved
        self._settings = resolved.settings
        self._options = self._settings.storage.plain()
        self._engine = engine
        self._progress = progress
        self._clock = clock_of(self._settings)
        self._watch = Stopwatch(self._clock)
        self._textfiles = Textfiles(self._settings.metrics)
        self._planner = Planner(request, self._settings, engine, progress)
        self.output = normalise_uri(request.output)
        self.rejects = rejects_uri(self.output, request.rejects)
        self._trail = Storage(join(self.output, TRAIL_FOLDER), self._options)
        self.store = RunStore(self._trail)
        self.model: str | None = None
        """The name of the model, once it is resolved."""

    def score(self) -> ScoringRun:
        """Score and publish; return the run's record.

        Raises:
            HeldError: the run is complete and waits to be released.
            RejectLimitError, RemovalLimitError: a limit was exceeded, and nothing was published.
            InputChangedError: a file changed while it was scored.
            ConflictError: other runs published into the same scopes again and again.
            ScoretrailError: input, bundle, table or settings are not as they must be.
        """
        self._textfiles.check()
        finished = self._finished()
        if finished is not None:
            return finished
        bundle, root = self._planner.resolve(open_registry(self._settings))
        self.model = bundle.manifest.name
        attempt = 0
        while True:
            attempt += 1
            with self._watch.stage("plan"):
                frame = self._planner.plan(bundle, root)
            intent = self._intend(bundle, root, frame.plan)
            try:
                return self._score_and_publish(bundle, frame, intent)
            except InputChangedError:
                # Its size and time were those of the cache: the next run must not believe the cache again.
                self._planner.forget(root)
                raise
            except ConflictError as error:
                log.get(run_id=intent.run_id).warning(log.PUBLISH_CONFLICT, attempt=attempt, reason=error.what)
                if attempt == self._settings.batch.conflict_attempts:
                    raise

    def dry_run(self) -> DryRun:
        """Return what :meth:`score` would do; hashes are computed, nothing is written but the digest cache.

        Raises:
            ScoretrailError: as :meth:`score` before it scores.
        """
        bundle, root = self._planner.resolve(open_registry(self._settings))
        plan = self._planner.plan(bundle, root).plan
        skipped = [work for work in plan.work if work.key in plan.live]
        return DryRun(
            slices=tuple(sorted(scope.slice for scope in plan.scopes.values())),
            files_to_score=tuple(dict.fromkeys(work.path for work in plan.todo)),
            rows_to_score=sum(work.rows for work in plan.todo),
            files_skipped=len({work.path for work in skipped}),
            rows_skipped=sum(work.rows for work in skipped),
            files_to_remove=tuple(file.path for file in plan.removes),
            rows_to_remove=sum(file.rows for file in plan.removes),
        )

    # --- Steps, in their order ----------------------------------------------------------------------------------------

    def _finished(self) -> ScoringRun | None:
        """Return the record of the run that ``--run-id`` names, if it is finished already.

        Raises:
            HeldError: it is complete and waits to be released.
            LimitExceededError: it was refused.
            UsageError: no run can be called so.
        """
        run_id = self._request.run_id
        if run_id is None:
            return None
        run = self.store.find(check_run_id(run_id))
        if run is None and (held := self.store.held(run_id)) is not None:
            _refuse_held(run_id, held.run.drift)
        if run is not None and run.status == "refused":
            raise LimitExceededError(
                f"run {run_id} was refused, and nothing of it was published",
                where=self.store.uri,
                fix="look at `scoretrail runs show`, then score again under another --run-id",
            )
        return run

    def _intend(self, bundle: ResolvedBundle, root: InputRoot, plan: Plan) -> Intent:
        """Step 3: say what will be done, or take up an unfinished run that set out to do the same.

        Raises:
            UsageError: the run of that id set out to do something else.
        """
        plan_digest = digest.of_json([plan.digest, bundle.digest, self.output])
        request = self._request
        if request.run_id is None:
            unfinished = self.store.unfinished(plan_digest)
            if unfinished is not None:
                return unfinished
        now = self._clock.now()
        intent = Intent(
            run_id=request.run_id or f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(_RUN_SUFFIX_BYTES)}",
            plan_sha256=plan_digest,
            scored_at=utc_text(now),
            command=request.command,
            bundle_uri=bundle.uri,
            bundle_location=bundle.location,
            bundle_sha256=bundle.digest,
            role=self._planner.role(bundle),
            input_root=root.uri,
            where=request.where,
        )
        standing = self.store.begin(intent)
        if standing.plan_sha256 != plan_digest:
            raise UsageError(
                f"run {standing.run_id} set out to do something else",
                where=self.store.uri,
                expected="the same model, input files and output",
                fix="give another --run-id, or the command that the run began with",
            )
        return standing

    def _score_and_publish(self, bundle: ResolvedBundle, frame: Frame, intent: Intent) -> ScoringRun:
        """Steps 4 to 6: score what is neither live nor scored, check, commit, record.

        Raises:
            LimitExceededError: too many rejects, or too many rows would go.
            HeldError: the run was to be held.
        """
        attempts = self.store.note_attempt(intent.run_id, secrets.token_hex(4))
        committed = frame.table.version_of_run(intent.run_id)
        if committed is not None:
            messages = self.store.messages(intent.run_id, sorted(self.store.work_keys(intent.run_id)))
            rejects_version = self._settle(frame, messages)
            frame = self._as_committed(frame, committed)
            return self._record(bundle, frame, intent, messages, "published", (committed, rejects_version), attempts)
        if not frame.plan.todo and not frame.plan.removes:
            rejects_version = self._settle(frame, [])
            standing = (frame.table.version, rejects_version)
            return self._record(bundle, frame, intent, [], "unchanged", standing, attempts)
        self._check_removal(frame, None)
        with self._watch.stage("score"):
            messages = self._score(bundle, frame, intent)
        with self._watch.stage("publish"):
            publish.check_files(messages, self.output, self.rejects, self._options)
            rows = record.totals(messages)
            try:
                rejected = [file for message in messages for file in message.rejects]
                publish.check_reject_limit(rows, self._settings.batch.max_reject_ratio, rejected, self.rejects)
                self._check_removal(frame, messages)
            except LimitExceededError:
                self._record(bundle, frame, intent, messages, "refused", (None, None), attempts)
                raise
            tables = self._tables(bundle, frame, messages)
            ScopeBook(self._trail).note(frame.plan.scopes.values())
            drifted = self._judge(bundle, frame, intent, messages)
            if self._request.hold or (drifted and self._settings.drift.on_drift == "hold"):
                run = self._record(bundle, frame, intent, messages, "held", (None, None), attempts)
                _refuse_held(intent.run_id, run.drift)
            metadata = publish.metadata_of(intent, bundle.manifest)
            versions = publish.publish(frame.plan, messages, frame.guard, tables, metadata, self._options)
        return self._record(bundle, frame, intent, messages, "published", versions, attempts)

    def _settle(self, frame: Frame, messages: Sequence[WorkMessage]) -> int | None:
        """Finish or undo what a run that died, or lost a race, left among the rejects; return their table's version."""
        rejects = OutputTable(self.rejects, self._options)
        return settle(frame.table, rejects, frame.plan.scopes, messages, self._options)

    def _as_committed(self, frame: Frame, version: int) -> Frame:
        """Return the frame as it was before the commit that made a version: what went, and on which guards."""
        before = frame.table.at(version - 1)
        stayed = {file.path for file in frame.table.at(version).live_files()}
        gone = (file for file in before.live_files() if file.path not in stayed)
        return replace(
            frame, plan=replace(frame.plan, removes=tuple(gone)), guard=before.scope_versions(frame.plan.scopes)
        )

    def _score(self, bundle: ResolvedBundle, frame: Frame, intent: Intent) -> list[WorkMessage]:
        """Step 4: score on Spark what has no message yet."""
        settings = self._settings.batch
        todo = frame.plan.todo
        done = self.store.work_keys(intent.run_id)
        missing = [work for work in todo if work.key not in done]
        messages = self.store.messages(intent.run_id, [work.key for work in todo if work.key in done])
        if not missing:
            return messages
        context = WorkContext(
            run_id=intent.run_id,
            scored_at=intent.scored_at,
            role=frame.role,
            bits=self._settings.model.bits,
            engine=self._settings.model.engine,
            root=frame.root.uri,
            table=self.output,
            rejects=self.rejects,
            where=frame.where,
            partition_by=frame.partition,
            options=self._options,
            batch_rows=settings.batch_rows,
            row_group_rows=settings.row_group_rows,
            split_bytes=settings.split_mib * MIB,
        )
        self._progress.step("starting Spark" if not self._engine.has_started else "scoring")
        with self._watch.stage("spark_start"):
            tasks = settings.tasks or self._engine.parallelism()
        splits = pack(missing, tasks=tasks, split_bytes=settings.split_mib * MIB, pack_files=settings.pack_files)
        self._progress.start(sum(work.rows for work in missing), len(splits))
        try:
            fresh = self._engine.run(splits, score_works, (context, bundle.files), lambda m: m.rows_in, self._progress)
        finally:
            self._progress.stop()
        return messages + fresh

    def _judge(self, bundle: ResolvedBundle, frame: Frame, intent: Intent, messages: Sequence[WorkMessage]) -> bool:
        """Step 5: write down what is to be said of the rows against the baseline; return whether they drifted."""
        verdict = judge_run(intent.run_id, frame.plan, messages, self.store, bundle.files, self._settings.drift)
        if verdict is None:
            return False
        self.store.judge(intent.run_id, verdict.to_json())
        columns = [column.name for column in verdict.raised]
        log.get(run_id=intent.run_id).info(log.RUN_JUDGED, level=verdict.level, columns=columns, rows=verdict.rows)
        return verdict.level is Level.DRIFT

    def _tables(
        self, bundle: ResolvedBundle, frame: Frame, messages: Sequence[WorkMessage]
    ) -> tuple[OutputTable, OutputTable]:
        """Step 5: the tables as they must be for the commits; rejects get one when the first of them comes."""
        manifest, days = bundle.manifest, self._settings.batch.retention_days
        names = [name for name, _ in frame.partition]
        scored_schema, rejects_schema = schemas(manifest, frame.partition)
        event_time = manifest.view["event_time"]
        publish.prepare_table(frame.table, scored_schema, names, f"Scores of {manifest.name}", days, event_time)
        rejects = OutputTable(self.rejects, self._options)
        if rejects.exists or any(message.rejects for message in messages):
            # A refused row may have no event time: its files state no range.
            publish.prepare_table(
                rejects, rejects_schema, names, f"Rows {manifest.name} refused", days, None, self.output
            )
        return frame.table, rejects

    def _record(
        self,
        bundle: ResolvedBundle,
        frame: Frame,
        intent: Intent,
        messages: Sequence[WorkMessage],
        status: Status,
        versions: tuple[int | None, int | None],
        attempts: int,
    ) -> ScoringRun:
        """Step 6: ``run.json``, and what is told of it."""
        verdict = self.store.verdict(intent.run_id)
        evidence = record.Evidence(
            request=self._request,
            resolved=self._resolved,
            bundle=bundle,
            frame=frame,
            intent=intent,
            messages=messages,
            status=status,
            verdict=verdict,
            versions=versions,
            outputs=(self.output, self.rejects),
            spark=self._engine.spark_version(),
            attempts=attempts,
            seconds=self._watch.seconds(),
            finished_at=self._clock.now(),
        )
        run = record.scoring_run(evidence)
        if status == "held":
            live, removes = sorted(frame.plan.live), [file.path for file in frame.plan.removes]
            self.store.hold(Hold(run, tuple(live), tuple(removes)))
        else:
            self.store.finish(run)
        self._textfiles.tell_run(run, bundle.manifest.card.owner, verdict)
        log.get(run_id=run.run_id).info(log.RUN_FINISHED, status=status, **run.rows, seconds=run.seconds["total"])
        return run

    def _check_removal(self, frame: Frame, messages: Sequence[WorkMessage] | None) -> None:
        if not self._request.allow_remove:
            limit = self._settings.batch.max_remove_ratio
            check_removal(frame.plan, frame.table, limit, messages, self._options)


def _refuse_held(run_id: str, drift: Mapping[str, Any] | None) -> NoReturn:
    raise HeldError(
        f"run {run_id} is complete and held; nothing was published",
        got=f"drift: {drift['level']} {', '.join(drift['columns'])}".rstrip() if drift else None,
        fix=f"scoretrail runs release {run_id}",
    )
