"""One sitting of the stream's benchmark: what is asked of it, and what it found so far."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.figure import Figure
from benchmarks.stream_stage import Stage


@dataclass
class StreamSitting:
    """What every part is handed, and adds to."""

    stage: Stage
    seconds: float
    """How long a rate is held, and about how long a saturated worker is watched."""
    pairs: int
    rates: tuple[int, ...]
    workers: tuple[int, ...]
    figures: list[Figure] = field(default_factory=list)
    tables: list[tuple[str, str]] = field(default_factory=list)
    """Title and Markdown."""
    raw: dict[str, Any] = field(default_factory=dict)
    """Everything that was measured, for those who want to compute otherwise."""

    def tell(self, text: str) -> None:
        """Say how far it is, on standard error."""
        print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def spread(values: list[float], digits: int = 0) -> str:
    """Return the median and the spread, as tables show them.

    >>> spread([3.0, 1.0, 2.0])
    '2 (1–3)'
    """
    middle = (
        sorted(values)[len(values) // 2] if len(values) % 2 else sum(sorted(values)[len(values) // 2 - 1 :][:2]) / 2
    )
    return f"{middle:,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"
