"""A deck of faults follows from its seed, and has its share of everything."""

from __future__ import annotations

from collections import Counter

from tests.chaos.stream.order import TURN
from tests.chaos.stream.schedule import BOUNCES, KILLS, NETWORK, STALLS, Kind, deal


def test_a_thousand_kills_come_with_a_hundred_of_everything_that_was_promised() -> None:
    deck = deal(1000, seed=1)
    kinds = Counter(fault.kind for fault in deck)
    assert sum(kinds[kind] for kind in KILLS) == 1000
    for some in (BOUNCES, STALLS, NETWORK):
        assert sum(kinds[kind] for kind in some) >= 100
    steps = Counter(fault.step for fault in deck if fault.kind is Kind.KILL_AT_STEP)
    assert set(steps) == set(TURN)
    assert min(steps.values()) > 30


def test_a_short_deck_has_one_of_each() -> None:
    deck = deal(12, seed=1)
    assert {fault.kind for fault in deck} == set(Kind)
    assert sum(fault.kind in KILLS for fault in deck) == 12


def test_the_same_seed_deals_the_same() -> None:
    assert deal(50, seed=7) == deal(50, seed=7) != deal(50, seed=8)
