"""Scoretrail as a contestant: a whole batch run into a new table, from the listing to ``run.json``."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.batch.request import BatchRequest
from jobs.batch.run import BatchRun
from jobs.batch.spark.engine import SparkEngine
from jobs.progress import SilentProgress
from scoretrail import config
from scoretrail.trail.run import ScoringRun


@dataclass(frozen=True)
class Place:
    """Where the benchmark keeps its things."""

    folder: Path
    cores: int

    @property
    def registry(self) -> Path:
        """The registry with the two models."""
        return self.folder / "registry"

    @property
    def data(self) -> Path:
        """The input folders."""
        return self.folder / "data"

    def fresh(self, name: str) -> Path:
        """Return an output folder with nothing in it."""
        folder = self.folder / "out" / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(f"{folder}_rejects", ignore_errors=True)
        return folder


def resolved(place: Place, cores: int | None = None) -> config.ResolvedSettings:
    """Return the settings of a run: the defaults, the benchmark's registry, and a local master."""
    chosen: dict[str, Any] = {"registry.uri": str(place.registry), "spark.master": f"local[{cores or place.cores}]"}
    return config.load(chosen, folder=place.folder)


def engine_of(settings: config.ResolvedSettings) -> SparkEngine:
    """Return Spark, not yet started."""
    return SparkEngine(settings.settings.spark, "scoretrail benchmark")


def score(
    settings: config.ResolvedSettings, engine: SparkEngine, model: str, source: Path, output: Path
) -> tuple[float, ScoringRun]:
    """Return the seconds that a whole run took, and its record."""
    request = BatchRequest(model=model, input=str(source), output=str(output), role="champion", command="benchmark")
    began = time.perf_counter()
    run = BatchRun(request, settings, engine, SilentProgress()).score()
    return time.perf_counter() - began, run
