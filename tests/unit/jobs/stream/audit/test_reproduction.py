from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from jobs.stream.audit.reproduction import reproduce_prediction
from scoretrail import digest
from scoretrail.errors import PackedError, TrailError
from scoretrail.feature.packed import Layout
from scoretrail.model.bundle import Bundle
from scoretrail.model.manifest import Guards
from tests.factory.streamed import chances, event, handler, numbers, three, winds, windy

KINDS: dict[str, Callable[[], Bundle]] = {"binary": chances, "regressor": numbers, "classes": three}


def published(bundle: Bundle, **fields: Any) -> bytes:
    (message,) = handler(bundle).handle([event(x=0.3, **fields)])
    assert message.topic == "predictions"
    return message.value or b""


def changed(value: bytes, **fields: Any) -> bytes:
    return json.dumps(json.loads(value) | fields).encode()


def differing(value: bytes, bundle: Bundle) -> list[str]:
    return [one.what for one in reproduce_prediction(value, bundle)]


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_prediction_reproduces(make: Callable[[], Bundle]) -> None:
    bundle = make()
    assert reproduce_prediction(published(bundle), bundle) == []


def test_with_stored_features_it_needs_no_store() -> None:
    bundle = windy()
    (message,) = handler(bundle, winds(bundle, HERE=2.5)).handle([event(place="here")])

    assert reproduce_prediction(message.value or b"", bundle) == []


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"score": 0.30000001192092900}, "score"),
        ({"label": "yes"}, "label"),
        ({"decision": None}, "decision"),
        ({"guard": "capped"}, "guard"),
    ],
)
def test_whatever_was_changed_shows(fields: dict[str, Any], what: str) -> None:
    value = changed(published(chances()), **fields)

    assert differing(value, chances()) == [what]


def test_a_changed_class_score_shows() -> None:
    value = published(three())
    scores = json.loads(value)["class_scores"]

    assert differing(changed(value, class_scores=scores | {"b": 0.25}), three()) == ["class_scores.b"]
    assert differing(changed(value, class_scores={"a": scores["a"]}), three()) == ["class_scores.b", 'class_scores."c"']


def test_minus_zero_is_not_zero() -> None:
    bundle = numbers()
    (message,) = handler(bundle).handle([event(x=-0.0)])
    value = message.value or b""

    assert reproduce_prediction(value, bundle) == []
    (difference,) = reproduce_prediction(changed(value, score=0.0), bundle)
    assert (difference.recorded, difference.reproduced) == ("0.0 (0000000000000000)", "-0.0 (8000000000000000)")


def test_changed_inputs_show_by_their_hash_and_if_that_was_changed_too_by_the_score() -> None:
    bundle = chances()
    value = published(bundle)
    row = bytearray(base64.b64decode(json.loads(value)["inputs"]))
    row[-3] ^= 1
    inputs = changed(value, inputs=base64.b64encode(row).decode())
    assert differing(inputs, bundle) == ["features_sha256"]

    trail = json.loads(value)["trail"] | {"features_sha256": digest.of_bytes(bytes(row))}
    assert differing(changed(inputs, trail=trail), bundle) == ["score"]


def test_a_score_that_guards_refuse_shows() -> None:
    value = published(chances())
    strict = chances(guards=Guards(maximum=0.1))
    trail = json.loads(value)["trail"] | {"score_digest": strict.manifest.score_digest}

    (difference,) = reproduce_prediction(changed(value, trail=trail), strict)
    assert (difference.what, difference.reproduced) == ("score", "score_out_of_bounds")


def test_a_patch_reproduces_and_another_model_is_refused() -> None:
    value = published(chances())

    assert reproduce_prediction(value, chances(version="1.0.1")) == []
    with pytest.raises(TrailError, match="another score digest"):
        reproduce_prediction(value, chances(threshold=0.9))
    other = changed(value, inputs_schema="0" * 64)
    with pytest.raises(TrailError, match="another schema of inputs"):
        reproduce_prediction(other, chances())


@pytest.mark.parametrize("value", [b"", b"x", b"{}", b"[" * 100_000, b"\xff"])
def test_what_is_no_prediction_is_refused(value: bytes) -> None:
    with pytest.raises(TrailError, match="no prediction"):
        reproduce_prediction(value, chances())


def test_damaged_inputs_are_refused() -> None:
    bundle = chances()
    value = published(bundle)
    with pytest.raises(TrailError, match="not base64"):
        reproduce_prediction(changed(value, inputs="!"), bundle)
    short = base64.b64decode(json.loads(value)["inputs"])[:-1]
    trail = json.loads(value)["trail"] | {"features_sha256": digest.of_bytes(short)}
    with pytest.raises(PackedError):
        reproduce_prediction(changed(value, inputs=base64.b64encode(short).decode(), trail=trail), bundle)
    assert Layout(bundle.view.input_fields).schema_hash == json.loads(value)["inputs_schema"]
