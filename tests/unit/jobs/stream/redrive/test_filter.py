from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jobs.stream.message.redrive_header import Origin
from jobs.stream.record import Message
from jobs.stream.redrive.filter import Place, RedriveFilter, place_of, reasons_of
from jobs.stream.redrive.letter import Letter
from scoretrail.errors import UsageError

AT = datetime(2013, 12, 1, tzinfo=UTC)
AT_MS = 1_385_856_000_000


def letter(*, reason: str = "not_json", partition: int = 3, offset: int = 7, timestamp_ms: int = AT_MS) -> Letter:
    return Letter(
        event_sha256="ab" * 32,
        id="cd" * 16,
        next=Origin("events", partition, offset, 1),
        reason=reason,
        role="champion",
        cluster="c1",
        timestamp_ms=timestamp_ms,
        is_truncated=False,
        event=Message("events.redrive", None, b"x"),
    )


def test_without_a_word_it_takes_everything() -> None:
    assert RedriveFilter().takes(letter())


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (RedriveFilter(reasons=frozenset({"not_json", "no_value"})), True),
        (RedriveFilter(reasons=frozenset({"no_value"})), False),
        (RedriveFilter(places=(Place("events"),)), True),
        (RedriveFilter(places=(Place("others"),)), False),
        (RedriveFilter(places=(Place("events", 2), Place("events", 3))), True),
        (RedriveFilter(places=(Place("events", 3, 7, 7),)), True),
        (RedriveFilter(places=(Place("events", 3, 8),)), False),
        (RedriveFilter(places=(Place("events", 3, 0, 6),)), False),
        (RedriveFilter(since=AT), True),
        (RedriveFilter(since=AT.replace(second=1)), False),
        (RedriveFilter(until=AT), False),
        (RedriveFilter(until=AT.replace(second=1)), True),
        (RedriveFilter(reasons=frozenset({"not_json"}), until=AT), False),
    ],
)
def test_every_part_of_it_has_to_agree(wanted: RedriveFilter, taken: bool) -> None:
    assert wanted.takes(letter()) is taken


@pytest.mark.parametrize("text", ["", "a b", "t/x", "t/1:", "t/1:5-2", "t/1:-", "t:5"])
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        place_of(text)


def test_a_reason_that_is_none_names_the_nearest() -> None:
    assert reasons_of(["not_json", "out_of_range"]) == {"not_json", "out_of_range"}
    with pytest.raises(UsageError, match="no reason 'not_jason'") as caught:
        reasons_of(["not_jason"])
    assert caught.value.fix == "did you mean not_json?"
