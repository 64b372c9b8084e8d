"""A store that is frozen or answers drop by drop: the decision is made in time, with what the view states."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from jobs.services.service import Service
from jobs.stream.handling.lookup import StorePolicy
from jobs.stream.store import open_guarded
from scoretrail.feature.online import OnlineStore
from scoretrail.setting import OnlineSettings
from tests.chaos.stream import windy
from tests.factory import streamed
from tests.factory.proxy import Proxy

DECISIONS = 40
EVENTS = 128
LIMIT_S = 0.1


@contextmanager
def frozen(store: Service, proxy: Proxy) -> Iterator[None]:
    store.pause()
    try:
        yield
    finally:
        store.resume()


@contextmanager
def dripping(store: Service, proxy: Proxy) -> Iterator[None]:
    proxy.drip_s = 0.005
    try:
        yield
    finally:
        proxy.heal()


@contextmanager
def swallowed(store: Service, proxy: Proxy) -> Iterator[None]:
    proxy.swallow()
    try:
        yield
    finally:
        proxy.heal()


@pytest.mark.parametrize("harm", [frozen, dripping, swallowed])
@pytest.mark.parametrize("failures", [3, 1_000_000], ids=["breaker", "no breaker"])
def test_a_decision_takes_a_tenth_of_a_second_at_most(
    store: Service,
    harm: Callable[[Service, Proxy], Iterator[None]],
    failures: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    windy.fill_store(store.program.port)
    records = [
        streamed.event(offset, key=f"k{offset}", at=streamed.SENT_AT, place=place)
        for offset, place in enumerate([*windy.WINDS] * (EVENTS // 3))
    ]
    with Proxy(store.program.port) as proxy:
        settings = OnlineSettings(
            uri=f"redis://127.0.0.1:{proxy.port}/0", when_down="default", breaker_failures=failures
        )
        online: OnlineStore | None = open_guarded(settings)
        assert online is not None
        handler = streamed.handler(streamed.windy(), online, StorePolicy("default"))
        assert {streamed.value_of(message)["score"] for message in handler.handle(records)} == {*windy.WINDS.values()}
        taken = []
        with harm(store, proxy):  # type: ignore[attr-defined]  # a context
            for _ in range(DECISIONS):
                began = time.perf_counter()
                messages = handler.handle(records)
                taken.append(time.perf_counter() - began)
                assert {streamed.value_of(message)["score"] for message in messages} == {-1.0}
        online.close()
    slowest, median = max(taken), statistics.median(taken)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{harm.__name__}: {DECISIONS} decisions, median {median * 1e3:.1f} ms, slowest {slowest * 1e3:.1f} ms\n"
        )
    assert median <= LIMIT_S
