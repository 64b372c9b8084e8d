"""The log lines of a worker: its turns, usual ones sampled, and what its client has to say."""

from __future__ import annotations

import logging
import random
import re
from typing import TYPE_CHECKING, Final

from jobs.stream.loop.turn import Outcome
from scoretrail import log
from scoretrail.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.stream.loop.turn import Turn
    from scoretrail.clock import Clock

_DIGITS: Final = 4
_TOLD: Final = 300
_MINUTE_S: Final = 60.0
_CLIENT_LINES: Final = 60
"""Of the client's lines a minute; without a limit 17,426 were seen in one while a broker was away."""
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-(?P<trace_id>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class ClientLines(logging.Handler):
    """Takes over what Kafka's client logs, from warnings up, so that all lines have one form, and few say the same."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Prepare.

        Args:
            clock: says when a minute is over.
        """
        super().__init__(logging.WARNING)
        self._clock = clock or SystemClock()
        self._minute = float("-inf")
        """When the current one began."""
        self._written = self._left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line of the client's: while brokers are away it says hundreds a second, and a few are enough."""
        now = self._clock.monotonic()
        if now - self._minute >= _MINUTE_S:
            self._minute, self._written = now, 0
        if self._written >= _CLIENT_LINES:
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out, 0
        self._written += 1
        log.get().warning(
            log.CLIENT_WARNING, source=record.name, told=record.getMessage()[:_TOLD], left_out_before=left_out
        )


def take_over_client() -> None:
    """Let the client speak through our log, once."""
    logger = logging.getLogger("kafka")
    if not any(isinstance(handler, ClientLines) for handler in logger.handlers):
        logger.addHandler(ClientLines())
        logger.propagate = False


def trace_id_of(traceparent: str) -> str:
    """Return the trace id of a W3C trace context, empty where it is none.

    >>> trace_id_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    '0af7651916cd43dd8448eb211c80319c'
    """
    found = _TRACEPARENT.fullmatch(traceparent)
    return found["trace_id"] if found else ""


class Journal:
    """Writes the canonical line of transactions; no keys, no values, no headers."""

    def __init__(self, sample_ratio: float, draw: Callable[[], float] = random.random) -> None:  # noqa: S311  (a sample)
        """Prepare.

        Args:
            sample_ratio: share of usual transactions that are written; 0 none, 1 all.
            draw: a number in [0, 1).
        """
        self._ratio = sample_ratio
        self._draw = draw
        self._before = Outcome.IDLE

    def note(self, turn: Turn) -> None:
        """Write a turn's line, or not: pauses only when they begin, for each poll would be one."""
        before, self._before = self._before, turn.outcome
        if turn.outcome is Outcome.IDLE or turn.outcome is before is Outcome.PAUSED:
            return
        is_usual = turn.outcome is Outcome.COMMITTED
        if is_usual and self._draw() >= self._ratio:
            return
        write = log.get().info if is_usual else log.get().warning
        write(
            log.TRANSACTION,
            outcome=str(turn.outcome),
            records=turn.records,
            dead_letters=turn.dead_letters,
            transactions=turn.transactions,
            alias_no=turn.alias_no,
            offsets={str(partition): offset for partition, offset in sorted(turn.offsets.items())},
            seconds={stage: round(seconds, _DIGITS) for stage, seconds in turn.seconds.items()},
            error=turn.error,
            trace_id=trace_id_of(turn.traceparents[0]) if turn.traceparents else "",
        )
