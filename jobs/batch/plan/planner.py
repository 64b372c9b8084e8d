"""Plans a run: resolves the model, lists and looks at the input, and holds it against what the table has."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.batch.input.listing import input_root, list_files, matches, slices_of, with_partitions
from jobs.batch.input.probe import reading
from jobs.batch.input.probing import ProbeCache, probe_all
from jobs.batch.output.columns import partition_type, schemas
from jobs.batch.output.ledger import Ledger
from jobs.batch.plan.plan import Frame, Method, compare, make_work
from jobs.batch.plan.scope import Scope, ScopeBook
from scoretrail import log
from scoretrail.config import MIB
from scoretrail.errors import InputError, UsageError, nearest
from scoretrail.feature.source import load_view
from scoretrail.model.manifest import FEATURES
from scoretrail.model.registry import CHAMPION
from scoretrail.storage import Storage, filesystem, join, normalise_uri
from scoretrail.table import OutputTable
from scoretrail.trail.run import TRAIL_FOLDER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.batch.input.listing import InputFile, InputRoot
    from jobs.batch.input.predicate import Predicate
    from jobs.batch.request import BatchRequest
    from jobs.batch.spark.engine import SparkEngine
    from jobs.progress import Progress
    from scoretrail.config import Settings
    from scoretrail.model.registry import Registry, ResolvedBundle
    from scoretrail.trail.output import LiveFile

_SAMPLE_FILES: Final = 1
"""Files whose schema is looked at before Spark starts: a wrong model or column is told within a second."""


class Planner:
    """Answers what a request covers, what of it is live, and what goes."""

    def __init__(self, request: BatchRequest, settings: Settings, engine: SparkEngine, progress: Progress) -> None:
        """Prepare to plan; nothing is read yet.

        Args:
            request: what to do.
            settings: how.
            engine: hashes on its executors where the master is not local.
            progress: is told of files.
        """
        self._request = request
        self._settings = settings.batch
        self._options = settings.storage.plain()
        self._engine = engine
        self._progress = progress
        self._output = normalise_uri(request.output)
        self._trail = Storage(join(self._output, TRAIL_FOLDER), self._options)

    def resolve(self, registry: Registry) -> tuple[ResolvedBundle, InputRoot]:
        """Return the model and the input that are meant.

        Raises:
            RegistryError, BundleError, UsageError: there is no such model, or the input is a part of one.
        """
        self._progress.step(f"resolving {self._request.model}")
        bundle = registry.resolve(self._request.model, self._options)
        root = input_root(normalise_uri(self._request.input), self._request.dataset)
        return bundle, root

    def plan(self, bundle: ResolvedBundle, root: InputRoot) -> Frame:
        """Return what is to be scored, what is live, and what goes.

        Raises:
            ScoretrailError: the input or the table is not as it must be.
        """
        request, settings = self._request, self._settings
        files = list_files(root, request.slices, self._options)
        condition = _condition(request)
        role = self.role(bundle)
        table = OutputTable(self._output, self._options)
        partition = self._partition(root, files, request.partition_by, table)
        self._check_early(bundle, root, files, table, partition)
        live = table.live_files()
        scopes = self._scopes(root, files, bundle.manifest.name, role, live)
        if condition is not None:
            from jobs.batch.input.pruning import prune  # noqa: PLC0415  (pyarrow's datasets take long to load)

            files = prune(root, files, condition, self._options)
        split_bytes = settings.split_mib * MIB
        self._progress.step(f"looking at {len(files)} files in {len(scopes)} slices")
        cache = None if request.rehash else self._cache(root)
        probed = probe_all(root, files, cache, split_bytes, self._options, self._engine, self._progress)
        method = Method(
            bundle.manifest.score_digest, condition.text if condition else None, tuple(name for name, _ in partition)
        )
        work = make_work(root, probed, method, bundle.manifest.name, role)
        merged = Ledger(self._trail).keys_of(file.path for file in live if file.is_merged and file.scope in scopes)
        plan = compare(work, scopes, live, merged)
        log.get().info(log.RUN_PLANNED, work=len(plan.work), live=len(plan.live), removes=len(plan.removes))
        return Frame(
            root,
            plan,
            table,
            table.scope_versions(scopes),
            partition,
            role,
            method.where,
            sum(f.size_bytes for f in files),
        )

    def forget(self, root: InputRoot) -> None:
        """Forget what was seen of the input: a file was not what it was taken for."""
        self._cache(root).forget()

    def _cache(self, root: InputRoot) -> ProbeCache:
        return ProbeCache(self._trail, root, self._settings.split_mib * MIB)

    def role(self, bundle: ResolvedBundle) -> str:
        """Return the role of the scores: the alias, else what was asked for, else champion.

        Raises:
            UsageError: both are given and differ.
        """
        if bundle.role and self._request.role and bundle.role != self._request.role:
            raise UsageError("--role contradicts the alias in --model", expected=bundle.role, got=self._request.role)
        return bundle.role or self._request.role or CHAMPION

    def _scopes(
        self, root: InputRoot, files: Sequence[InputFile], model: str, role: str, live: Sequence[LiveFile]
    ) -> dict[str, Scope]:
        """Return the run's scopes by id: the slices that the input has, and those that only the table still has.

        Raises:
            InputError: there are none.
        """
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
        self, root: InputRoot, files: Sequence[InputFile], asked: Sequence[str], table: OutputTable
    ) -> tuple[tuple[str, pa.DataType], ...]:
        """Return name and type of the partition columns: those asked for, else the input's own.

        Raises:
            UsageError: a column that was asked for is not there, or cannot partition a table.
        """
        if not files:
            # Nothing will be written; what goes lies as the table is partitioned.
            return table.partitions if table.exists else ()
        keys = [key for key, _ in files[0].partition]
        if not asked or all(name in keys for name in asked):
            return tuple((name, pa.string()) for name in (asked or keys))
        schema = _schema_of(root, files[0], self._options)
        found = []
        for name in asked:
            if name in keys:
                found.append((name, pa.string()))
                continue
            if name not in schema.names:
                near = nearest(name, [*keys, *schema.names])
                raise UsageError(
                    f"--partition-by names a column that is not there: {name}",
                    where=root.uri,
                    fix=f"did you mean {near}?" if near else None,
                )
            found.append((name, partition_type(name, schema.field(name).type)))
        return tuple(found)

    def _check_early(
        self,
        bundle: ResolvedBundle,
        root: InputRoot,
        files: Sequence[InputFile],
        table: OutputTable,
        partition: Sequence[tuple[str, pa.DataType]],
    ) -> None:
        """Refuse what can be seen before a byte is hashed: another table's schema, or a file's first columns.

        Raises:
            UsageError: a partition column that no table should have.
            OutputTableError: the table does not fit, or would have two columns of one name.
            SchemaMismatchError: the first file does not.
        """
        view = load_view(bundle.files[FEATURES], bundle.manifest.view_name)
        for name, _ in partition:
            if name in (view.entity_key, view.event_time):
                raise UsageError(
                    f"a table cannot be partitioned by {name!r}, which nearly every row has a value of its own for",
                    where=root.uri,
                    fix="choose columns with --partition-by",
                )
        scored_schema, _ = schemas(bundle.manifest, partition)
        if table.exists:
            table.check(scored_schema, [name for name, _ in partition])
        for file in files[:_SAMPLE_FILES]:
            schema = with_partitions(_schema_of(root, file, self._options), file.partition)
            view.match(schema, join(root.uri, file.path))


def _condition(request: BatchRequest) -> Predicate | None:
    if not request.where:
        return None
    from jobs.batch.input import predicate  # noqa: PLC0415  (its parser takes a third of a second to load)

    return predicate.parse(request.where)


def _schema_of(root: InputRoot, file: InputFile, options: dict[str, str]) -> pa.Schema:
    place, base = filesystem(root.uri, options)
    path = posixpath.join(base, file.path)
    with reading(path), place.open_input_file(path) as handle:
        return pq.read_schema(handle)
