"""Brings together what champion and challenger scored apart, by the event's place, within bounds of number and time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from jobs.stream.comparison.window import Pair

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobs.stream.comparison.window import Opinion

MAX_WAITING: Final = 200_000
"""Of each side: some 50 MB."""
MAX_WAIT_S: Final = 60.0
"""An event whose champion was not heard of by then became a dead letter there, or was scored before we listened."""


class Place(NamedTuple):
    """Where an event lies."""

    topic: str
    partition: int
    offset: int


class Waiting(NamedTuple):
    """A challenger's opinion that waits for the champion's."""

    opinion: Opinion
    segment: str | None
    since_s: float


class Pairing:
    """What waits for its other half; the champion's side comes from a thread of its own."""

    def __init__(self, max_waiting: int = MAX_WAITING, max_wait_s: float = MAX_WAIT_S) -> None:
        """Begin with nothing.

        Args:
            max_waiting: of each side; the oldest ones go first.
            max_wait_s: how long a challenger's opinion waits.
        """
        self._max_waiting = max_waiting
        self._max_wait_s = max_wait_s
        self._lock = threading.Lock()
        self._champions: OrderedDict[Place, Opinion] = OrderedDict()
        self._challengers: OrderedDict[Place, Waiting] = OrderedDict()
        self._pairs: list[Pair] = []
        self._unmatched = 0

    def champion(self, opinions: Iterable[tuple[Place, Opinion]]) -> None:
        """Take what the champion made of events."""
        with self._lock:
            for place, opinion in opinions:
                other = self._challengers.pop(place, None)
                if other is None:
                    self._champions[place] = opinion
                else:
                    self._pairs.append(Pair(opinion, other.opinion, other.segment))
            while len(self._champions) > self._max_waiting:
                self._champions.popitem(last=False)

    def challenger(self, opinions: Iterable[tuple[Place, Opinion, str | None]], now_s: float) -> None:
        """Take what the challenger made of events, and has committed."""
        with self._lock:
            for place, opinion, segment in opinions:
                other = self._champions.pop(place, None)
                if other is None:
                    self._challengers[place] = Waiting(opinion, segment, now_s)
                else:
                    self._pairs.append(Pair(other, opinion, segment))

    def take(self, now_s: float) -> tuple[list[Pair], int]:
        """Return the pairs since the last call, and how many of the challenger's gave up waiting."""
        with self._lock:
            while self._challengers and self._is_over(next(iter(self._challengers.values())), now_s):
                self._challengers.popitem(last=False)
                self._unmatched += 1
            taken = self._pairs, self._unmatched
            self._pairs, self._unmatched = [], 0
        return taken

    def _is_over(self, oldest: Waiting, now_s: float) -> bool:
        return len(self._challengers) > self._max_waiting or now_s - oldest.since_s > self._max_wait_s
