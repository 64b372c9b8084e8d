"""Feature fetch: stored features of some entities, read and decoded, as a micro-batch does it."""

from __future__ import annotations

import itertools
import time
from typing import Final

import numpy as np

from benchmarks.figure import at_most, table
from benchmarks.stream_material import MODEL, STORED_FIELDS, VIEW, chunks, entities
from benchmarks.stream_sitting import StreamSitting
from jobs.online import open_store
from scoretrail.feature.online import decode_values, online_key
from scoretrail.feature.source import load_view

_KEYS: Final = (1, 32, 128, 512)
_TURN: Final = 20
"""Reads of one size before the next size has its turn."""
_JUDGED: Final = 128
_LIMITS_MS: Final = {50: 1, 99: 5}
_DEADLINE_S: Final = 1.0
"""Of a read; the worker's is shorter, and here the slow ones are to be seen."""


def fetch(sitting: StreamSitting) -> None:
    """Measure reads of 1 to 512 keys, the sizes in turn.

    Raises:
        RuntimeError: a value is not there: the figures would be those of something else.
    """
    (profile,) = load_view(VIEW, MODEL).stored
    keys = [online_key(MODEL, profile.name, profile.layout.schema8, entity) for entity in entities()]
    store = open_store(sitting.stage.online)
    parts = {size: chunks(keys, size) for size in _KEYS}
    took_ms: dict[int, list[float]] = {size: [] for size in _KEYS}
    until = time.monotonic() + sitting.seconds * sitting.pairs
    for turn in itertools.count():
        for size in _KEYS:
            for _ in range(_TURN):
                part = next(parts[size])
                began = time.perf_counter()
                decoded = decode_values(profile, store.read(part, _DEADLINE_S))
                took_ms[size].append((time.perf_counter() - began) * 1000)
                if decoded.values.num_rows != size or decoded.values.column(0).null_count:
                    msg = "a stored value is missing"
                    raise RuntimeError(msg)
        if not turn:
            took_ms = {size: [] for size in _KEYS}  # the first turn connects
        if turn and time.monotonic() > until:
            break
    store.close()
    points = {size: np.percentile(took, (50, 95, 99, 100)).tolist() for size, took in took_ms.items()}
    sitting.raw["fetch"] = {size: {"reads": len(took_ms[size]), "ms": points[size]} for size in _KEYS}
    judged = dict(zip((50, 95, 99, 100), points[_JUDGED], strict=True))
    for point, limit_ms in _LIMITS_MS.items():
        name = f"feature fetch, {_JUDGED} keys × {STORED_FIELDS} features, p{point}"
        sitting.figures.append(at_most(name, judged[point], f"{judged[point]:.2f} ms", limit_ms, " ms"))
    rows = [(str(size), f"{len(took_ms[size]):,}", *(f"{ms:.2f}" for ms in points[size])) for size in _KEYS]
    head = ("keys", "reads", "p50 ms", "p95 ms", "p99 ms", "longest ms")
    sitting.tables.append((f"Feature fetch, {STORED_FIELDS} features a key, read and decoded", table(head, rows)))
