"""The worker as a program: everything that the settings name is opened, the loop turns, and all is closed again."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from jobs.stream.handling.handler import Handler
from jobs.stream.handling.lookup import Lookup, StorePolicy
from jobs.stream.kafka.broker import KafkaInput, KafkaOutput
from jobs.stream.kafka.cluster import KafkaCluster, KafkaOffsets, KafkaTail
from jobs.stream.loop.hook import Hooks
from jobs.stream.loop.position import ensure_start
from jobs.stream.loop.worker import Worker, WorkerPolicy
from jobs.stream.message.envelope import EventPolicy
from jobs.stream.message.identity import TOPIC_BYTES, Identity, Topics
from jobs.stream.message.redrive_header import redrive_topics
from jobs.stream.operation import memory
from jobs.stream.operation.condition import Condition
from jobs.stream.operation.health import HealthServer
from jobs.stream.operation.journal import Journal, take_over_client
from jobs.stream.operation.limit import DeadLetterLimit, DeadLetterPolicy
from jobs.stream.operation.metrics import Metrics
from jobs.stream.operation.stopping import Stopping
from jobs.stream.operation.watchdog import Watchdog
from jobs.stream.preflight.preflight import check_limits, check_topics
from jobs.stream.serving.run import RunWriter
from jobs.stream.serving.served import Served, ServedPolicy, alias_of_uri
from jobs.stream.slot import member_name
from jobs.stream.store import answers, open_guarded
from scoretrail import log
from scoretrail.errors import DependencyError, FencedError
from scoretrail.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jobs.stream.loop.position import Start
    from jobs.stream.loop.turn import Turn
    from jobs.stream.operation.tracing import Tracing
    from jobs.stream.port import Partition
    from jobs.stream.serving.served import ServedBundle
    from scoretrail.clock import Clock
    from scoretrail.config import ResolvedSettings
    from scoretrail.feature.online import OnlineStore
    from scoretrail.model.registry import Registry
    from scoretrail.setting import StreamSettings

_MS: Final = 1000
_LAG_S: Final = 1.0
"""How often the lag is looked at."""


@dataclass(frozen=True, kw_only=True)
class ServiceRequest:
    """What a worker is started with, besides the settings."""

    slot: str
    start: Start | None = None
    command: str = "scoretrail stream run"
    on_step: Callable[[str], Any] = lambda _: None
    """Called between any two steps of a turn; tests of faults stop the process there."""


@dataclass
class Totals:
    """What a worker did in all."""

    events: int = 0
    dead_letters: int = 0
    transactions: int = 0
    turns: int = 0

    def add(self, turn: Turn) -> None:
        """Count a turn."""
        self.turns += 1
        self.events += turn.records
        self.dead_letters += turn.dead_letters
        self.transactions += turn.transactions


class Service:
    """One worker process."""

    def __init__(
        self,
        resolved: ResolvedSettings,
        registry: Registry,
        request: ServiceRequest,
        clock: Clock,
        stopping: Stopping | None = None,
    ) -> None:
        """Prepare; nothing is reached yet.

        Args:
            resolved: the settings and their origins.
            registry: where models come from.
            request: what was asked for.
            clock: tells the time.
            stopping: says when to end; default one that nobody asks.

        Raises:
            UsageError: a name cannot be used, or the model is no alias.
        """
        settings = resolved.settings
        stream = settings.stream
        self._settings = settings
        self._stream: StreamSettings = stream
        self._request = request
        self._clock = clock
        self._stopping = stopping or Stopping(stream.drain_s)
        self._member = member_name(stream.app, stream.group, request.slot)
        name, self._alias = alias_of_uri(stream.model)
        policy = ServedPolicy(
            name=name,
            alias=self._alias,
            bits=settings.model.bits,
            engine=settings.model.engine,
            poll_s=stream.registry_poll_s,
            allowed_versions=stream.allowed_versions,
        )
        trail = Storage(stream.trail, settings.storage.plain())
        self._runs = RunWriter(trail, resolved, self._member, request.command, clock)
        self._served = Served(registry, policy, self._make_handler, clock)
        self._metrics = Metrics(settings.metrics.owners, memory.limit_bytes())
        self._watchdog = Watchdog(settings.kafka.watchdog_s)
        self._limit = DeadLetterLimit(DeadLetterPolicy(stream.max_dead_letter_ratio, stream.dead_letter_window))
        self._journal = Journal(stream.log_sample_ratio)
        self._condition = Condition(
            self._served, self._watchdog, self._metrics, self._member, settings.kafka.watchdog_s
        )
        self._alias_no = 0
        """The alias that scored the last transaction."""
        self._tracing: Tracing | None = None
        self._handled_s: dict[str, float] = {}
        """Seconds of the handler's stages before the last turn."""
        # Known once the brokers and the store were reached.
        self._store: OnlineStore | None = None
        self._lookup = Lookup(None, StorePolicy(settings.online.when_down))
        self._topics = Topics(predictions=stream.predictions, dead_letters=stream.dead_letters)
        self._identity = Identity(app=stream.app, cluster="")

    def run(self) -> Totals:
        """Serve until somebody asks the process to end; return what was done.

        Raises:
            FencedError: another process has the slot: end, and come back after a session.
            ScoretrailError: a person must act, or the brokers stayed away.
        """
        kafka, stream = self._settings.kafka, self._stream
        take_over_client()
        with contextlib.ExitStack() as stack:
            health = stack.enter_context(HealthServer(stream.health_host, stream.health_port, self._condition.probes()))
            self._reach()
            current = self._served.load()
            self._runs.started(current.served)
            with KafkaOffsets(kafka, stream.group) as offsets:
                begun = ensure_start(offsets, stream.input, self._request.start, stream.group)
                # Whatever is there was put there to be scored.
                begun |= ensure_start(offsets, redrive_topics(stream), "earliest", stream.group)
            log.get().info(
                log.WORKER_STARTED,
                member=self._member,
                alias_no=current.alias_no,
                health_port=health.port,
                started_at={str(partition): offset for partition, offset in begun.items()},
            )
            # The producer first: from here on a predecessor in this slot can commit nothing any more.
            sink = KafkaOutput.open(kafka, self._member)
            stack.callback(sink.close)
            source = KafkaInput(kafka, (*stream.input, *redrive_topics(stream)), stream.group, self._member)
            stack.callback(source.close)
            if stream.otlp_endpoint:
                self._tracing = _open_tracing(stream.otlp_endpoint, self._member)
                stack.callback(self._tracing.close)
            stack.enter_context(self._following())
            stack.enter_context(self._watchdog)
            worker = Worker(source, sink, self._worker_policy(), self._hooks(), self._clock)
            totals = self._loop(worker, source)
        self._stopping.done()
        log.get().info(log.WORKER_STOPPED, member=self._member, **vars(totals))
        return totals

    # --- Opening ------------------------------------------------------------------------------------------------------

    def _reach(self) -> None:
        """Find the topics and their limits, and the store."""
        stream = self._stream
        with KafkaCluster(self._settings.kafka) as cluster:
            names = {*stream.input, *redrive_topics(stream), stream.predictions, stream.dead_letters}
            topics = check_topics(cluster.topics(names), stream)
            check_limits(topics, stream, self._settings.kafka)
            self._identity = Identity(app=stream.app, cluster=cluster.id(), role=self._alias)
        limits = {
            name: min(topics[name].max_message_bytes or TOPIC_BYTES, self._settings.kafka.max_request_bytes)
            for name in (stream.predictions, stream.dead_letters)
        }
        self._topics = Topics(
            predictions=stream.predictions,
            dead_letters=stream.dead_letters,
            max_prediction_bytes=limits[stream.predictions],
            max_dead_letter_bytes=limits[stream.dead_letters],
            redriven=frozenset(redrive_topics(stream)),
        )
        self._store = open_guarded(self._settings.online)
        policy = StorePolicy(self._settings.online.when_down)
        self._lookup = Lookup(self._store, policy, self._settings.online.deadline_ms / _MS)

    def _make_handler(self, served: ServedBundle) -> Handler:
        return Handler(
            served.bundle,
            self._lookup,
            self._topics,
            self._identity,
            pinned=served.pinned,
            policy=self._event_policy(),
            clock=self._clock,
        )

    def _event_policy(self) -> EventPolicy:
        stream = self._stream
        return EventPolicy(
            max_value_bytes=stream.max_event_bytes,
            max_headers=stream.max_event_headers,
            max_future_s=stream.max_future_s,
        )

    def _worker_policy(self) -> WorkerPolicy:
        stream = self._stream
        return WorkerPolicy(
            slot=self._request.slot,
            dead_letters=stream.dead_letters,
            batch_records=stream.batch_records,
            batch_s=stream.batch_ms / _MS,
            batch_output_bytes=stream.batch_output_bytes,
            recover_s=stream.recover_s,
            supersede_events=self._settings.online.supersede_events,
        )

    def _hooks(self) -> Hooks:
        return Hooks(
            current=self._served.current,
            store_is_back=partial(answers, self._store),
            on_step=self._step,
            on_switch=self._switched,
        )

    @contextlib.contextmanager
    def _following(self) -> Iterator[None]:
        """Follow the alias, woken by the control topic where there is one."""
        self._served.start()
        control = None
        if self._stream.control:
            # What a record says does not matter.
            take, where = (lambda _: self._served.wake()), "stream.control"
            control = KafkaTail(self._settings.kafka, self._stream.control, take, where)
            control.start()
        try:
            yield
        finally:
            self._served.stop()
            if control is not None:
                control.stop()

    # --- Turning ------------------------------------------------------------------------------------------------------

    def _loop(self, worker: Worker, source: KafkaInput) -> Totals:
        totals = Totals()
        looked = self._clock.monotonic()
        while not self._stopping.asked:
            try:
                turn = worker.turn()
            except FencedError:
                # Whoever restarts this slot at once would fence its successor, and so on.
                self._watchdog.stop()
                self._stopping.wait(self._settings.kafka.session_s)
                raise
            totals.add(turn)
            self._observe(turn)
            self._condition.note(turn, store_is_away=worker.store_is_away)
            self._limit.observe(turn)
            if self._clock.monotonic() - looked >= _LAG_S:
                looked = self._clock.monotonic()
                self._condition.look(source.ends(), self._clock.now().timestamp() * _MS)
        return totals

    def _observe(self, turn: Turn) -> None:
        ended_s = self._clock.now().timestamp()
        self._journal.note(turn)
        self._metrics.observe(turn, ended_s * _MS)
        if self._tracing is not None:
            so_far = dict(self._served.current().handler.tally.stage_s)
            handled = {name: max(0.0, seconds - self._handled_s.get(name, 0.0)) for name, seconds in so_far.items()}
            self._handled_s = so_far
            self._tracing.observe(turn, handled, ended_s)

    def _step(self, name: str) -> None:
        self._watchdog.beat(name)
        self._request.on_step(name)

    def _switched(self, alias_no: int, offsets: Mapping[Partition, int]) -> None:
        serving = self._served.current()
        log.get().info(
            log.MODEL_SWITCHED,
            alias_no=alias_no,
            bundle_sha256=serving.bundle_sha256,
            offsets={str(partition): offset for partition, offset in sorted(offsets.items())},
        )
        before, self._alias_no = self._alias_no, alias_no
        if before and before != alias_no == serving.alias_no:
            # Off the loop: an object store may take its time.
            threading.Thread(target=self._runs.switched, args=(serving.served, dict(offsets)), daemon=True).start()


def _open_tracing(endpoint: str, member: str) -> Tracing:
    """Return what makes spans.

    Raises:
        DependencyError: OpenTelemetry is not installed.
    """
    try:
        from jobs.stream.operation.tracing import Tracing  # noqa: PLC0415  (loaded when it is configured)
    except ImportError as error:
        raise DependencyError(
            "stream.otlp_endpoint is set, and OpenTelemetry is not installed",
            got=str(error),
            fix="pip install 'scoretrail[otel]'",
        ) from error
    return Tracing(endpoint, member)
