"""Halving finds what fails, and leaves alone what is not the records' fault."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from jobs.stream.loop.isolation import handle_apart
from jobs.stream.record import Message, Record
from scoretrail.errors import ConfigurationError, ScoretrailError, StoreUnavailableError
from tests.factory.broker_twin import DEAD_LETTERS, Echo


def records(n: int) -> list[Record]:
    return [Record("events", 0, i, 0, None, b"%d" % i) for i in range(n)]


def test_poison_costs_about_two_calls_for_each_halving() -> None:
    calls: list[int] = []

    def before(some: Sequence[Record]) -> None:
        calls.append(len(some))
        if any(record.offset == 700 for record in some):
            raise KeyError

    messages = handle_apart(Echo(before=before), records(1024))
    assert [i for i, message in enumerate(messages) if message.topic == DEAD_LETTERS] == [700]
    assert len(messages) == 1024
    assert len(calls) == 21


def test_if_all_fail_all_become_dead_letters_in_order() -> None:
    def before(_: Sequence[Record]) -> None:
        raise KeyError

    messages = handle_apart(Echo(before=before), records(5))
    assert messages == [Message(DEAD_LETTERS, None, b"KeyError")] * 5


@pytest.mark.parametrize("error", [StoreUnavailableError("away"), ConfigurationError("wrong")])
def test_what_is_not_the_records_fault_is_passed_on(error: ScoretrailError) -> None:
    def before(_: Sequence[Record]) -> None:
        raise error

    with pytest.raises(type(error)):
        handle_apart(Echo(before=before), records(5))
