"""A batch run from request to record: resolve, list, plan, intend, score, publish; one function per step, in that order."""

from __future__ import annotations

import posixpath
import secrets
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.batch import predicate, publish, record
from jobs.batch.ledger import Ledger
from jobs.batch.listing import input_root, list_files, matches, slices_of
from jobs.batch.plan import Frame, Method, Plan, compare, make_work, pack
from jobs.batch.probe import reading
from jobs.batch.probing import ProbeCache, probe_all, prune
from jobs.batch.removal import check_removal
from jobs.batch.request import BatchRequest, DryRun
from jobs.batch.scope import Scope, ScopeBook
from jobs.batch.stopwatch import Stopwatch
from jobs.batch.work import WorkContext, score_works
from scoretrail import digest, log
from scoretrail.clock import FixedClock, SystemClock, utc_text
from scoretrail.config import MIB
from scoretrail.errors import ConflictError, HeldError, InputError, LimitExceededError, UsageError
from scoretrail.feature.source import load_view
from scoretrail.model.manifest import FEATURES
from scoretrail.model.registry import CHAMPION, Registry
from scoretrail.storage import Storage, filesystem, join, normalise_uri
from scoretrail.table import OutputTable
from scoretrail.trail.run import TRAIL_FOLDER, Hold, Intent, RunStore, ScoringRun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.batch.listing import InputFile, InputRoot
    from jobs.batch.engine import SparkEngine
    from jobs.progress import Progress
    from scoretrail.clock import Clock
    from scoretrail.config import ResolvedSettings, Settings
    from scoretrail.model.registry import ResolvedBundle
    from scoretrail.table import LiveFile
    from scoretrail.trail.run import Status, WorkMessage

_SAMPLE_FILES: Final = 1
"""Files whose schema is looked at before Spark starts: a wrong model or column is told in a second, not after a start."""
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
        self.output = normalise_uri(request.output)
        self.rejects = rejects_uri(self.output, request.rejects)
        self._trail = Storage(join(self.output, TRAIL_FOLDER), self._options)
        self.store = RunStore(self._trail)

    def score(self) -> ScoringRun:
        """Score and publish; return the run's record.

        Raises:
            HeldError: the run is complete and waits to be released.
            RejectLimitError, RemovalLimitError: a limit was exceeded, and nothing was published.
            ConflictError: other runs published into the same scopes again and again.
            ScoretrailError: input, bundle, table or settings are not as they must be.
        """
        finished = self._finished()
        if finished is not None:
            return finished
        bundle, root = self._resolve()
        for attempt in range(1, self._settings.batch.conflict_attempts + 1):
            with self._watch.stage("plan"):
                frame = self._plan(bundle, root)
            intent = self._intend(bundle, root, frame.plan)
            try:
                return self._score_and_publish(bundle, frame, intent)
            except ConflictError as error:
                log.get(run_id=intent.run_id).warning(log.PUBLISH_CONFLICT, attempt=attempt, reason=error.what)
                if attempt == self._settings.batch.conflict_attempts:
                    raise
        raise AssertionError  # the loop returns or raises

    def dry_run(self) -> DryRun:
        """Return what :meth:`score` would do; hashes are computed, nothing is written but the digest cache.

        Raises:
            ScoretrailError: as :meth:`score` before it scores.
        """
        bundle, root = self._resolve()
        plan = self._plan(bundle, root).plan
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
        """Return the record of the run that ``--run-id`` names, if it is finished already."""
        run_id = self._request.run_id
        if run_id is None:
            return None
        held = self.store.held(run_id)
        if held is not None and self.store.find(run_id) is None:
            raise held_error(run_id)
        return self.store.find(run_id)

    def _resolve(self) -> tuple[ResolvedBundle, InputRoot]:
        """Step 1: what the model and the input are; both are known by digest from here on."""
        self._progress.step(f"resolving {self._request.model}")
        bundle = open_registry(self._settings).resolve(self._request.model, self._options)
        root = input_root(normalise_uri(self._request.input), self._request.dataset)
        return bundle, root

    def _plan(self, bundle: ResolvedBundle, root: InputRoot) -> Frame:
        """Step 2: what is to be scored, what is live, what goes."""
        request, settings = self._request, self._settings.batch
        files = list_files(root, request.slices, self._options)
        condition = predicate.parse(request.where) if request.where else None
        role = self._role(bundle)
        table = OutputTable(self.output, self._options)
        partition = self._partition(root, files, request.partition_by)
        self._check_early(bundle, root, files, table, partition)
        live = table.live_files()
        scopes = self._scopes(root, files, bundle.manifest.name, role, live)
        if condition is not None:
            files = prune(root, files, condition, self._options)
        split_bytes = settings.split_mib * MIB
        self._progress.step(f"looking at {len(files)} files in {len(scopes)} slices")
        cache = None if request.rehash else ProbeCache(self._trail, root, split_bytes)
        probed = probe_all(root, files, cache, split_bytes, self._options, self._engine, self._progress)
        method = Method(
            bundle.manifest.score_digest, condition.text if condition else None, tuple(name for name, _ in partition)
        )
        work = make_work(root, probed, method, bundle.manifest.name, role)
        merged = Ledger(self._trail).keys_of(file.path for file in live if file.is_merged and file.scope in scopes)
        plan = compare(work, scopes, live, merged)
        log.get().info(log.RUN_PLANNED, work=len(plan.work), live=len(plan.live), removes=len(plan.removes))
        return Frame(
            root, plan, table, table.scope_versions(scopes), partition, role, method.where, sum(f.size_bytes for f in files)
        )

    def _intend(self, bundle: ResolvedBundle, root: InputRoot, plan: Plan) -> Intent:
        """Step 3: say what will be done, or take up an unfinished run that set out to do the same."""
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
            role=self._role(bundle),
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
        """Steps 4 to 6: score what is neither live nor scored, check, commit, record."""
        attempts = self.store.note_attempt(intent.run_id, secrets.token_hex(4))
        committed = frame.table.version_of_run(intent.run_id)
        if committed is not None:
            messages = self.store.messages(intent.run_id, sorted(self.store.work_keys(intent.run_id)))
            return self._record(bundle, frame, intent, messages, "published", (committed, None), attempts)
        if not frame.plan.todo and not frame.plan.removes:
            return self._record(bundle, frame, intent, [], "unchanged", (frame.table.version, None), attempts)
        self._check_removal(frame, None)
        with self._watch.stage("score"):
            messages = self._score(bundle, frame, intent)
        with self._watch.stage("publish"):
            tables = self._tables(bundle, frame, messages)
            ScopeBook(self._trail).note(frame.plan.scopes.values())
            publish.check_files(messages, self.output, self.rejects, self._options)
            rows = record.totals(messages)
            try:
                rejected = [file for message in messages for file in message.rejects]
                publish.check_reject_limit(rows, self._settings.batch.max_reject_ratio, rejected, self.rejects)
                self._check_removal(frame, messages)
            except LimitExceededError:
                self._record(bundle, frame, intent, messages, "refused", (None, None), attempts)
                raise
            if self._request.hold:
                self._record(bundle, frame, intent, messages, "held", (None, None), attempts)
                raise held_error(intent.run_id)
            metadata = publish.metadata_of(intent, bundle.manifest)
            versions = publish.publish(frame.plan, messages, frame.guard, tables, metadata)
        return self._record(bundle, frame, intent, messages, "published", versions, attempts)

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
            root=frame.root.uri,
            table=self.output,
            rejects=self.rejects,
            where=frame.where,
            partition_by=tuple((name, str(type_)) for name, type_ in frame.partition),
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
            fresh = self._engine.run(splits, _score_works, (context, bundle.files), lambda m: m.rows_in, self._progress)
        finally:
            self._progress.stop()
        return messages + fresh

    def _tables(
        self, bundle: ResolvedBundle, frame: Frame, messages: Sequence[WorkMessage]
    ) -> tuple[OutputTable, OutputTable]:
        """Step 5: the tables as they must be for the commits; rejects get one when the first of them comes."""
        manifest, days = bundle.manifest, self._settings.batch.retention_days
        names = [name for name, _ in frame.partition]
        scored_schema, rejects_schema = publish.schemas(manifest, frame.partition)
        event_time = manifest.view["event_time"]
        publish.prepare_table(frame.table, scored_schema, names, f"Scores of {manifest.name}", days, event_time)
        rejects = OutputTable(self.rejects, self._options)
        if rejects.exists or any(message.rejects for message in messages):
            # A refused row may have no event time: its files state no range.
            publish.prepare_table(rejects, rejects_schema, names, f"Rows {manifest.name} refused", days, None)
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
        """Step 6: ``run.json``."""
        run = record.scoring_run(
            request=self._request,
            resolved=self._resolved,
            bundle=bundle,
            frame=frame,
            intent=intent,
            messages=messages,
            status=status,
            versions=versions,
            outputs=(self.output, self.rejects),
            spark=self._engine.spark_version(),
            attempts=attempts,
            seconds=self._watch.seconds(),
            finished_at=self._clock.now(),
        )
        if status == "held":
            live, removes = sorted(frame.plan.live), [file.path for file in frame.plan.removes]
            self.store.hold(Hold(run, tuple(live), tuple(removes)))
        else:
            self.store.finish(run)
        log.get(run_id=run.run_id).info(log.RUN_FINISHED, status=status, **run.rows, seconds=run.seconds["total"])
        return run

    def _check_removal(self, frame: Frame, messages: Sequence[WorkMessage] | None) -> None:
        if not self._request.allow_remove:
            limit = self._settings.batch.max_remove_ratio
            check_removal(frame.plan, frame.table, limit, messages, self._options)

    # --- What the steps ask -------------------------------------------------------------------------------------------

    def _role(self, bundle: ResolvedBundle) -> str:
        if bundle.role and self._request.role and bundle.role != self._request.role:
            raise UsageError(
                "--role contradicts the alias in --model", expected=bundle.role, got=self._request.role
            )
        return bundle.role or self._request.role or CHAMPION

    def _scopes(
        self, root: InputRoot, files: Sequence[InputFile], model: str, role: str, live: Sequence[LiveFile]
    ) -> dict[str, Scope]:
        """Return the run's scopes by id: the slices that the input has, and those that only the table still has."""
        scopes = [Scope(root.name, slice_, model, role) for slice_ in slices_of(files)]
        found = {scope.id: scope for scope in scopes}
        book = ScopeBook(self._trail)
        for scope_id in {file.scope for file in live} - found.keys():
            scope = book.read(scope_id)
            if (
                scope is not None
                and (scope.root, scope.model, scope.role) == (root.name, model, role)
                and matches(scope.slice, self._request.slices)
            ):
                found[scope.id] = scope
        if not found:
            raise InputError(
                "there are no Parquet files to score",
                where=root.uri,
                expected="*.parquet, below key=value folders or not",
                fix="check --input and --slice",
            )
        return found

    def _partition(
        self, root: InputRoot, files: Sequence[InputFile], asked: Sequence[str]
    ) -> tuple[tuple[str, pa.DataType], ...]:
        """Return name and type of the partition columns: those asked for, else the input's own."""
        keys = [key for key, _ in files[0].partition] if files else []
        if not asked or all(name in keys for name in asked):
            return tuple((name, pa.string()) for name in (asked or keys))
        schema = _schema_of(root, files[0], self._options) if files else pa.schema([])
        found = []
        for name in asked:
            if name in keys:
                found.append((name, pa.string()))
                continue
            if name not in schema.names:
                raise UsageError(f"--partition-by names a column that is not there: {name}", where=root.uri)
            given = schema.field(name).type
            found.append((name, given.value_type if pa.types.is_dictionary(given) else given))
        return tuple(found)

    def _check_early(
        self,
        bundle: ResolvedBundle,
        root: InputRoot,
        files: Sequence[InputFile],
        table: OutputTable,
        partition: Sequence[tuple[str, pa.DataType]],
    ) -> None:
        """Refuse what can be seen before a byte is hashed: another table's schema, or a file's first columns."""
        view = load_view(bundle.files[FEATURES], bundle.manifest.view_name)
        if table.exists:
            table.check(publish.schemas(bundle.manifest, partition)[0], [name for name, _ in partition])
        for file in files[:_SAMPLE_FILES]:
            view.match(_schema_of(root, file, self._options), join(root.uri, file.path))


def _score_works(works: Any, shared: Any) -> Any:  # noqa: ANN401
    context, files = shared
    return score_works(works, context, files)


def _schema_of(root: InputRoot, file: InputFile, options: dict[str, str]) -> pa.Schema:
    place, base = filesystem(root.uri, options)
    path = posixpath.join(base, file.path)
    with reading(path), place.open_input_file(path) as handle:
        return pq.read_schema(handle)


def held_error(run_id: str) -> HeldError:
    """Return what is raised for a run that waits."""
    return HeldError(
        f"run {run_id} is complete and held; nothing was published", fix=f"scoretrail runs release {run_id}"
    )
