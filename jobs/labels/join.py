"""A join: outcomes met with predictions date by date, one commit, the verdict on performance, and the record of it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

from jobs.labels.assessment import Assessor
from jobs.labels.bundle import Bundles
from jobs.labels.columns import labelled_columns
from jobs.labels.day import span
from jobs.labels.matching import Counts, Day, match
from jobs.labels.outcomes import OutcomeColumns, Outcomes
from jobs.labels.predictions import Predictions
from jobs.labels.store import LabelStore
from jobs.metrics.textfile import Textfiles
from scoretrail import digest, log
from scoretrail.clock import utc_text
from scoretrail.errors import OutputTableError, UsageError
from scoretrail.monitor.concept import ConceptPolicy, overall
from scoretrail.monitor.performance import Costs
from scoretrail.storage import normalise_uri
from scoretrail.table import OutputTable
from scoretrail.trail.label_join import JoinStore, LabelJoin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.labels.predictions import Survey
    from jobs.progress import Progress
    from scoretrail.clock import Clock
    from scoretrail.config import Settings
    from scoretrail.model.registry import Registry
    from scoretrail.trail.prediction import Column

_SUFFIX_BYTES: Final = 4


@dataclass(frozen=True, kw_only=True)
class JoinRequest:
    """What is joined."""

    predictions: tuple[str, ...]
    """Scored tables and archives."""
    outcomes: str
    label: str
    known_at: str
    output: str
    slices: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    window_days: int
    command: str = ""


class LabelJoining:
    """One ``scoretrail labels join``."""

    def __init__(
        self, request: JoinRequest, registry: Registry, settings: Settings, clock: Clock, progress: Progress
    ) -> None:
        """Prepare a join; nothing is read yet."""
        self._request = request
        self._bundles = Bundles(registry)
        self._settings = settings
        self._textfiles = Textfiles(settings.metrics)
        self._options = settings.storage.plain()
        self._clock = clock
        self._progress = progress

    def run(self) -> LabelJoin:
        """Join, publish, look at the performance, and return the record that was written.

        Raises:
            UsageError: a table of predictions that was joined before is missing from the request.
            InputError, SchemaMismatchError, InputChangedError: the outcomes cannot be used.
            OutputTableError: a table is not what it must be.
            BundleError, RegistryError: a bundle is not in the registry, or is no binary classifier.
            ConflictError: another join was faster.
            ConfigurationError: metrics cannot be written where they are to be.
        """
        self._textfiles.check()
        now = self._clock.now()
        join_id = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(_SUFFIX_BYTES)}"
        joins = JoinStore(normalise_uri(self._request.output), self._options)
        self._progress.step("looking at the predictions")
        predictions = self._predictions(joins)
        survey = predictions.survey()
        names = self._names(predictions)
        columns = labelled_columns(names.key, names.key_type, names.event_time, names.segments)
        outcomes = Outcomes(self._request.outcomes, self._request.slices, names, self._options)
        outcomes.survey(self._bundles.classes(survey.bundles), self._progress)
        store = self._store(names, columns)
        counts = self._join(predictions, outcomes, store, survey)
        outcomes.refuse_change()
        published = store.commit(join_id, {"scoretrail.outcomes_sha256": outcomes.to_json()["data_sha256"]})
        self._progress.step("looking at the performance")
        performance, delay = self._assessor(store.table).run()
        record = LabelJoin(
            join_id=join_id,
            status="published" if published else "unchanged",
            command=self._request.command,
            started_at=utc_text(now),
            finished_at=utc_text(self._clock.now()),
            predictions=tuple({"table": one.uri, "version": one.version} for one in predictions.tables),
            outcomes=outcomes.to_json(),
            output={"table": store.table.uri, "version": store.table.version},
            rows=counts.rows,
            delay_s=delay,
            level=overall(performance),
            performance=tuple(performance),
        )
        joins.write(record)
        owners = {one.name: one.card.owner for one in self._bundles.manifests.values()}
        self._textfiles.tell_labels(record.to_json(), output=store.table.uri, owners=owners)
        log.get().info(log.LABELS_JOINED, join_id=join_id, status=record.status, level=record.level, **counts.rows)
        return record

    def _predictions(self, joins: JoinStore) -> Predictions:
        """Open the tables.

        Raises:
            UsageError: one that was joined before is missing from the request.
            OutputTableError: one is not there.
        """
        tables = [OutputTable(normalise_uri(uri), self._options) for uri in dict.fromkeys(self._request.predictions)]
        for table in tables:
            if not table.exists:
                raise OutputTableError("there are no predictions here", where=table.uri)
        last = joins.latest()
        missing = {one["table"] for one in last.predictions} - {table.uri for table in tables} if last else set()
        if missing:
            raise UsageError(
                "the labelled table has rows of predictions that this join does not name",
                where=self._request.output,
                got=", ".join(sorted(missing)),
                fix="name them with --predictions as well, or choose another --output",
            )
        return Predictions(tables)

    def _names(self, predictions: Predictions) -> OutcomeColumns:
        return OutcomeColumns(
            key=predictions.key,
            key_type=predictions.key_type,
            event_time=predictions.event_time,
            outcome=self._request.label,
            known_at=self._request.known_at,
            segments=tuple(dict.fromkeys(self._request.segments)),
        )

    def _store(self, names: OutcomeColumns, columns: Sequence[Column]) -> LabelStore:
        table = OutputTable(normalise_uri(self._request.output), self._options)
        rows = self._settings.batch.row_group_rows
        store = LabelStore(table, columns, names.event_time, rows, self._options)
        store.open(self._settings.batch.retention_days)
        return store

    def _join(self, predictions: Predictions, outcomes: Outcomes, store: LabelStore, survey: Survey) -> Counts:
        days = set(outcomes.by_date)
        if not self._request.slices:
            days |= survey.dates | {date.fromisoformat(text) for text in store.live}
        store.guard(days)
        key = digest.of_json(
            [outcomes.to_json()["data_sha256"], [[table.uri, table.version] for table in predictions.tables]]
        )
        counts = Counts()
        self._progress.step(f"joining {len(days)} event dates, {span(days)}")
        self._progress.start(None, len(days), "joining")
        try:
            for done, day in enumerate(sorted(days), 1):
                before = store.on(day)
                found = Day(day, predictions.on(day), outcomes.on(day), before)
                rows = match(found, outcomes.columns, store.columns, counts)
                if not rows.equals(before):
                    store.replace(day, rows, digest.of_json([key, day.isoformat()]))
                self._progress.update(counts.rows["predictions"], done)
        finally:
            self._progress.stop()
        return counts

    def _assessor(self, table: OutputTable) -> Assessor:
        settings = self._settings.labels
        policy = ConceptPolicy(settings.minimum_rows, Costs(settings.cost_false_alarm, settings.cost_miss))
        segments = tuple(dict.fromkeys(self._request.segments))
        return Assessor(table, self._bundles, policy, self._request.window_days, segments)
