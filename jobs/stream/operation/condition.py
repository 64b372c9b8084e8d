"""How a worker is: what the loop's thread last saw, for whoever asks over HTTP, and for figures that change slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import scoretrail
from jobs.stream.loop.turn import Outcome
from jobs.stream.operation.health import Checked, Probes
from scoretrail.errors import ScoretrailError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.stream.handling.handler import Handler
    from jobs.stream.loop.turn import Turn
    from jobs.stream.operation.metrics import Metrics
    from jobs.stream.operation.watchdog import Watchdog
    from jobs.stream.port import Partition
    from jobs.stream.serving.served import Served, ServedBundle

_MS: Final = 1000


class Condition:
    """What is known of a worker. The loop's thread writes, others read single values."""

    def __init__(
        self, served: Served[Handler], watchdog: Watchdog, metrics: Metrics, member: str, limit_s: float
    ) -> None:
        """Begin knowing nothing.

        Args:
            served: which bundle serves.
            watchdog: when the loop last moved.
            metrics: the figures.
            member: the slot's name towards brokers.
            limit_s: how long the loop may stand still.
        """
        self._served = served
        self._watchdog = watchdog
        self._metrics = metrics
        self._member = member
        self._limit_s = limit_s
        self._assigned = 0
        self._timestamp_ms = 0
        self._store_is_away = False
        self._offsets: dict[Partition, int] = {}

    def note(self, turn: Turn, *, store_is_away: bool) -> None:
        """Take note of a turn."""
        self._assigned = turn.assigned
        self._store_is_away = store_is_away
        if turn.outcome is Outcome.COMMITTED:
            self._offsets.update(turn.offsets)
            self._timestamp_ms = max(turn.timestamps_ms, default=self._timestamp_ms)

    def look(self, ends: Mapping[Partition, int], now_ms: float) -> None:
        """Bring the slow figures up to date.

        Args:
            ends: the offset after the last record of each partition that is read.
            now_ms: milliseconds since 1970.
        """
        behind = {p: max(0, end - self._offsets[p]) for p, end in ends.items() if p in self._offsets}
        age_ms = now_ms - self._timestamp_ms if self._timestamp_ms else 0.0
        self._metrics.lag(behind, max(0.0, age_ms) / _MS)
        serving = self._served.current()
        self._metrics.serving(serving.served, self._served.failures)
        self._metrics.count(serving.handler.tally, str(serving.alias_no))

    def probes(self) -> Probes:
        """Return the answers of this worker."""
        return Probes(live=self._live, ready=self._ready, version=self._version, metrics=self._text)

    def _live(self) -> Checked:
        if not self._watchdog.is_watching:
            return Checked(ok=True, facts={"loop": "not started, or ending"})
        age_s = self._watchdog.age_s()
        return Checked(age_s <= self._limit_s, {"loop_age_s": round(age_s, 3), "limit_s": self._limit_s})

    def _ready(self) -> Checked:
        served = self._served_or_none()
        facts = {
            "alias_no": served.alias_no if served else None,
            "assigned": self._assigned,
            "store": "away, waiting for it" if self._store_is_away else "not waited for",
            "warm": served is not None,
        }
        return Checked(served is not None and self._assigned > 0 and not self._store_is_away, facts)

    def _version(self) -> Mapping[str, Any]:
        served = self._served_or_none()
        facts: dict[str, Any] = {"member": self._member, "scoretrail": scoretrail.__version__}
        if served is not None:
            manifest = served.resolved.manifest
            facts |= {
                "alias_no": served.alias_no,
                "bundle_sha256": served.bundle.digest,
                "model": manifest.name,
                "version": manifest.version,
            }
        return facts

    def _served_or_none(self) -> ServedBundle | None:
        try:
            return self._served.current().served
        except ScoretrailError:
            return None

    def _text(self) -> bytes:
        self._metrics.state(self._watchdog.age_s(), ready=self._ready().ok)
        return self._metrics.text()
