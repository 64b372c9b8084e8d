"""Which store the settings name, and how it is left alone."""

from __future__ import annotations

import pytest

from jobs.stream.store import GuardedStore, answers, open_guarded
from scoretrail.errors import StoreUnavailableError
from scoretrail.feature.breaker import BreakerPolicy
from scoretrail.feature.online import MemoryOnlineStore
from scoretrail.setting import OnlineSettings


class Failing(MemoryOnlineStore):
    def __init__(self) -> None:
        super().__init__()
        self.is_away = True
        self.reads = 0

    def read(self, keys: object, deadline_s: float) -> list[bytes | None]:
        self.reads += 1
        self.ping()
        return []

    def ping(self) -> None:
        if self.is_away:
            raise StoreUnavailableError("away")


def test_no_store_is_none() -> None:
    assert open_guarded(OnlineSettings()) is None
    assert answers(None)


def test_a_store_that_fails_again_and_again_is_left_alone_and_tried_again() -> None:
    now = [0.0]
    failing = Failing()
    store = GuardedStore(failing, BreakerPolicy(failures=2, pause_s=1), lambda: now[0])
    for _ in range(5):
        with pytest.raises(StoreUnavailableError):
            store.read(["k"], 0.05)
    assert failing.reads == 2
    now[0] = 1.5
    failing.is_away = False
    assert store.read(["k"], 0.05) == []
    assert failing.reads == 3


def test_an_answer_to_a_ping_closes_the_circuit() -> None:
    failing = Failing()
    store = GuardedStore(failing, BreakerPolicy(failures=1, pause_s=1000), lambda: 0.0)
    with pytest.raises(StoreUnavailableError):
        store.read(["k"], 0.05)
    assert not answers(store)
    failing.is_away = False
    assert answers(store)
    assert store.read(["k"], 0.05) == []
