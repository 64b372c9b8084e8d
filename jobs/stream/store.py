"""The online store that the settings name, left alone for a while when it fails again and again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jobs import online
from scoretrail.errors import StoreUnavailableError
from scoretrail.feature.breaker import BreakerPolicy, BreakerState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from scoretrail.feature.online import OnlineStore, OnlineValue, WriteResult
    from scoretrail.setting import OnlineSettings


class GuardedStore:
    """A store behind a circuit breaker: while the circuit is open a read fails at once instead of at its deadline."""

    def __init__(self, store: OnlineStore, policy: BreakerPolicy, clock: Callable[[], float] = time.monotonic) -> None:
        """Guard a store.

        Args:
            store: what is asked.
            policy: when it is left alone, and for how long.
            clock: seconds that never go back.
        """
        self._store = store
        self._breaker = BreakerState(policy)
        self._clock = clock

    def read(self, keys: Sequence[str], deadline_s: float) -> list[bytes | None]:
        """Return the value of each key, in order; None where there is none.

        Raises:
            StoreUnavailableError: the store failed, or did so lately and is left alone.
        """
        if not self._breaker.allows(self._clock()):
            raise StoreUnavailableError("the online store is left alone after it failed several times")
        try:
            values = self._store.read(keys, deadline_s)
        except StoreUnavailableError:
            self._breaker.failed(self._clock())
            raise
        self._breaker.succeeded()
        return values

    def write(self, values: Iterable[OnlineValue]) -> WriteResult:
        """Write values, each only where the store holds no newer one."""
        return self._store.write(values)

    def ping(self) -> None:
        """Return if the store answers, whatever the circuit; an answer closes it."""
        self._store.ping()
        self._breaker.succeeded()

    def close(self) -> None:
        """Give up the connection."""
        self._store.close()


def open_guarded(settings: OnlineSettings) -> GuardedStore | None:
    """Return the store behind its circuit breaker; None where none is configured. Nothing is asked yet.

    Raises:
        ConfigurationError: its address cannot be understood.
    """
    if settings.uri is None:
        return None
    policy = BreakerPolicy(failures=settings.breaker_failures, pause_s=settings.breaker_open_s)
    return GuardedStore(online.open_store(settings), policy)


def answers(store: OnlineStore | None) -> bool:
    """Tell whether a store answers; one that is not configured is not missed."""
    try:
        if store is not None:
            store.ping()
    except StoreUnavailableError:
        return False
    return True
