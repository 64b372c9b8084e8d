"""How a micro-batch is cut, and what is left of it for figures."""

from __future__ import annotations

import pytest

from jobs.stream.loop.turn import first_offsets, sampled, slices, timestamps_ms, traceparents
from jobs.stream.port import Partition
from jobs.stream.record import Message, Record


def records(n: int) -> list[Record]:
    return [Record("events", i % 2, i // 2, 1_000 + i, None, b"") for i in range(n)]


def messages(*sizes: int) -> list[Message]:
    return [Message("predictions", None, b"x" * size) for size in sizes]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((100, 100), [2]),
        ((3000, 3000), [1, 1]),
        ((9000,), [1]),
        ((1, 9000, 1), [1, 1, 1]),
        ((1500, 1500, 1500), [2, 1]),
    ],
)
def test_parts_are_of_at_most_so_many_bytes_or_one_message(sizes: tuple[int, ...], expected: list[int]) -> None:
    parts = list(slices(records(len(sizes)), messages(*sizes), 4_000))
    assert [len(part.records) for part in parts] == expected
    assert [message for part in parts for message in part.messages] == messages(*sizes)


def test_nothing_gives_no_transaction() -> None:
    assert [part for part in slices([], [], 10) if part.records] == []


def test_records_without_a_message_are_never_published() -> None:
    with pytest.raises(ValueError, match="2 records gave 1 messages"):
        list(slices(records(2), messages(1), 10))


def test_the_offsets_of_a_part_are_those_after_its_last_records() -> None:
    (part,) = slices(records(5), messages(*[1] * 5), 1 << 20)
    assert part.offsets() == {Partition("events", 0): 3, Partition("events", 1): 2}
    assert first_offsets(part.records) == {Partition("events", 0): 0, Partition("events", 1): 0}


def test_latency_is_sampled_evenly() -> None:
    sample = timestamps_ms(sampled(records(2000)))
    assert (len(sample), sample[0], sample[1] - sample[0]) == (20, 1_000, 100)
    assert timestamps_ms([Record("events", 0, 0, -1, None, b"")]) == []


def test_trace_contexts_are_taken_as_they_are() -> None:
    with_context = Record("events", 0, 0, 0, None, b"", (("traceparent", b"00-ab-cd-01"), ("other", None)))
    empty = Record("events", 0, 0, 0, None, b"", (("traceparent", None),))
    assert traceparents([*records(1), with_context, empty]) == ["00-ab-cd-01"]
