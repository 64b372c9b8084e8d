"""Usual transactions are sampled; what is not as usual is written, once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime

import pytest
import structlog
from structlog.testing import capture_logs

from jobs.stream.loop.turn import Outcome, Turn
from jobs.stream.operation.journal import ClientLines, Journal, take_over_client
from jobs.stream.port import Partition
from scoretrail import log


@pytest.fixture(autouse=True)
def _at_every_level() -> Iterator[None]:
    structlog.reset_defaults()
    log.configure("info", "json")
    yield
    structlog.reset_defaults()


def lines(journal: Journal, *outcomes: Outcome) -> list[tuple[str, str]]:
    with capture_logs() as logs:
        for outcome in outcomes:
            journal.note(Turn(outcome, records=1, offsets={Partition("events", 0): 7}))
    return [(entry["outcome"], entry["log_level"]) for entry in logs]


def test_a_share_of_usual_transactions_is_written() -> None:
    draws = iter([0.05, 0.5, 0.0, 0.1])
    assert lines(Journal(0.1, lambda: next(draws)), *[Outcome.COMMITTED] * 4) == [("committed", "info")] * 2


def test_all_or_none() -> None:
    assert lines(Journal(1), *[Outcome.COMMITTED] * 3) == [("committed", "info")] * 3
    assert lines(Journal(0), *[Outcome.COMMITTED] * 3) == []


def test_what_is_not_as_usual_is_always_written() -> None:
    assert lines(Journal(0), Outcome.ABORTED, Outcome.RESET) == [("aborted", "warning"), ("reset", "warning")]


def test_a_pause_is_written_when_it_begins() -> None:
    pause = [Outcome.PAUSED] * 3
    assert lines(Journal(0), *pause, Outcome.COMMITTED, *pause) == [("paused", "warning")] * 2


def test_nothing_is_said_of_nothing() -> None:
    assert lines(Journal(1), Outcome.IDLE) == []


def test_the_line_holds_figures_and_positions_only() -> None:
    with capture_logs() as logs:
        Journal(1).note(Turn(Outcome.COMMITTED, records=2, offsets={Partition("events", 0): 7}, alias_no=3))
    (entry,) = logs
    assert entry["offsets"] == {"events/0": 7}
    assert entry.keys() == {
        *("event", "log_level", "outcome", "records", "dead_letters", "transactions"),
        *("alias_no", "offsets", "seconds", "error", "trace_id"),
    }


def test_the_client_speaks_through_our_log_from_warnings_up() -> None:
    client = logging.getLogger("kafka")
    before = (list(client.handlers), client.propagate)
    try:
        take_over_client()
        take_over_client()
        assert sum(isinstance(handler, ClientLines) for handler in client.handlers) == 1
        with capture_logs() as logs:
            logging.getLogger("kafka.net.manager").warning("%s went away", "node 1")
            logging.getLogger("kafka.net.manager").info("nothing")
        assert [(entry["event"], entry["told"]) for entry in logs] == [(log.CLIENT_WARNING, "node 1 went away")]
    finally:
        client.handlers, client.propagate = before


class Passing:
    """A clock that is set."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> datetime:
        raise NotImplementedError

    def monotonic(self) -> float:
        return self.at


def test_a_client_that_says_hundreds_of_lines_is_cut_short_and_counted() -> None:
    clock = Passing()
    handler = ClientLines(clock)
    record = logging.LogRecord("kafka.conn", logging.WARNING, __file__, 1, "refused", None, None)
    with capture_logs() as logs:
        for _ in range(500):
            handler.emit(record)
        clock.at += 60
        handler.emit(record)
        handler.emit(record)
    assert [entry["left_out_before"] for entry in logs] == [0] * 60 + [440, 0]
