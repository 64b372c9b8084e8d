from __future__ import annotations

import pytest

from jobs.stream.message.envelope import Envelope, EventPolicy, open_envelope
from jobs.stream.message.refusal import Reason, Refusal
from jobs.stream.record import Record
from tests.factory.streamed import TRACE, record

POLICY = EventPolicy(max_value_bytes=100, max_headers=8)
CLOUD = (("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/shop"), ("ce_type", b"parcel.sent"))


def opened(*headers: tuple[str, bytes | None], value: bytes | None = b"{}") -> Envelope | Refusal:
    return open_envelope(record(value, headers=headers), POLICY)


def refused(*headers: tuple[str, bytes | None], value: bytes | None = b"{}") -> tuple[str, str]:
    found = opened(*headers, value=value)
    assert isinstance(found, Refusal)
    return found.reason, found.field


@pytest.mark.parametrize("value", [None, b""])
def test_no_value_is_refused(value: bytes | None) -> None:
    assert refused(value=value) == (Reason.NO_VALUE, "")


def test_a_null_key_is_fine() -> None:
    assert open_envelope(Record("t", 0, 0, 0, None, b"{}", ()), POLICY) == Envelope()


def test_size_and_number_of_headers_have_a_limit_which_is_allowed_itself() -> None:
    assert opened(value=b"x" * 100) == Envelope()
    assert refused(value=b"x" * 101) == (Reason.TOO_LARGE, "")
    assert opened(*[(f"h{i}", b"") for i in range(8)]) == Envelope()
    assert refused(*[(f"h{i}", b"") for i in range(1000)]) == (Reason.TOO_MANY_HEADERS, "")


@pytest.mark.parametrize(
    "content", [b"application/json", b"Application/JSON; charset=utf-8", b'application/json;charset="UTF-8"', b"", None]
)
def test_json_may_say_that_it_is(content: bytes | None) -> None:
    assert opened(("content-type", content)) == Envelope()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"application/cloudevents+json", Reason.STRUCTURED),
        (b"application/cloudevents-batch+json; charset=utf-8", Reason.STRUCTURED),
        (b"application/avro", Reason.CONTENT_TYPE),
        (b"text/plain", Reason.CONTENT_TYPE),
        (b"application/json; charset=utf-16", Reason.CONTENT_TYPE),
        (b"\xff", Reason.CONTENT_TYPE),
    ],
)
def test_another_content_is_refused(content: bytes, reason: Reason) -> None:
    assert refused(("content-type", content)) == (reason, "content-type")


def test_encoded_content_is_refused() -> None:
    assert refused(("content-encoding", b"gzip")) == (Reason.CONTENT_ENCODING, "content-encoding")
    assert opened(("content-encoding", b"identity")) == Envelope()


def test_a_cloud_event_in_binary_mode_is_opened() -> None:
    assert opened(*CLOUD, ("ce_subject", b"p1")) == Envelope(subject=b"p1")


@pytest.mark.parametrize("missing", ["ce_id", "ce_source", "ce_type"])
def test_a_cloud_event_without_a_part_is_refused(missing: str) -> None:
    assert refused(*[pair for pair in CLOUD if pair[0] != missing]) == (Reason.CLOUDEVENTS_INCOMPLETE, missing)
    assert refused(*CLOUD, (missing, b"\xff")) == (Reason.CLOUDEVENTS_INCOMPLETE, missing)
    assert refused(*CLOUD, (missing, None)) == (Reason.CLOUDEVENTS_INCOMPLETE, missing)


def test_cloud_events_of_another_version_are_refused() -> None:
    assert refused(*CLOUD, ("ce_specversion", b"0.3")) == (Reason.CLOUDEVENTS_VERSION, "ce_specversion")
    assert refused(*CLOUD[1:]) == (Reason.CLOUDEVENTS_INCOMPLETE, "ce_specversion")


def test_of_a_header_that_is_there_twice_the_last_counts() -> None:
    assert opened(("ce_specversion", b"0.3"), *CLOUD) == Envelope()


def test_a_pinned_version_is_read() -> None:
    assert opened(("scoretrail_model_version", b"1.2.0")) == Envelope(model_version="1.2.0")
    for wrong in (b"", None, b"\xff"):
        found = refused(("scoretrail_model_version", wrong))
        assert found == (Reason.MODEL_VERSION, "scoretrail_model_version")


def test_a_valid_trace_is_passed_on() -> None:
    assert opened(("traceparent", TRACE)) == Envelope(traceparent=TRACE)


@pytest.mark.parametrize(
    "trace",
    [
        None,
        b"",
        TRACE.upper(),
        TRACE + b"-",
        b"ff" + TRACE[2:],
        b"00-" + b"0" * 32 + TRACE[35:],
        TRACE[:36] + b"0" * 16 + b"-01",
        TRACE.replace(b"-", b"_"),
    ],
)
def test_a_trace_that_is_none_is_left_out_and_harms_nothing(trace: bytes | None) -> None:
    assert opened(("traceparent", trace)) == Envelope()


@pytest.mark.parametrize("subject", [b"\xff", b"x" * 257, b"", None])
def test_a_subject_that_cannot_be_passed_on_is_left_out(subject: bytes | None) -> None:
    assert opened(*CLOUD, ("ce_subject", subject)) == Envelope()
