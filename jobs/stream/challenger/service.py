"""The challenger as a program: a worker of a group, slot and topics of its own that follows what the champion does."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NoReturn

from jobs.stream.challenger import lag as challenger_lag
from jobs.stream.challenger.handlers import EventsHandler, RecordedHandler, decode_recorded, why_not_recorded
from jobs.stream.comparison.pairing import Pairing
from jobs.stream.comparison.window import ComparisonPolicy, Counts, Pair, Window
from jobs.stream.kafka.cluster import KafkaTail
from jobs.stream.loop.position import Mark
from jobs.stream.port import Committed, Partition
from jobs.stream.service import Service
from scoretrail import digest, log
from scoretrail.config import ResolvedSettings
from scoretrail.errors import ConfigurationError, RetryLaterError, StaleGroupError
from scoretrail.model.bundle import open_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobs.stream.handling.handler import Handler
    from jobs.stream.kafka.broker import KafkaInput
    from jobs.stream.loop.turn import Turn
    from jobs.stream.loop.worker import Worker
    from jobs.stream.operation.stopping import Stopping
    from jobs.stream.service import ServiceRequest, Totals
    from jobs.stream.serving.served import ServedBundle
    from scoretrail.clock import Clock
    from scoretrail.config import Settings
    from scoretrail.feature.view import FeatureView
    from scoretrail.model.bundle import Bundle
    from scoretrail.model.registry import Registry

Source = Literal["recorded", "events"]
_LOOK_S: Final = 1.0
"""How often the lag is looked at, and what the tail brought."""
_DIGITS: Final = 16


class Shadow(Service):
    """One process of a challenger's group."""

    def __init__(
        self,
        resolved: ResolvedSettings,
        registry: Registry,
        request: ServiceRequest,
        clock: Clock,
        stopping: Stopping | None = None,
    ) -> None:
        """Prepare; of brokers and store nothing is reached yet.

        Args:
            resolved: the settings and their origins.
            registry: where models come from.
            request: what was asked for.
            clock: tells the time.
            stopping: says when to end.

        Raises:
            ConfigurationError: it would touch what is the champion's, or cannot score what the champion recorded.
            UsageError: a model is no alias.
        """
        settings = resolved.settings
        self._champion = _view(registry, settings.stream.model, settings) if settings.stream.model else None
        self._own = settings.challenger
        self._source: Source = _source(settings, registry, self._champion)
        self._champion_predictions = settings.stream.predictions
        super().__init__(
            ResolvedSettings(_own_settings(settings, self._source), resolved.origins),
            registry,
            request,
            clock,
            stopping,
        )
        self._pairing = Pairing()
        self._policy = ComparisonPolicy(
            source=self._source, segment=self._own.segment, max_segments=self._own.max_segments
        )
        self._window = Window(self._policy, clock.now())
        self._opened_s = self._looked_s = clock.monotonic()
        self._input: KafkaInput | None = None
        self._made: list[RecordedHandler | EventsHandler] = []
        """The last handlers; the thread that loads bundles appends."""

    def _make_handler(self, served: ServedBundle) -> Handler:
        """Return the handler of a challenger's bundle.

        Raises:
            ConfigurationError: it cannot score what the champion recorded, or has no such segment.
        """
        handler = self._make(served.bundle)
        self._made.append(handler)
        return handler

    def _make(self, bundle: Bundle) -> RecordedHandler | EventsHandler:
        segment = self._own.segment
        if self._source == "events":
            return EventsHandler(
                bundle,
                self._lookup,
                self._topics,
                self._identity,
                segment=segment,
                policy=self._event_policy(),
                clock=self._clock,
            )
        why = why_not_recorded(self._champion, bundle.view, segment) if self._champion else ""
        if why:
            _refuse_recorded(why)
        return RecordedHandler(bundle, self._lookup, self._topics, self._identity, segment=segment, clock=self._clock)

    @contextlib.contextmanager
    def _following(self) -> Iterator[None]:
        with super()._following():
            if self._source == "recorded":
                yield
                return
            tail = KafkaTail(self._settings.kafka, self._champion_predictions, self._hear, "stream.predictions")
            tail.start()
            try:
                yield
            finally:
                tail.stop()

    def _loop(self, worker: Worker, source: KafkaInput) -> Totals:
        self._input = source
        try:
            return super()._loop(worker, source)
        finally:
            self._close_window()

    def _observe(self, turn: Turn) -> None:
        super()._observe(turn)
        self._settle(turn)
        now_s = self._clock.monotonic()
        if now_s - self._looked_s >= _LOOK_S:
            self._looked_s = now_s
            self._gather(now_s)
            with contextlib.suppress(RetryLaterError, StaleGroupError):  # looked at again a second later
                self._skip(turn.alias_no)
        if now_s - self._opened_s >= self._own.window_s:
            self._close_window()

    # --- Comparing ----------------------------------------------------------------------------------------------------

    def _settle(self, turn: Turn) -> None:
        """Count what was committed; the rest is read and handled again."""
        # The bundle may have been switched since the turn began: what the one before made counts, too.
        noted = [
            one
            for handler in tuple(self._made)
            for one in handler.take()
            if one.read.offset < turn.offsets.get(Partition(one.read.topic, one.read.partition), 0)
        ]
        del self._made[:-2]
        self._window.counts.refused += turn.dead_letters
        self._window.pairs += [
            Pair(one.champion, one.challenger, one.segment) for one in noted if one.champion is not None
        ]
        waiting = [(one.read, one.challenger, one.segment) for one in noted if one.champion is None]
        if waiting:
            self._pairing.challenger(waiting, self._clock.monotonic())

    def _hear(self, values: Sequence[bytes | None]) -> None:
        """Take the champion's predictions; called on the tail's thread."""
        found = [recorded for value in values if (recorded := decode_recorded(value)) is not None]
        self._pairing.champion((recorded.place, recorded.opinion) for recorded in found)

    def _gather(self, now_s: float) -> None:
        pairs, unmatched = self._pairing.take(now_s)
        self._window.pairs += pairs
        self._window.counts.unmatched += unmatched

    def _close_window(self) -> None:
        """Report the window, and open the next one; a report that cannot be written stops nothing."""
        self._gather(self._clock.monotonic())
        window, now = self._window, self._clock.now()
        self._window = Window(self._policy, now)
        self._opened_s = self._clock.monotonic()
        self._metrics.compared(window)
        if not window.pairs and window.counts == Counts():
            return
        report = window.report(now)
        overall = [one for one in _entries(report) if one["segment"] is None]
        log.get().info(log.CHALLENGER_COMPARED, **{**report, "comparisons": overall})
        if self._own.report is not None:
            try:
                with Path(self._own.report).open("ab") as file:
                    file.write(digest.canonical_json(report) + b"\n")
            except OSError as error:
                log.get().error(log.TRAIL_WRITE_FAILED, error=str(error))

    # --- Lagging ------------------------------------------------------------------------------------------------------

    def _skip(self, alias_no: int) -> None:
        """Pass over what lies between where too much does; between two turns no transaction is under way.

        Raises:
            BrokerError, FencedError: the brokers stayed away, or another process has the slot.
        """
        source = self._input
        if source is None:
            return
        committed = source.committed(source.assignment())
        to = challenger_lag.targets(source.ends(), committed, self._own.max_lag_records)
        if not to:
            return
        mark = Mark(alias_no, self._served.current().bundle_sha256[:_DIGITS], self._request.slot).to_text()
        source.skip({partition: Committed(offset, mark) for partition, offset in to.items()})
        skipped = sum(offset - committed[partition].offset for partition, offset in to.items())
        self._window.counts.skipped += skipped
        log.get().warning(
            log.CHALLENGER_SKIPPED,
            offsets=skipped,
            went_on_at={str(partition): offset for partition, offset in sorted(to.items())},
            limit=self._own.max_lag_records,
        )


def _own_settings(settings: Settings, source: Source) -> Settings:
    """Return the settings of a worker that is the challenger's.

    Raises:
        ConfigurationError: group or a topic is the champion's.
    """
    stream, own = settings.stream, settings.challenger
    group = own.group or f"{stream.group}-challenger"
    if group == stream.group:
        raise ConfigurationError(
            "the challenger would be a member of the champion's group",
            where="challenger.group",
            got=group,
            fix="give it a group of its own",
        )
    champions = {*stream.input, stream.predictions, stream.dead_letters}
    taken = champions & {own.predictions, own.dead_letters}
    if taken:
        raise ConfigurationError(
            "the challenger would write to a topic of the champion's",
            where="challenger.predictions, challenger.dead_letters",
            got=", ".join(sorted(taken)),
            fix="give it topics of its own",
        )
    changed = {
        "model": own.model,
        "group": group,
        "input": stream.input if source == "events" else (stream.predictions,),
        "predictions": own.predictions,
        "dead_letters": own.dead_letters,
        "allowed_versions": (),
        "redrive": False,  # what comes back by it is in the predictions; of events it would be a topic more to read
        "health_port": own.health_port,
    }
    return settings.model_copy(update={"stream": stream.model_copy(update=changed)})


def _source(settings: Settings, registry: Registry, champion: FeatureView | None) -> Source:
    """Return what the challenger scores: recorded vectors where it can.

    Raises:
        ConfigurationError: it was told to score recorded vectors, and cannot.
    """
    asked = settings.challenger.source
    if asked == "events":
        return "events"
    if champion is None:
        if asked == "recorded":
            return "recorded"  # judged vector by vector
        raise ConfigurationError(
            "there is nothing to compare the challenger's view with",
            where="stream.model",
            fix="name the champion: stream.model; or say what to read: challenger.source",
        )
    challenger = _view(registry, settings.challenger.model, settings)
    why = why_not_recorded(champion, challenger, settings.challenger.segment)
    if why and asked == "recorded":
        _refuse_recorded(why)
    return "events" if why else "recorded"


def _refuse_recorded(why: str) -> NoReturn:
    """Say why the recorded vectors are not to be scored.

    Raises:
        ConfigurationError: always.
    """
    raise ConfigurationError(
        "the challenger cannot score what the champion recorded",
        where="challenger.source",
        got=why,
        fix="set challenger.source to events: it then reads the events and the online store itself",
    )


def _view(registry: Registry, uri: str | None, settings: Settings) -> FeatureView:
    """Return the view of what an alias stands for.

    Raises:
        ConfigurationError: no model is named.
    """
    if not uri:
        raise ConfigurationError(
            "no challenger is named", where="challenger.model", expected="models:/NAME@ALIAS", fix="--model"
        )
    return open_bundle(registry.resolve(uri).files, settings.model.bits, settings.model.engine).view


def _entries(report: dict[str, digest.Json]) -> list[dict[str, digest.Json]]:
    found = report["comparisons"]
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
