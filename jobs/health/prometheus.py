"""What Prometheus knows of a model: how its workers do, and which alerts are open; asked over HTTP, briefly."""

from __future__ import annotations

import http.client
import json
import math
import time
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Final

from jobs.health.deployment import importance
from jobs.health.fact import Alert, Flow
from scoretrail.errors import RetryLaterError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEADLINE_S: Final = 3.0
"""For all questions together: a page without these figures is better than none."""
_ALWAYS: Final = "ScoretrailWatchdog"
"""Fires as long as alerts can be delivered."""
PREFIX: Final = "scoretrail_stream_"
"""Of what workers tell; a batch job is installed without the client that tells it."""
_RATE: Final = "5m"
_BY_ROLE: Final = f"* on (job, instance) group_left (role) {PREFIX}model_info"
_QUANTILES: Final = {"p50_s": 0.5, "p95_s": 0.95, "p99_s": 0.99}


class Prometheus:
    """One server, under one deadline for everything that it is asked."""

    def __init__(self, url: str, deadline_s: float = DEADLINE_S) -> None:
        """Begin; the deadline runs from here on.

        Args:
            url: where it answers, such as ``http://127.0.0.1:9090``.
            deadline_s: when it is given up.
        """
        self.url = url.rstrip("/")
        self._ends = time.monotonic() + deadline_s

    def query(self, expression: str) -> list[tuple[Mapping[str, str], float]]:
        """Return (labels, value) of each series of an instant query.

        Raises:
            RetryLaterError: there was no answer in time, or none that can be read.
        """
        found = self._get("query", "result", query=expression)
        return [(one["metric"], float(one["value"][1])) for one in found]

    def alerts(self) -> list[Mapping[str, Any]]:
        """Return the pending and the firing alerts.

        Raises:
            RetryLaterError: there was no answer in time, or none that can be read.
        """
        return self._get("alerts", "alerts")

    def _get(self, name: str, part: str, **parameters: str) -> list[Mapping[str, Any]]:
        """Return a part of an answer.

        Raises:
            RetryLaterError: there was no answer in time, or none that can be read.
        """
        # Never none at all: a socket without a timeout waits for ever.
        left_s = max(self._ends - time.monotonic(), 0.001)
        asked = f"{self.url}/api/v1/{name}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(asked, timeout=left_s) as answer:  # noqa: S310  (http or https: the setting says)
                return list(json.load(answer)["data"][part])
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            got = getattr(error, "reason", None) or error
            raise RetryLaterError("Prometheus does not answer", where=self.url, got=f"{got}"[:200]) from error


def flows(server: Prometheus, model: str) -> tuple[Flow, ...]:
    """Return how the workers of a model do, by role, the champion first.

    Raises:
        RetryLaterError: there was no answer in time.
    """
    found: dict[str, dict[str, float]] = {}
    for name, expression in _expressions(model).items():
        for labels, value in server.query(expression):
            if math.isfinite(value):
                found.setdefault(labels.get("role", ""), {})[name] = value
    return tuple(Flow(role=role, **found[role]) for role in sorted(found, key=importance))


def alerts(server: Prometheus, model: str) -> tuple[Alert, ...]:
    """Return the open alerts that are of a model, or of none: first those that fire, the worst first.

    Raises:
        RetryLaterError: there was no answer in time.
    """
    found = [_alert(one) for one in server.alerts() if one["labels"].get("model", model) == model]
    open_ = [one for one in found if one.name != _ALWAYS]
    return tuple(sorted(open_, key=lambda one: (one.state != "firing", one.severity, one.since or "", one.name)))


def _expressions(model: str) -> dict[str, str]:
    info = f"{_BY_ROLE}{{model={json.dumps(model)}}}"
    events = f"sum by (role) (rate({PREFIX}events_total[{_RATE}]) {info})"
    letters = f"sum by (role) (rate({PREFIX}dead_letters_total[{_RATE}]) {info})"
    buckets = f"sum by (role, le) (rate({PREFIX}latency_seconds_bucket[{_RATE}]) {info})"
    return {
        "workers": f"count by (role) ({PREFIX}partitions {info})",
        "events_per_s": events,
        "dead_letter_ratio": f"{letters} / {events}",
        "lag_records": f"sum by (role) ({PREFIX}lag_records {info})",
        "lag_s": f"max by (role) ({PREFIX}lag_seconds {info})",
        **{name: f"histogram_quantile({share}, {buckets})" for name, share in _QUANTILES.items()},
    }


def _alert(one: Mapping[str, Any]) -> Alert:
    labels, notes = one["labels"], one.get("annotations", {})
    return Alert(
        name=labels["alertname"],
        state="firing" if one["state"] == "firing" else "pending",
        severity=labels.get("severity", ""),
        role=labels.get("role"),
        since=one.get("activeAt"),
        summary=notes.get("summary") or notes.get("description") or "",
        runbook_url=notes.get("runbook_url"),
    )
