"""The first signal lets the loop finish, the deadline and the second signal do not."""

from __future__ import annotations

import signal
import threading

import pytest

from jobs.stream.operation.stopping import Stopping


def test_the_first_time_asks_and_the_second_ends() -> None:
    codes: list[int] = []
    stopping = Stopping(60, codes.append)
    assert not stopping.asked
    stopping.ask(signal.SIGTERM, None)
    assert (stopping.asked, codes) == (True, [])
    stopping.ask(signal.SIGTERM, None)
    assert codes == [75]
    stopping.done()


def test_a_loop_that_does_not_end_in_time_is_ended() -> None:
    ended = threading.Event()
    stopping = Stopping(0.01, lambda _: ended.set())
    stopping.ask()
    assert ended.wait(10)


def test_a_loop_that_ends_in_time_is_left_alone() -> None:
    codes: list[int] = []
    stopping = Stopping(0.2, codes.append)
    stopping.ask()
    stopping.done()
    assert stopping._timer is not None
    stopping._timer.join(10)
    assert codes == []


def test_signals_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: dict[int, object] = {}
    monkeypatch.setattr(signal, "signal", heard.__setitem__)
    stopping = Stopping(1)
    stopping.listen()
    assert heard == {signal.SIGTERM: stopping.ask, signal.SIGINT: stopping.ask}
