"""Metrics in Prometheus' text format; the only module that imports its client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    write_to_textfile,
)
from prometheus_client.parser import text_string_to_metric_families

from jobs.metrics.metric import SUBJECT, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from jobs.metrics.metric import Metric, Subject

_KINDS: Final = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}


class Exposition:
    """The metrics of a process, as objects of Prometheus' client."""

    def __init__(self, table: Iterable[Metric], prefix: str) -> None:
        """Make every metric of a table; the process's own (CPU, memory, open files) come with them.

        Args:
            table: the metrics.
            prefix: of all names.
        """
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.of: dict[str, Any] = {metric.name: _made(metric, prefix, self._registry) for metric in table}
        """By the name without the prefix."""

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)


def write(path: Path, table: Iterable[Metric], prefix: str, subject: Subject, samples: Iterable[Sample]) -> None:
    """Write samples to a file, which is replaced as a whole; metrics of the table without a sample are left out.

    Args:
        path: ends in ``.prom``, or the collector passes over it.
        table: says what the metrics are.
        prefix: of all names.
        subject: whose samples these are.
        samples: at most one for each metric and set of labels.

    Raises:
        OSError: the file cannot be written.
    """
    told = list(samples)
    registry = CollectorRegistry()
    names = {sample.name for sample in told}
    of = {one.name: _made(one, prefix, registry, SUBJECT) for one in table if one.name in names}
    for sample in told:
        of[sample.name].labels(**vars(subject), **sample.labels).set(sample.value)
    write_to_textfile(str(path), registry)


def read(text: str, prefix: str, subject_labels: Sequence[str] = SUBJECT) -> list[Sample]:
    """Return the samples of a file that :func:`write` wrote.

    Args:
        text: the file's.
        prefix: of all names.
        subject_labels: are left out.

    Raises:
        ValueError: it is something else.
    """
    return [
        Sample(one.name.removeprefix(prefix), one.value, _without(one.labels, subject_labels))
        for family in text_string_to_metric_families(text)
        for one in family.samples
    ]


def _without(labels: Mapping[str, str], left_out: Sequence[str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name not in left_out}


def _made(metric: Metric, prefix: str, registry: CollectorRegistry, subject: Sequence[str] = ()) -> Any:  # noqa: ANN401
    more: dict[str, Any] = {"buckets": metric.buckets} if metric.buckets else {}
    return _KINDS[metric.kind](
        f"{prefix}{metric.name}", metric.help, (*subject, *metric.labels), registry=registry, **more
    )
