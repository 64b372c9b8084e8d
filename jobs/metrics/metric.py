"""One metric, one sample of it, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

SUBJECT: Final = ("model", "role", "output", "owner")
"""The labels of every sample of a textfile: no rule needs a join to know whom to call, and no join can lose him."""


@dataclass(frozen=True)
class Metric:
    """One row of a table of metrics."""

    name: str
    """Without the table's prefix."""
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One value of a metric."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """What samples are about."""

    model: str
    role: str
    output: str
    """Where the scores lie: a table, or the topic of predictions."""
    owner: str
    """Whom its alerts go to."""
