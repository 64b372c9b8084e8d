"""A circuit breaker: after repeated failures nothing is asked for a while, and then one probe is let through."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Circuit(enum.StrEnum):
    """Whether requests go through."""

    CLOSED = "closed"
    """They do."""
    OPEN = "open"
    """None does: the store is given a pause."""
    HALF_OPEN = "half_open"
    """The pause is over: one is let through, and its result decides."""


@dataclass(frozen=True)
class BreakerPolicy:
    """When a circuit opens and when it is tried again."""

    failures: int = 3
    """So many in a row open it."""
    pause_s: float = 1.0
    """How long nothing is asked."""


class BreakerState:
    """What happened so far; ``now`` is any clock that never goes back, in seconds.

    >>> breaker = BreakerState(BreakerPolicy(failures=2, pause_s=1))
    >>> breaker.failed(0.0), breaker.failed(0.1)
    (None, None)
    >>> breaker.allows(0.5), breaker.allows(1.2), breaker.allows(1.3)
    (False, True, False)
    >>> breaker.succeeded()
    >>> breaker.allows(1.4)
    True
    """

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._opened_at: float | None = None
        self._probed_at: float | None = None

    def circuit(self, now: float) -> Circuit:
        """Return the state of the circuit, for readiness and metrics."""
        if self._opened_at is None:
            return Circuit.CLOSED
        return Circuit.OPEN if now - self._opened_at < self._policy.pause_s else Circuit.HALF_OPEN

    def allows(self, now: float) -> bool:
        """Tell whether a request may be made; in a half-open circuit this takes the one probe.

        A probe whose result is never told does not close the way for ever: after another pause there is a new one.
        """
        circuit = self.circuit(now)
        if circuit is not Circuit.HALF_OPEN:
            return circuit is Circuit.CLOSED
        if self._probed_at is not None and now - self._probed_at < self._policy.pause_s:
            return False
        self._probed_at = now
        return True

    def succeeded(self) -> None:
        """Close the circuit: a request was answered."""
        self._failures = 0
        self._opened_at = self._probed_at = None

    def failed(self, now: float) -> None:
        """Count a failure; open the circuit after enough of them, and at once where it was the probe's."""
        self._failures += 1
        if self._opened_at is not None or self._failures >= self._policy.failures:
            self._opened_at, self._probed_at = now, None
