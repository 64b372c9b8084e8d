"""Messages as they really are, held against the schemas that others are given."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft7Validator

from jobs.stream.message.contract import (
    Schema,
    dead_letter_schema,
    event_headers_schema,
    event_schema,
    prediction_headers_schema,
    prediction_schema,
)
from jobs.stream.message.event import EventType
from jobs.stream.message.refusal import Refusal
from jobs.stream.record import Message
from scoretrail.model.bundle import Bundle
from tests.factory.streamed import TRACE, chances, event, handler, header, numbers, record, three, winds, windy

CLOUD = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"1"),
    ("ce_source", b"/shop"),
    ("ce_type", b"parcel.sent"),
    ("ce_subject", b"p1"),
    ("traceparent", TRACE),
)


def fits(value: Any, schema: Schema) -> bool:
    plain = json.loads(json.dumps(schema))
    Draft7Validator.check_schema(plain)
    return bool(Draft7Validator(plain).is_valid(json.loads(json.dumps(value))))


def headers_of(message: Message) -> dict[str, str]:
    return {name: (value or b"").decode() for name, value in message.headers}


@pytest.mark.parametrize("make", [chances, numbers, three], ids=lambda make: make.__name__)
def test_predictions_fit_their_schema(make: Callable[[], Bundle]) -> None:
    bundle = make()
    schema = prediction_schema(bundle.view, bundle.manifest.output)
    for message in handler(bundle).handle([event(), event(headers=CLOUD)]):
        value = json.loads(message.value or b"")
        assert fits(value, schema)
        assert fits(headers_of(message), prediction_headers_schema())
        assert value.keys() == schema["properties"].keys()
        assert value["trail"].keys() == schema["properties"]["trail"]["properties"].keys()
        for name in value:
            assert not fits({key: one for key, one in value.items() if key != name}, schema)
        assert not fits(value | {"score": "1"}, schema)
        assert not fits(headers_of(message) | {"more": "x"}, prediction_headers_schema())


def test_predictions_with_stored_features_fit() -> None:
    bundle = windy()
    schema = prediction_schema(bundle.view, bundle.manifest.output)
    for message in handler(bundle, winds(bundle, HERE=1.0)).handle([event(place="here"), event(place="there")]):
        value = json.loads(message.value or b"")
        assert fits(value, schema)
        assert not fits(value | {"stored": {"weather": {"age_s": 1, "outcome": "reject"}}}, schema)
        assert not fits(value | {"stored": {}}, schema)


def test_dead_letters_fit_theirs() -> None:
    schema = dead_letter_schema()
    long = record(b"x" * 2_000_000)
    for message in handler(chances()).handle([record(None), record(b"x"), event(x=101), long]):
        told = headers_of(message)
        assert fits(told, schema)
        trail = json.loads(header(message, "scoretrail-dead-letter"))
        assert fits(trail, schema["definitions"]["trail"])
        assert trail.keys() == schema["definitions"]["trail"]["properties"].keys()
        assert not fits(trail | {"reason": "no reason"}, schema["definitions"]["trail"])
        assert not fits(told | {"scoretrail-truncated": "all"}, schema)


#: Values of one field more or less, and whether an event with it is a row; where it is none for another cause, None.
FIELDS: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"more": [1]}, True),
    ({"x": 1}, True),
    ({"x": -100}, True),
    ({"x": None}, False),
    ({"x": "1"}, False),
    ({"x": True}, False),
    ({"y": None}, True),
    ({"y": 2}, True),
    ({"n": 2**31 - 1}, True),
    ({"n": 2**31}, False),
    ({"n": 1.5}, False),
    ({"n": None}, True),
    ({"place": "here"}, True),
    ({"place": 1}, False),
    ({"key": None}, False),
    ({"key": 1}, False),
    ({"at": 0}, True),
    ({"at": 2**62}, False),
    ({"at": None}, False),
    ({"at": 1.5}, False),
]


@pytest.mark.parametrize(("fields", "good"), FIELDS, ids=str)
def test_the_schema_of_events_says_what_the_decoder_does(fields: dict[str, Any], good: bool) -> None:
    bundle = chances()
    sent = event(**fields).value or b""

    assert fits(json.loads(sent), event_schema(bundle.view)) is good
    assert isinstance(EventType(bundle.view).decode(sent), Refusal) is not good


def test_what_is_required_and_what_is_not() -> None:
    schema = event_schema(chances().view)
    assert schema["required"] == ["key", "at", "x"]
    assert schema["properties"]["y"] == {"type": ["number", "null"], "default": 1.0}
    assert not fits({"key": "a", "at": 0}, schema)
    assert not fits({"key": "a", "at": 0, "x": 101}, schema)


def test_headers_of_events() -> None:
    whole = {name: value.decode() for name, value in CLOUD}
    assert fits(whole, event_headers_schema())
    assert fits({}, event_headers_schema())
    assert not fits(whole | {"ce_specversion": "0.3"}, event_headers_schema())
    assert not fits({"ce_specversion": "1.0"}, event_headers_schema())
