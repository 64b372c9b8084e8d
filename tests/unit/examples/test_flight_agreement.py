"""The demo's comparison: every kind of difference is found, counted and refused."""

import struct

import pyarrow as pa
import pytest

from examples.flights import agreement
from examples.flights.agreement import Outcome, compare, of_predictions, score_bits
from examples.flights.outcome import Prediction, latency_text
from examples.flights.replay import event_values
from scoretrail.errors import DifferenceError
from scoretrail.feature import FeatureView
from tests.unit.examples.conftest import FLIGHT, MakeRecord

ONE = Outcome("a" * 64, score_bits(0.25))
NEXT_UP = struct.unpack(">d", (0x3FD0000000000001).to_bytes(8, "big"))[0]


def document(key: str, score: float = 0.25, features: str = "a" * 64) -> dict[str, object]:
    source = {"partition": 0, "offset": int(key)}
    return {"entity_key": key, "score": score, "trail": {"features_sha256": features, "source": source}}


def test_equal_outcomes_agree() -> None:
    stream = of_predictions([document("1"), document("2", 0.5)])
    found = compare({"1": ONE, "2": Outcome("a" * 64, score_bits(0.5))}, stream)
    assert (found.same, found.different) == (2, ())
    found.refuse_difference()


def test_every_difference_is_named_once() -> None:
    batch = dict.fromkeys("12345", ONE)
    stream = of_predictions(
        [document("1"), document("2", NEXT_UP), document("3", features="b" * 64), document("4"), document("6")]
    )
    found = compare(batch, stream)
    assert (found.same, found.other_score, found.other_vector) == (2, ("2",), ("3",))
    assert (found.batch_only, found.stream_only) == (("5",), ("6",))
    with pytest.raises(DifferenceError) as caught:
        found.refuse_difference()
    assert caught.value.where == "2, 3, 5"
    assert caught.value.expected == "6 events with equal vectors and score bits"


def test_an_event_that_was_scored_twice_is_refused() -> None:
    with pytest.raises(DifferenceError, match="scored twice"):
        of_predictions([document("1"), document("1")])


def test_the_sign_of_zero_and_the_last_bit_count() -> None:
    assert len({score_bits(value) for value in (0.0, -0.0, 0.25, NEXT_UP)}) == 4
    assert agreement.score_bits(0.25) == score_bits(1 / 4)


def test_latency_is_from_sending_to_reading() -> None:
    read = [Prediction(b"", document(str(i)), 10 + i / 1000) for i in range(101)]
    sent = {(0, i): 10.0 for i in range(101)}
    assert latency_text(read, sent) == "p50 50 ms, p95 95 ms, p99 99 ms"


def test_an_event_is_its_record_without_what_is_null(record: MakeRecord, view: FeatureView) -> None:
    table = pa.Table.from_batches([record({}, {"dest": None})])
    first, second = event_values(table, view)
    assert first == (
        b'{"flight_id":"2013-01-01-UA-1545-EWR-IAH-0515","sched_dep_at":"2013-01-01T10:15:00.000000Z","carrier":"UA",'
        b'"origin":"EWR","dest":"IAH","distance":1400.0,"sched_arr_minute":499}'
    )
    assert b"dest" not in second
    assert FLIGHT["dest"] == "IAH"
