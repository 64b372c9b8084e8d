"""Alive, ready, and what serves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.stream.handling.tally import Tally
from jobs.stream.loop.turn import Outcome, Turn
from jobs.stream.operation.condition import Condition
from jobs.stream.operation.metrics import Metrics
from jobs.stream.operation.watchdog import Watchdog
from jobs.stream.port import Partition
from scoretrail.errors import RegistryError

P0 = Partition("events", 0)


class Serving:
    """What serves, once it is loaded."""

    failures = 0
    is_loaded = True

    def current(self) -> Any:
        if not self.is_loaded:
            raise RegistryError("no bundle is loaded yet")
        manifest = SimpleNamespace(name="parcel", version="1.0.0", card=SimpleNamespace(owner="parcels"))
        resolved = SimpleNamespace(manifest=manifest, role="champion")
        served = SimpleNamespace(alias_no=3, resolved=resolved, bundle=SimpleNamespace(digest="ab" * 32))
        return SimpleNamespace(served=served, alias_no=3, handler=SimpleNamespace(tally=Tally(keys_read=7)))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watchdog(clock: Clock) -> Iterator[Watchdog]:
    found = Watchdog(60, lambda _: None, clock)
    yield found
    found.stop()


@pytest.fixture
def serving() -> Serving:
    return Serving()


@pytest.fixture
def condition(serving: Serving, watchdog: Watchdog) -> Condition:
    return Condition(serving, watchdog, Metrics(), "scoretrail-late-0", 10)  # type: ignore[arg-type]


def test_a_worker_that_is_starting_is_alive_and_not_ready(condition: Condition, serving: Serving) -> None:
    serving.is_loaded = False
    assert condition.probes().live().ok
    ready = condition.probes().ready()
    assert (ready.ok, ready.facts["warm"]) == (False, False)
    assert condition.probes().version().keys() == {"member", "scoretrail"}


def test_a_loop_that_stands_still_is_not_alive(condition: Condition, watchdog: Watchdog, clock: Clock) -> None:
    watchdog.start()
    assert condition.probes().live().ok
    clock.now = 11.0
    assert not condition.probes().live().ok


@pytest.mark.parametrize(("assigned", "away", "ok"), [(0, False, False), (2, False, True), (2, True, False)])
def test_ready_is_assigned_and_not_waiting(condition: Condition, assigned: int, away: bool, ok: bool) -> None:
    condition.note(Turn(Outcome.IDLE, assigned=assigned), store_is_away=away)
    assert condition.probes().ready().ok is ok


def test_the_version_says_what_serves(condition: Condition) -> None:
    version = condition.probes().version()
    assert (version["model"], version["version"], version["alias_no"]) == ("parcel", "1.0.0", 3)
    json.dumps(version)


def test_the_lag_is_what_was_not_committed(condition: Condition) -> None:
    turn = Turn(Outcome.COMMITTED, records=5, offsets={P0: 5}, timestamps_ms=[1_000, 4_000], assigned=1)
    condition.note(turn, store_is_away=False)
    condition.look({P0: 12, Partition("events", 1): 3}, 6_000)
    text = condition.probes().metrics().decode()
    assert 'scoretrail_stream_lag_records{partition="0",topic="events"} 7.0' in text
    assert "scoretrail_stream_lag_seconds 2.0" in text
    assert "scoretrail_stream_store_keys_total 7.0" in text
    assert 'version="1.0.0"' in text
    assert 'owner="parcels"' in text
    assert "scoretrail_stream_ready 1.0" in text
