"""The page of all metrics, a worker's and those in textfiles: from the tables that also make them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobs.metrics import catalogue
from jobs.metrics.metric import SUBJECT
from jobs.reference.page import page, prose, table
from jobs.stream.operation import metrics as worker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobs.metrics.metric import Metric

_INTRODUCTION: Final = """
No label holds a key or a value of an event or a row. What to make of the metrics: [Alerts](../how-to/alerts.md).
"""
_WORKER: Final = """
## Of a worker

A worker answers `GET /metrics` in Prometheus' text format, on `stream.health_host` and `stream.health_port`
(127.0.0.1:8321 unless configured), a challenger on `challenger.health_port`. Counters begin at 0 with the process.
Besides these there are `process_*` with their usual names: CPU seconds, resident memory, open files.
"""
_TEXTFILES: Final = f"""
## In textfiles

`batch score`, `runs release` and `stream verify` write them into `metrics.textfile_folder`, for node_exporter's
textfile collector: one file for each kind, model, role and output, replaced as a whole. All are gauges, and all have
the labels {", ".join(f"`{label}`" for label in SUBJECT)} besides their own. Metrics of `labels` and `performance` come
from joins of labels, those of `drift` from every verdict.
"""


def metrics_page() -> str:
    """Return the page."""
    return page(
        "Metrics",
        "jobs/stream/operation/metrics.py and jobs/metrics/catalogue.py",
        _INTRODUCTION,
        _WORKER,
        _table(worker.TABLE, worker.PREFIX),
        _TEXTFILES,
        _table(catalogue.TABLE, catalogue.PREFIX),
    )


def _table(metrics: Iterable[Metric], prefix: str) -> str:
    rows = [
        (f"`{prefix}{one.name}`", one.kind, ", ".join(f"`{label}`" for label in one.labels) or "none", prose(one.help))
        for one in metrics
    ]
    return table(("metric", "type", "labels", "meaning"), rows)
