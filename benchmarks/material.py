"""What the benchmarks score: records made from a seed, and two models trained on them and registered as any other."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoretrail.clock import SystemClock
from scoretrail.config import BudgetSettings
from scoretrail.model.manifest import Card
from scoretrail.model.registration import Registration, register
from scoretrail.model.registry import Registry
from scoretrail.monitor.learning import of_table
from scoretrail.storage import Storage

FEATURES: Final = tuple(f"f{i:02d}" for i in range(30))
KEY: Final = "order_id"
TIME: Final = "ordered_at"
MODELS: Final = ("linear", "trees")
UNWATCHED: Final = "-unwatched"
"""Ends the name of a model without a baseline."""
TRAINING_ROWS: Final = 100_000
FILE_ROWS: Final = 500_000
"""Rows of a file, 54 MiB, unless a layout says otherwise."""
GROUP_ROWS: Final = 131_072
"""Rows of a row group, near what Spark and pyarrow write by default for rows of this width."""
SEED: Final = 20131201
_FIRST_US: Final = 1_385_856_000_000_000
"""2013-12-01 UTC; rows follow each other by a second."""

VIEW: Final = b"""
import pyarrow as pa

from scoretrail.feature import FeatureView, Request

# Ten of the thirty have a range, as measured quantities do.
orders = FeatureView(
    name="orders",
    entity_key="order_id",
    event_time="ordered_at",
    request=[
        Request(f"f{i:02d}", pa.float32(), minimum=-50, maximum=50)
        if i < 10
        else Request(f"f{i:02d}", pa.float32())
        for i in range(30)
    ],
    inputs=[f"f{i:02d}" for i in range(30)],
)
"""


@dataclass(frozen=True)
class Layout:
    """How records lie in files."""

    rows: int
    files: int
    group_rows: int = GROUP_ROWS

    @property
    def name(self) -> str:
        """The folder's name."""
        return f"{self.rows}x{self.files}x{self.group_rows}"


def make_records(layout: Layout, folder: Path) -> Path:
    """Return the folder of a layout's files, made in two processes unless they are there already."""
    place = folder / layout.name
    if (place / "_complete").exists():
        return place
    place.mkdir(parents=True, exist_ok=True)
    edges = np.linspace(0, layout.rows, layout.files + 1).astype(int).tolist()
    spans = [(str(place), i, edges[i], edges[i + 1], layout.group_rows) for i in range(layout.files)]
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_write, spans, chunksize=max(1, len(spans) // 64)))
    (place / "_complete").touch()
    return place


def records(first: int, stop: int) -> pa.Table:
    """Return the records ``first`` to ``stop``; what a row holds depends on the seed and the first row only."""
    random = np.random.default_rng([SEED, first])
    rows = stop - first
    columns: dict[str, Any] = {
        KEY: pa.array([f"o{i:09d}" for i in range(first, stop)]),
        TIME: pa.array(_FIRST_US + np.arange(first, stop) * 1_000_000, pa.timestamp("us", tz="UTC")),
    }
    for name in FEATURES:
        columns[name] = pa.array(random.standard_normal(rows, dtype=np.float32))
    return pa.table(columns)


def _write(span: tuple[str, int, int, int, int]) -> None:
    folder, index, first, stop, group_rows = span
    # No dictionaries: measured quantities hardly repeat, and a dictionary of them only costs time.
    pq.write_table(
        records(first, stop),
        Path(folder, f"part-{index:06d}.parquet"),
        row_group_size=group_rows,
        use_dictionary=False,
        compression="zstd",
        compression_level=1,
    )


def register_models(folder: Path) -> Mapping[str, str]:
    """Return model -> URI, after both were trained and registered, unless they are there already.

    Each is there twice: as any model is, and without a baseline, so that its rows are not counted.
    """
    registry = Registry(Storage(str(folder)), SystemClock())
    missing = [name for name in MODELS if f"orders-{name}{UNWATCHED}" not in registry.models()]
    if missing:
        table = records(0, TRAINING_ROWS)
        matrix = np.column_stack([table[name].to_numpy() for name in FEATURES])
        from benchmarks import training  # noqa: PLC0415  (only where a model is missing: its libraries load slowly)

        for name in missing:
            onnx = training.train(name, matrix)
            request = Registration(
                name=f"orders-{name}",
                version="1.0.0",
                onnx=onnx,
                features=VIEW,
                view_name="orders",
                records=table.slice(0, 10_000),
                task="binary",
                classes=("0", "1"),
                threshold=0.5,
                card=Card(owner="benchmarks", intended_use="to be measured", limitations="made-up records"),
                attach=of_table(table),
            )
            bare = replace(request, name=f"orders-{name}{UNWATCHED}", attach=lambda _: {})
            for one in (request, bare):
                if one.name not in registry.models():
                    register(registry, one, BudgetSettings(), SystemClock())
    return {name: model_uri(name) for name in MODELS}


def model_uri(name: str) -> str:
    """Return the URI of one of :data:`MODELS`, or of the same without a baseline (its name with :data:`UNWATCHED`)."""
    return f"models:/orders-{name}/1.0.0"


def model_bytes(registry: Path, name: str) -> bytes:
    """Return the ONNX file of one of :data:`MODELS`, for those who score without Scoretrail."""
    return (registry / f"orders-{name}" / "1.0.0" / "model.onnx").read_bytes()
