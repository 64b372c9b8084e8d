from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat

from jobs.stream.message.identity import EventSource
from jobs.stream.message.provenance import Provenance
from scoretrail.digest import canonical_json, of_bytes
from scoretrail.feature.packed import Layout
from scoretrail.model.engine import Engine
from scoretrail.model.manifest import Abstention, Guards
from scoretrail.scoring import score_batch
from tests.factory.streamed import (
    IDENTITY,
    TRACE,
    chances,
    event,
    handler,
    header,
    numbers,
    record,
    three,
    value_of,
    winds,
    windy,
)


def test_a_prediction_says_everything() -> None:
    bundle = chances()
    sent = event(7, x=0.75, place="here")
    (message,) = handler(bundle).handle([sent])

    assert (message.topic, message.key) == ("predictions", b"k")
    told = value_of(message)
    layout = Layout(bundle.view.input_fields)
    packed = base64.b64decode(told.pop("inputs"))
    assert layout.unpack([packed]).to_pylist() == [{"ratio": 0.75}]
    assert told == {
        "decision": "yes",
        "entity_key": "k7",
        "event_time": "2013-12-01T00:00:00.000000Z",
        "guard": None,
        "inputs_schema": layout.schema_hash,
        "label": "yes",
        "score": 0.75,
        "scored_at": "2013-12-01T12:00:00.000000Z",
        "store_unavailable": False,
        "stored": {},
        "trail": {
            **Provenance(bundle, IDENTITY, "events").trail(3, 7, 0, hashlib.sha256(sent.value or b"").hexdigest()),
            "features_sha256": of_bytes(packed),
        },
    }
    assert told["trail"]["source"] == {"cluster": "c1", "offset": 7, "partition": 3, "topic": "events"}
    assert told["trail"]["bundle_sha256"] == bundle.digest
    assert told["trail"]["repeats_bits"] is True
    assert told["trail"]["engine"] == "onnxruntime"


def test_a_prediction_names_the_engine_that_scored() -> None:
    bundle = replace(chances(), engine=Engine("trees", "proven"))
    (message,) = handler(bundle).handle([event(7, x=0.75)])

    assert value_of(message)["trail"]["engine"] == "trees"


@pytest.mark.parametrize("make", [chances, numbers, three], ids=lambda make: make.__name__)
def test_the_value_is_canonical_json(make: Any) -> None:
    texts = ['a"b\\c', "\x00\x7f", "ä 100% %s", "\U0001f600"]
    messages = handler(make()).handle([event(i, key=text, x=i / 3) for i, text in enumerate(texts)])

    assert [message.topic for message in messages] == ["predictions"] * 4
    for message, text in zip(messages, texts, strict=True):
        told = value_of(message)
        assert canonical_json(told) == message.value
        assert told["entity_key"] == text


def test_scores_read_back_to_the_same_bits() -> None:
    bundle = numbers()
    xs = [0.1, 1 / 3, 1e-45, -0.0, 99.99999, 3.4e-38]
    messages = handler(bundle).handle([event(i, x=x) for i, x in enumerate(xs)])
    rows = handler(bundle)._lanes.lane("events").event_type
    batch = rows.to_batch([rows.decode(event(i, x=x).value or b"") for i, x in enumerate(xs)])
    scored, _ = score_batch(bundle, batch)

    assert [value_of(message)["score"].hex() for message in messages] == [s.hex() for s in scored.score.to_pylist()]


def test_a_multi_class_prediction_has_every_class() -> None:
    (message,) = handler(three()).handle([event(x=0.25)])

    told = value_of(message)
    assert told["class_scores"] == {"a": 0.25, "b": 0.5, '"c"': 0.0}
    assert (told["score"], told["label"], told["decision"]) == (0.5, "b", "b")


def test_a_regressor_has_neither_label_nor_decision_and_guards_and_bands_show() -> None:
    (plain,) = handler(numbers()).handle([event()])
    assert (value_of(plain)["label"], value_of(plain)["decision"]) == (None, None)

    capped = chances(guards=Guards(cap_maximum=0.6), abstention=Abstention(low=0.5, high=0.7, decision='"ask"'))
    (message,) = handler(capped).handle([event(x=1.0)])
    told = value_of(message)
    assert (told["score"], told["guard"], told["label"], told["decision"]) == (0.6, "capped", "yes", '"ask"')


def test_the_cloud_events_sdk_reads_it() -> None:
    sent = event(
        7,
        headers=(
            ("ce_specversion", b"1.0"),
            ("ce_id", b"1"),
            ("ce_source", b"/shop"),
            ("ce_type", b"parcel.sent"),
            ("ce_subject", "päckchen".encode()),
            ("traceparent", TRACE),
            ("more", b"not passed on"),
        ),
    )
    (message,) = handler(chances()).handle([sent])

    headers = {name: value or b"" for name, value in message.headers}
    assert len(message.headers) == len(headers) <= 10
    found = from_binary(KafkaMessage(headers=headers, key=message.key, value=message.value or b""), JSONFormat())
    assert found.get_specversion() == "1.0"
    assert found.get_type() == "scoretrail.prediction.v1"
    assert found.get_source() == EventSource(IDENTITY, "events").uri
    assert found.get_id() == EventSource(IDENTITY, "events").outcome_id(3, 7, 0)
    assert found.get_subject() == "päckchen"
    assert found.get_datacontenttype() == "application/json"
    assert str(found.get_time()) == "2013-12-01 12:00:00+00:00"
    assert found.get_data() == value_of(message)
    assert headers["traceparent"] == TRACE
    assert "more" not in headers


def test_the_short_trail_is_in_one_header() -> None:
    bundle = chances()
    (message,) = handler(bundle).handle([event()])

    expected = f"outcome=0;role=champion;model=numbers/1.0.0;bundle={bundle.digest[:12]}"
    assert header(message, "scoretrail-trail") == expected


def test_an_event_without_a_key_takes_the_entitys() -> None:
    nothing, empty = handler(chances()).handle([event(1, record_key=None), record(event().value, key=b"")])

    assert nothing.key == b"k1"
    assert empty.key == b""


def test_stored_sets_say_what_became_of_them() -> None:
    bundle = windy()
    messages = handler(bundle, winds(bundle, HERE=2.5)).handle([event(place="here"), event(place="there")])

    told = [value_of(message) for message in messages]
    assert [one["score"] for one in told] == [2.5, -1.0]
    assert told[0]["stored"] == {"weather": {"age_s": 3600, "outcome": "fresh"}}
    assert told[1]["stored"] == {"weather": {"age_s": None, "outcome": "default"}}
    assert all(canonical_json(json.loads(message.value or b"")) == message.value for message in messages)
