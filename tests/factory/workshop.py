"""A folder to run batch jobs in: input files, a registry and a table, and what is read back from them.

The registry holds one model, ``parcel``, in these versions; all but the first two differ from one of them in their
manifest alone, so they are published without another proof:

- 1.0.0, ``champion``: a logistic regression (scored in blocks); 1.1.0 decides from another threshold on; 1.0.1 is a
  PATCH that scores as 1.0.0 does.
- 2.0.0, ``challenger``: trees (scored at any size).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.batch.request import BatchRequest
from jobs.batch.run import BatchRun
from jobs.progress import SilentProgress
from scoretrail.config import load
from scoretrail.model.manifest import FEATURES, GOLDEN, MODEL
from scoretrail.model.trees.plan import TREES
from scoretrail.storage import Storage
from scoretrail.table import OutputTable
from scoretrail.trail.run import TRAIL_FOLDER, RunStore
from tests.factory import example
from tests.factory.registered import open_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jobs.batch.request import DryRun
    from jobs.batch.spark.engine import SparkEngine
    from jobs.progress import Progress
    from scoretrail.config import ResolvedSettings
    from scoretrail.model.registry import Registry, ResolvedBundle
    from scoretrail.trail.run import ScoringRun
    from tests.factory.registered import Registered

MODEL_NAME = "parcel"
CHAMPION = f"models:/{MODEL_NAME}@champion"
CHALLENGER = f"models:/{MODEL_NAME}@challenger"


def publish_variant(
    registry: Registry, like: Registered, version: str, *, name: str = MODEL_NAME, **changes: Any
) -> str:
    """Publish a bundle that differs from a proven one in fields of its manifest; return its URI."""
    there = like.resolved.files
    files = {key: there[key] for key in (MODEL, FEATURES, GOLDEN, TREES) if key in there}
    changed = like.manifest.model_copy(update={"name": name, "version": version, **changes})
    registry.publish(changed, files)
    return f"models:/{name}/{version}"


def make_registry(folder: Path, linear: Registered, trees: Registered) -> Path:
    """Return a registry as the module says."""
    registry = open_registry(folder)
    publish_variant(registry, linear, "1.0.0")
    publish_variant(registry, linear, "1.0.1", card=linear.manifest.card.model_copy(update={"changes": "a new card"}))
    publish_variant(registry, linear, "1.1.0", threshold=0.75)
    publish_variant(registry, trees, "2.0.0")
    registry.move_alias(MODEL_NAME, "champion", "1.0.0")
    registry.move_alias(MODEL_NAME, "challenger", "2.0.0")
    return folder


def records(rows: int, start: int = 0, **columns: Any) -> pa.Table:
    """Return records that the model accepts, from the ``start``-th on, with columns replaced or (by None) dropped."""
    table = example.parcels(max(example.ROWS, start + rows)).slice(start, rows)
    for name, column in columns.items():
        at = table.schema.get_field_index(name)
        if column is None:
            table = table.remove_column(at)
        elif at < 0:
            table = table.append_column(name, column)
        else:
            table = table.set_column(at, name, column)
    return table


def with_values(column: str, values: dict[int, Any], rows: int, start: int = 0) -> pa.Table:
    """Return records of which one column has other values in some rows."""
    table = records(rows, start)
    items = table[column].to_pylist()
    for row, value in values.items():
        items[row] = value
    return table.set_column(table.schema.get_field_index(column), column, pa.array(items, table[column].type))


@dataclass
class Workshop:
    """One input root and one table, and the engine that scores from one into the other."""

    folder: Path
    registry: Path
    engine: SparkEngine
    settings: dict[str, Any] = field(default_factory=dict)
    """Over the defaults in every run of this workshop."""

    @property
    def input(self) -> Path:
        return self.folder / "input"

    @property
    def output(self) -> str:
        return str(self.folder / "scores")

    def write(self, path: str, table: pa.Table, **options: Any) -> Path:
        """Write an input file, over one that is there."""
        target = self.input / path
        target.parent.mkdir(parents=True, exist_ok=True)
        # A new file under the old name, as writers of data sets do: the inode and the time of change differ.
        pq.write_table(table, target.with_name("being-written"), **options)
        target.with_name("being-written").rename(target)
        return target

    def write_days(self, days: Sequence[str], rows: int = 40, files: int = 1) -> None:
        """Write ``ds=DAY/N.parquet``, each with other records."""
        for i, day in enumerate(days):
            for j in range(files):
                self.write(f"ds={day}/{j}.parquet", records(rows, (i * files + j) * rows))

    def resolved(self, settings: dict[str, Any] | None = None) -> ResolvedSettings:
        values = {"registry.uri": str(self.registry), "spark.master": "local[2]", **self.settings, **(settings or {})}
        return load(values, folder=self.folder / "no-settings")

    def job(
        self,
        model: str = CHAMPION,
        *,
        settings: dict[str, Any] | None = None,
        progress: Progress | None = None,
        **request: Any,
    ) -> BatchRun:
        asked = {"model": model, "input": str(self.input), "output": self.output, **request}
        return BatchRun(BatchRequest(**asked), self.resolved(settings), self.engine, progress or SilentProgress())

    def score(self, model: str = CHAMPION, *, settings: dict[str, Any] | None = None, **request: Any) -> ScoringRun:
        return self.job(model, settings=settings, **request).score()

    def dry_run(self, model: str = CHAMPION, *, settings: dict[str, Any] | None = None, **request: Any) -> DryRun:
        return self.job(model, settings=settings, dry_run=True, **request).dry_run()

    def table(self) -> OutputTable:
        return OutputTable(self.output)

    def rejects_table(self) -> OutputTable:
        return OutputTable(f"{self.output}_rejects")

    def rows(self) -> pa.Table:
        """Return everything that readers of the table see, in an order that does not depend on files."""
        return in_order(self.table().to_pyarrow_dataset().to_table())

    def rejects(self) -> pa.Table:
        return in_order(self.rejects_table().to_pyarrow_dataset().to_table())

    def live_paths(self) -> set[str]:
        return {file.path for file in self.table().live_files()}

    def store(self) -> RunStore:
        return RunStore(Storage(f"{self.output}/{TRAIL_FOLDER}"))

    def bundle(self, model: str = CHAMPION) -> ResolvedBundle:
        return open_registry(self.registry).resolve(model)

    def copy(self, name: str) -> Workshop:
        """Return a workshop of the same input with a table of its own."""
        other = Workshop(self.folder.with_name(f"{self.folder.name}-{name}"), self.registry, self.engine, self.settings)
        shutil.copytree(self.input, other.input)
        return other


def in_order(table: pa.Table) -> pa.Table:
    """Return rows by role, model and the place they came from."""
    keys = ("role", "model_name", "model_version", "source_path", "source_row")
    return table.sort_by([(name, "ascending") for name in keys])


def bits(table: pa.Table, column: str = "score") -> list[bytes]:
    """Return a float column as the bytes of its values: equal means equal in every bit."""
    return [value.tobytes() for value in np.asarray(table[column].combine_chunks(), np.float64)]


def bits_by_key(table: pa.Table) -> dict[str, bytes]:
    """Return parcel -> the bytes of its score."""
    keys = table["parcel_id"].to_pylist()
    assert len(set(keys)) == len(keys), "a parcel has two scores"
    return dict(zip(keys, bits(table), strict=True))


class InlineEngine:
    """Runs the tasks in this process, one after the other: for tests about planning and publishing, not about Spark."""

    is_local = True
    has_started = False

    def __init__(self, tasks: int = 2) -> None:
        self._tasks = tasks

    def parallelism(self) -> int:
        return self._tasks

    def spark_version(self) -> str:
        return "none"

    def stop(self) -> None:
        pass

    def run(
        self,
        splits: Sequence[Sequence[Any]],
        function: Callable[[Iterator[Any], Any], Iterator[Any]],
        shared: Any,
        rows_of: Callable[[Any], int],
        progress: Progress,
    ) -> list[Any]:
        self.has_started = True
        results = [result for split in splits for result in function(iter(split), shared)]
        for result in results:
            if isinstance(result, Exception):
                raise result
        return results
