"""The page of the metrics of a streaming worker: the one table that also makes them."""

from __future__ import annotations

from typing import Final

from jobs.reference.page import page, prose, table
from jobs.stream.operation.metrics import PREFIX, TABLE

_INTRODUCTION: Final = """
A worker answers `GET /metrics` in Prometheus' text format, on `stream.health_host` and `stream.health_port`
(127.0.0.1:8321 unless configured). Counters begin at 0 with the process. Besides these there are `process_*` with
their usual names: CPU seconds, resident memory, open files. No label holds a key or a value of an event.
"""


def metrics_page() -> str:
    """Return the page."""
    rows = [
        (f"`{PREFIX}{one.name}`", one.kind, ", ".join(f"`{label}`" for label in one.labels) or "none", prose(one.help))
        for one in TABLE
    ]
    return page(
        "Metrics",
        "jobs/stream/operation/metrics.py",
        _INTRODUCTION,
        table(("metric", "type", "labels", "meaning"), rows),
    )
