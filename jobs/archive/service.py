"""The archiver as a program: brokers, model and table are opened, the loop turns, and what waits is committed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jobs.archive.archiver import Archiver, ArchiverPolicy
from jobs.archive.counting import WindowCounter
from jobs.archive.judgement import DayJudge
from jobs.archive.keeping import WindowKeeper
from jobs.archive.row import RowMaker
from jobs.archive.store import ArchiveStore, StorePolicy, TopicIdentity
from jobs.archive.window_table import WindowTable
from jobs.metrics.textfile import Textfiles
from jobs.stream.kafka.cluster import KafkaCluster
from jobs.stream.kafka.reader import KafkaReader
from jobs.stream.operation.journal import take_over_client
from scoretrail.clock import utc_text
from scoretrail.config import MIB
from scoretrail.errors import ConfigurationError, ConflictError, UsageError
from scoretrail.feature.lean import keep_pandas_out
from scoretrail.storage import normalise_uri
from scoretrail.table import OutputTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.archive.archiver import ArchiverTotals
    from jobs.archive.judgement import JudgedSpan
    from jobs.stream.operation.stopping import Stopping
    from scoretrail.clock import Clock
    from scoretrail.config import Settings
    from scoretrail.model.registry import Registry

_ATTEMPTS: Final = 20
"""Commits of other archivers that may come first, at the end."""


@dataclass(frozen=True, kw_only=True)
class ArchiveRequest:
    """What is archived."""

    model: str
    """A version of the model, or an alias: its view and classes are the table's columns."""
    once: bool = False
    """Whether to end when what is there at the start is archived."""
    on_step: Callable[[str], Any] = lambda _: None
    """Called between any two steps; tests of faults stop the process there."""
    on_kept: Callable[[], object] = lambda: None
    """Called when the windows were brought up to date."""


def archive(
    settings: Settings, registry: Registry, request: ArchiveRequest, clock: Clock, stopping: Stopping
) -> ArchiverTotals:
    """Archive the topic of predictions until somebody asks the process to end; return what was done.

    Raises:
        ConflictError: other archivers were faster again and again.
        UsageError: no table is named.
        ConfigurationError: there is no topic, or metrics cannot be written where they are to be.
        OffsetError: retention was faster than the archive.
        OutputTableError: there is another table, or a prediction does not fit it.
        RetryLaterError: brokers or storage are away; the same command goes on.
    """
    keep_pandas_out()
    take_over_client()
    Textfiles(settings.metrics).check()
    topic = settings.stream.predictions
    options = settings.storage.plain()
    counter = WindowCounter(registry, options)
    maker = RowMaker(registry.resolve(request.model, options).manifest)
    with KafkaReader(settings.kafka, [topic], f"{settings.stream.app}-archive") as reader:
        store = ArchiveStore(
            OutputTable(archive_uri(settings), options),
            maker,
            _identity(settings, topic),
            StorePolicy(
                row_group_rows=settings.batch.row_group_rows,
                target_bytes=settings.archive.target_mib * MIB,
                retention_days=settings.batch.retention_days,
                options=options,
            ),
            counter,
        )
        windows = _keeper(settings, store.table.uri, counter, clock, request.on_kept)
        policy = ArchiverPolicy(
            commit_rows=settings.archive.commit_rows,
            commit_s=settings.archive.commit_s,
            compact_commits=settings.archive.compact_commits,
        )
        archiver = Archiver(reader, store, maker, policy, clock, request.on_step)
        ends = reader.ends() if request.once else None
        while not stopping.asked:
            archiver.turn()
            windows.turn()
            if ends is not None and all(at >= ends[partition] for partition, at in reader.positions().items()):
                break
        for _ in range(_ATTEMPTS):
            if archiver.commit():
                break
        else:
            raise ConflictError("other archivers were faster again and again", where=store.table.uri)
    windows.keep()
    stopping.done()
    return archiver.totals


def _keeper(
    settings: Settings, archive: str, counter: WindowCounter, clock: Clock, on_kept: Callable[[], object]
) -> WindowKeeper:
    options = settings.storage.plain()
    table = WindowTable(archive, options)
    return WindowKeeper(
        table,
        DayJudge(table, counter, settings.drift, options),
        clock,
        retention_days=settings.batch.retention_days,
        merge=(settings.archive.compact_commits, settings.archive.target_mib * MIB),
        tell=_teller(settings, archive, counter, clock),
        on_kept=on_kept,
    )


def _teller(settings: Settings, archive: str, counter: WindowCounter, clock: Clock) -> Callable[[JudgedSpan], None]:
    """Return what tells Prometheus of a day of the stream."""
    textfiles = Textfiles(settings.metrics)

    def tell(judged: JudgedSpan) -> None:
        span = judged.span
        model = counter.model(span.model_name, span.model_version, span.bundle_sha256)
        textfiles.tell_verdict(
            judged.verdict.to_json(),
            utc_text(clock.now()),
            model=span.model_name,
            role=span.role,
            output=archive,
            owner="" if model is None else model.manifest.card.owner,
        )

    return tell


def archive_uri(settings: Settings, given: str | None = None) -> str:
    """Return the archive that is meant.

    Raises:
        UsageError: neither the option nor the setting names one.
    """
    chosen = given or settings.archive.table
    if not chosen:
        raise UsageError("which archive?", fix="give --table URI, or set archive.table in conf/base.yaml")
    return normalise_uri(chosen)


def _identity(settings: Settings, topic: str) -> TopicIdentity:
    """Return which topic is archived.

    Raises:
        ConfigurationError: there is none.
    """
    with KafkaCluster(settings.kafka) as cluster:
        found = cluster.topics([topic]).get(topic)
        if found is None:
            raise ConfigurationError(f"there is no topic {topic!r}", where="stream.predictions", fix="create it")
        return TopicIdentity(cluster=cluster.id(), topic=topic, id=found.id)
