"""What is done to workers, brokers and the network, and when: all of it follows from a seed."""

from __future__ import annotations

import random
from enum import StrEnum
from typing import NamedTuple

from tests.chaos.stream.order import TURN


class Kind(StrEnum):
    """What is done."""

    KILL = "SIGKILL at any moment"
    KILL_AT_STEP = "SIGKILL between two steps"
    KILL_AWAY = "SIGKILL between two steps, not restarted"
    TERM = "SIGTERM"
    STALL = "loop stalled, watchdog"
    STALL_ALONE = "loop stalled beyond the poll interval"
    SCALE = "worker added and removed"
    BOUNCE_KILL = "broker killed"
    BOUNCE_TERM = "broker stopped"
    NET_DELAY = "network delayed"
    NET_CUT = "network cut"
    NET_HOLE = "network black-holed"
    STORE_FREEZE = "store frozen"
    STORE_DRIP = "store dripping"
    STORE_RESTART = "store restarted"


KILLS = (Kind.KILL, Kind.KILL_AT_STEP, Kind.KILL_AWAY)
STALLS = (Kind.STALL, Kind.STALL_ALONE)
BOUNCES = (Kind.BOUNCE_KILL, Kind.BOUNCE_TERM)
NETWORK = (Kind.NET_DELAY, Kind.NET_CUT, Kind.NET_HOLE)
STORE = (Kind.STORE_FREEZE, Kind.STORE_DRIP, Kind.STORE_RESTART)
#: How many of each there are for a thousand kills.
OF_THOUSAND = {
    Kind.KILL: 480,
    Kind.KILL_AT_STEP: 480,
    Kind.KILL_AWAY: 40,
    Kind.TERM: 30,
    Kind.STALL: 50,
    Kind.STALL_ALONE: 50,
    Kind.SCALE: 20,
    Kind.BOUNCE_KILL: 60,
    Kind.BOUNCE_TERM: 40,
    Kind.NET_DELAY: 30,
    Kind.NET_CUT: 40,
    Kind.NET_HOLE: 30,
    Kind.STORE_FREEZE: 20,
    Kind.STORE_DRIP: 20,
    Kind.STORE_RESTART: 20,
}
MEAN_PAUSE_S = 0.5


class Fault(NamedTuple):
    """One thing that is done."""

    kind: Kind
    after_s: float
    """Since the fault before was begun."""
    slot: int
    """Which worker, counted around."""
    step: str
    strength: float
    """0 to 1: how long or how bad, as the kind goes."""


def deal(kills: int, seed: int) -> list[Fault]:
    """Return a shuffled deck of faults with so many kills, and of every other kind its share, at least one.

    Args:
        kills: SIGKILLs of workers.
        seed: what all else follows from.
    """
    chosen = random.Random(seed)
    away = max(1, kills * OF_THOUSAND[Kind.KILL_AWAY] // 1000)
    at_step = (kills - away) // 2
    numbers = {kind: max(1, round(kills * share / 1000)) for kind, share in OF_THOUSAND.items()}
    numbers |= {Kind.KILL_AWAY: away, Kind.KILL_AT_STEP: at_step, Kind.KILL: kills - away - at_step}
    kinds = [kind for kind, number in numbers.items() for _ in range(number)]
    chosen.shuffle(kinds)
    steps = [TURN[i % len(TURN)] for i in range(len(kinds))]
    chosen.shuffle(steps)
    return [
        Fault(
            kind,
            chosen.expovariate(1 / MEAN_PAUSE_S),
            chosen.randrange(1000),
            "offsets" if kind is Kind.KILL_AWAY else step,
            chosen.random(),
        )
        for kind, step in zip(kinds, steps, strict=True)
    ]
