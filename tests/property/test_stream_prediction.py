"""A prediction holds what made it: the same bits again from its own bytes, for any inputs that a model can be given."""

from __future__ import annotations

import functools
import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jobs.stream.audit.reproduction import reproduce_prediction
from jobs.stream.handling.handler import Handler
from jobs.stream.message.identity import EventSource, Identity
from scoretrail.model.bundle import Bundle
from tests.factory.streamed import chances, event, handler, three


@functools.cache
def handlers() -> list[tuple[Bundle, Handler]]:
    return [(bundle, handler(bundle)) for bundle in (chances(), three())]


names = st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters="._-"), min_size=1, max_size=6)


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=6))
def test_what_was_published_reproduces(xs: list[float]) -> None:
    for bundle, mine in handlers():
        messages = mine.handle([event(i, x=x) for i, x in enumerate(xs)])
        for message, x in zip(messages, xs, strict=True):
            if x == -7:  # the derived feature fails there
                assert message.topic == "dead-letters"
                continue
            value = message.value or b""
            assert reproduce_prediction(value, bundle) == []
            told = json.loads(value)
            # The next float64 is another score: the text tells the two apart.
            moved = json.dumps(told | {"score": math.nextafter(told["score"], math.inf)}).encode()
            assert [one.what for one in reproduce_prediction(moved, bundle)] == ["score"]


@given(st.floats(-100, 100, width=32))
def test_the_score_is_the_float64_of_the_models_float32(x: float) -> None:
    (message,) = handlers()[0][1].handle([event(x=x)])
    if x != -7:
        assert json.loads(message.value or b"")["score"].hex() == float(np.float32(x)).hex()


@given(
    st.lists(
        st.tuples(names, names, names, st.integers(0, 99), st.integers(0, 2**63 - 1), st.integers(0, 99)),
        min_size=2,
        max_size=2,
        unique=True,
    )
)
def test_two_positions_never_share_an_id(places: list[tuple[str, str, str, int, int, int]]) -> None:
    ids = [
        EventSource(Identity(app="a", cluster=cluster, role=role), topic).outcome_id(partition, offset, outcome)
        for cluster, topic, role, partition, offset, outcome in places
    ]
    assert ids[0] != ids[1]
