"""Spans of the traces that events came with; the only module that imports OpenTelemetry, and only when configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace.export import SpanExporter

    from jobs.stream.loop.turn import Turn

_NS: Final = 1_000_000_000
_BEFORE_COMMIT: Final = ("decode", "lookup", "score", "encode")
_NAMES: Final = {"lookup": "features"}
"""The stage's name in a trace, where it is another one."""
_COMMITTING: Final = ("send", "flush", "offsets", "commit")


class Tracing:
    """Makes spans after a turn: for each sampled event that came with a trace, the times of its micro-batch."""

    def __init__(self, endpoint: str, member: str, exporter: SpanExporter | None = None) -> None:
        """Prepare.

        Args:
            endpoint: where spans are sent to, by a thread of its own.
            member: the worker's name.
            exporter: sends them; default OTLP over HTTP.
        """
        resource = Resource({"service.name": "scoretrail", "service.instance.id": member})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter(endpoint=endpoint)))
        self._tracer = self._provider.get_tracer("scoretrail.stream")
        self._propagator = TraceContextTextMapPropagator()

    def observe(self, turn: Turn, handled: Mapping[str, float], ended_s: float) -> None:
        """Make the spans of a turn.

        Args:
            turn: what it did.
            handled: seconds by stage of the handler: decode, lookup, score, encode.
            ended_s: when the turn ended, seconds since 1970.
        """
        stages = [("poll", turn.seconds.get("poll", 0.0))]
        stages += [(_NAMES.get(name, name), handled.get(name, 0.0)) for name in _BEFORE_COMMIT]
        stages.append(("commit", sum(turn.seconds.get(name, 0.0) for name in _COMMITTING)))
        ended_ns = round(ended_s * _NS)
        began_ns = ended_ns - round(sum(seconds for _, seconds in stages) * _NS)
        for traceparent in turn.traceparents:
            parent = self._propagator.extract({"traceparent": traceparent})
            if not get_current_span(parent).get_span_context().is_valid:
                continue  # not a trace: a span of ours would begin one that nobody asked for
            whole = self._tracer.start_span(
                "scoretrail.event", parent, SpanKind.CONSUMER, {"alias_no": turn.alias_no}, start_time=began_ns
            )
            inside = set_span_in_context(whole)
            at_ns = began_ns
            for name, seconds in stages:
                span = self._tracer.start_span(f"scoretrail.{name}", inside, start_time=at_ns)
                at_ns += round(seconds * _NS)
                span.end(at_ns)
            whole.end(ended_ns)

    def close(self) -> None:
        """Send what is left, and stop."""
        self._provider.shutdown()
