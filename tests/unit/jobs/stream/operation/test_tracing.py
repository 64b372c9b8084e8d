"""Spans belong to the trace that an event came with."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from jobs.stream.loop.turn import Outcome, Turn
from jobs.stream.operation.tracing import Tracing

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_the_stages_of_a_micro_batch_are_spans_of_the_incoming_trace() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing("unused", "scoretrail-late-0", exporter)
    seconds = {"poll": 0.5, "handle": 0.3, "send": 0.1, "flush": 0.1, "commit": 0.2}
    turn = Turn(Outcome.COMMITTED, records=1, seconds=seconds, traceparents=[f"00-{TRACE}-{PARENT}-01"])
    tracing.observe(turn, {"decode": 0.05, "lookup": 0.1, "score": 0.1, "encode": 0.05}, 1_000.0)
    tracing.close()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert {f"{span.context.trace_id:032x}" for span in spans.values() if span.context} == {TRACE}
    whole = spans.pop("scoretrail.event")
    assert whole.parent
    assert f"{whole.parent.span_id:016x}" == PARENT
    parts = ["poll", "decode", "features", "score", "encode", "commit"]
    assert [span.name for span in sorted(spans.values(), key=lambda one: one.start_time or 0)] == [
        f"scoretrail.{part}" for part in parts
    ]
    assert {span.parent.span_id for span in spans.values() if span.parent} == {whole.context.span_id}
    assert whole.end_time == 1_000_000_000_000
    assert spans["scoretrail.commit"].end_time == whole.end_time


@pytest.mark.parametrize("traceparents", [[], ["nonsense"], [f"00-{'0' * 32}-{PARENT}-01"]])
def test_an_event_without_a_trace_makes_none(traceparents: list[str]) -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing("unused", "m", exporter)
    tracing.observe(Turn(Outcome.COMMITTED, records=1, traceparents=traceparents), {}, 1_000.0)
    tracing.close()
    assert exporter.get_finished_spans() == ()
