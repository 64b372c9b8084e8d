"""A model whose columns are watched: numbers of three types, words, flags, one derived input, a probability."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from onnx import helper

from scoretrail.feature.schema import TIMESTAMP
from scoretrail.model.manifest import Output
from scoretrail.monitor.baseline import Baseline
from scoretrail.monitor.drift import judge
from scoretrail.monitor.learning import build
from scoretrail.scoring import score_batch
from tests.factory.example import Example
from tests.factory.onnx_graph import matrix_in, model_bytes, scores_out
from tests.factory.registered import load_example

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scoretrail.model.bundle import Bundle
    from scoretrail.monitor.drift import Verdict
    from scoretrail.monitor.tally import Tally

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
START_US = 1_385_942_400_000_000
"""Monday, 2013-12-02: the reference begins; nothing happens before six in the morning."""
DAYS = 56
REFERENCE_ROWS = 20_160
"""360 on each day."""
WORDS = {"A": 0.5, "B": 0.3, "C": 0.15, "D": 0.05}

_VIEW = """
import pyarrow as pa
import pyarrow.compute as pc

from scoretrail.feature import Derived, FeatureView, Request

view = FeatureView(
    name="readings",
    entity_key="key",
    event_time="at",
    request=[
        Request("x", pa.float32(), default=0.0, minimum=-50, maximum=50),
        Request("amount", pa.float64(), nullable=True),
        Request("n", pa.int64(), nullable=True),
        Request("word", pa.string(), normalise=("strip", "upper"), nullable=True),
        Request("flag", pa.bool_(), nullable=True),
        MORE
    ],
    derived=[
        Derived("half", pa.float32(), of=lambda record: pc.multiply(record.column("x"), pa.scalar(0.5, pa.float32()))),
    ],
    inputs=["half"],
)
"""


def view_bytes(more: str = "") -> bytes:
    """Return the feature code, with more request features."""
    return _VIEW.replace("MORE", more).encode()


@functools.cache
def watched_bundle(operator: str = "Sigmoid", more: str = "") -> Bundle:
    """Return a classifier of ``no`` and ``yes`` whose score is one operator of ``x / 2``."""
    data = model_bytes([helper.make_node(operator, ["half"], ["scores"])], [matrix_in(1, "half")], [scores_out(1)])
    output = Output(task="binary", name="scores", form="matrix", classes=("no", "yes"))
    return load_example(Example(name="readings", onnx=data, features=view_bytes(more), view_name="view"), output=output)


def readings(rows: int, seed: int = 1, *, days: float = DAYS, start_us: int = START_US, **columns: Any) -> pa.Table:
    """Return records, the same number on each day, all drawn from one distribution, with columns replaced."""
    random = np.random.default_rng(seed)
    place = np.arange(rows) * days / max(rows, 1)
    at = start_us + place.astype(np.int64) * DAY_US + 6 * HOUR_US + (place % 1 * 16 * HOUR_US).astype(np.int64)
    made: dict[str, Any] = {
        "key": pa.array([f"k{i}" for i in range(rows)], pa.string()),
        "at": pa.array(at, TIMESTAMP),
        "x": pa.array(random.normal(0, 1, rows), pa.float32()),
        "amount": pa.array(random.gamma(2, 50, rows)),
        "n": pa.array(random.poisson(20, rows), pa.int64()),
        "word": pa.array(random.choice(list(WORDS), rows, p=list(WORDS.values()))),
        "flag": pa.array(random.random(rows) < 0.3),
    }
    return pa.table(made | columns)


def learnt(records: pa.Table, bundle: Bundle | None = None, batch_rows: int = 10_000) -> Baseline:
    """Return the baseline of records, of which every second one chooses the edges."""
    sample = records.take(pa.array(np.arange(0, records.num_rows, 2)))
    return build(bundle or watched_bundle(), sample, records.combine_chunks().to_batches(batch_rows))


@functools.cache
def reference() -> Baseline:
    """Return the baseline of eight weeks."""
    return learnt(readings(REFERENCE_ROWS))


def counted(
    baseline: Baseline, records: pa.Table, bundle: Bundle | None = None, scored_by: Bundle | None = None
) -> Tally:
    """Return what a bundle's gatherer counts of records.

    Args:
        baseline: has the bins.
        records: of any number of batches.
        bundle: is watched.
        scored_by: gives the scores, where that is another.
    """
    bundle = bundle or watched_bundle()
    gatherer = baseline.gatherer(bundle.view, bundle.manifest)
    for batch in records.to_batches():
        scored, _ = score_batch(scored_by or bundle, batch)
        gatherer.add(batch, scored)
    return gatherer.tally()


def judged(records: pa.Table, baseline: Baseline | None = None, **options: Any) -> Verdict:
    """Return the verdict on records."""
    baseline = baseline or reference()
    return judge(baseline, counted(baseline, records, **options))


def with_column(baseline: Baseline, name: str, /, **changes: Any) -> Baseline:
    """Return a baseline of which one column differs."""
    columns = tuple(one.model_copy(update=changes) if one.name == name else one for one in baseline.columns)
    fields = {field: getattr(baseline, field) for field in Baseline.model_fields}
    return Baseline(**fields | {"columns": columns})  # a copy would keep the digest of what it was


def by_name(tally: Tally, baseline: Baseline) -> Mapping[str, Any]:
    """Return the counts of each column."""
    return {one.name: counts for one, counts in zip(baseline.columns, tally.columns, strict=True)}


def without_digest(tally: Tally, baseline: str) -> Tally:
    """Return the same counts, said to be in another baseline's bins."""
    return replace(tally, baseline=baseline)
