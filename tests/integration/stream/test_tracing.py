"""A worker's spans reach a collector over OTLP and belong to the trace that the event came with."""

from __future__ import annotations

import itertools
import json
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaProducer

from tests.factory import example
from tests.factory.registered import Registered
from tests.factory.services import Kafka
from tests.factory.stream_stage import LIMIT_S, StreamStage
from tests.factory.workshop import make_registry
from tests.integration.stream.collector import Collector

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARTS = ["poll", "decode", "features", "score", "encode", "commit"]


@pytest.fixture
def stage(
    kafka: Kafka, tmp_path: Path, registered_linear: Registered, registered_trees: Registered
) -> Iterator[StreamStage]:
    found = StreamStage(kafka, tmp_path, make_registry(tmp_path / "registry", registered_linear, registered_trees))
    yield found
    found.end()


def test_a_collector_sees_poll_features_score_and_commit_of_the_incoming_trace(stage: StreamStage) -> None:
    (row,) = example.parcels(example.ROWS).slice(0, 1).to_pylist()
    value = json.dumps({**row, "sent_at": f"{row['sent_at']:%Y-%m-%dT%H:%M:%SZ}"}).encode()
    producer = KafkaProducer(bootstrap_servers=stage.kafka.bootstrap)
    traceparent = f"00-{TRACE}-{PARENT}-01".encode()
    producer.send(stage.input, value, headers=[("traceparent", traceparent)]).get(30)
    producer.send(stage.input, value, key=uuid.uuid4().bytes).get(30)  # without a trace: none is made up
    producer.close()
    with Collector() as collector:
        worker = stage.run("--set", f"stream.otlp_endpoint={collector.endpoint}")
        stage.until(lambda: stage.settled() == 2, "not all are settled")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(LIMIT_S) == 0  # what is left is sent before it ends
    assert collector.paths == {("/v1/traces", "application/x-protobuf")}
    assert collector.services == {"scoretrail"}
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    spans = {span.name.removeprefix("scoretrail."): span for span in collector.spans}
    assert len(spans) == len(collector.spans)
    whole = spans.pop("event")
    assert whole.parent_span_id.hex() == PARENT
    assert {span.parent_span_id for span in spans.values()} == {whole.span_id}
    assert sorted(spans, key=lambda name: (spans[name].start_time_unix_nano, PARTS.index(name))) == PARTS
    chain = [spans[name] for name in PARTS]
    assert all(a.end_time_unix_nano <= b.start_time_unix_nano for a, b in itertools.pairwise(chain))
    assert whole.start_time_unix_nano <= chain[0].start_time_unix_nano
    assert chain[-1].end_time_unix_nano <= whole.end_time_unix_nano
    told = "".join(str(span) for span in collector.spans)
    assert str(row["parcel_id"]) not in told
    prediction = json.loads(stage.kafka.read(stage.predictions)[0].value)
    assert prediction["trail"]["role"] == "champion"
    carried = [dict(one.headers).get("traceparent") for one in stage.kafka.read(stage.predictions)]
    assert sorted(carried, key=bool) == [None, traceparent]
