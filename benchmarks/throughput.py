"""Throughput: a warm session against the bare loop, and the first job of a session against Spark's own ways."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.pool import Pool
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import bare, ours
from benchmarks.figure import at_least, table
from benchmarks.fresh import session_job
from benchmarks.material import FEATURES, KEY, TIME, UNWATCHED, model_bytes, model_uri
from benchmarks.pairing import run_rounds, speed_ratio
from benchmarks.sitting import Sitting

OURS: Final = "Scoretrail"
NO_BASELINE: Final = "Scoretrail, without a baseline"
STAGE: Final = "Scoretrail, scoring stage alone"
BARE: Final = "bare loop, same columns"
BARE_TWO: Final = "bare loop, two columns"
MAP_IN_ARROW: Final = "mapInArrow"
PREDICT_UDF: Final = "predict_batch_udf"

_WARM_LIMITS: Final = {"trees": 3.0, "linear": 0.75}
_COUNTED_LIMIT: Final = 0.95
_FIRST_LIMITS: Final = {"trees": 1.5, "linear": 2.5}


def warm(sitting: Sitting) -> None:
    """Measure throughput where everything is warm: a session that has run the job before, and a pool that has, too."""
    source = sitting.source()
    for model in sitting.models:
        seconds = _warm(sitting, source, model)
        sitting.raw[f"warm, {model}"] = seconds
        ratio = speed_ratio(seconds[OURS], seconds[BARE])
        name = f"warm throughput ÷ bare loop with the same columns, {model}"
        sitting.figures.append(at_least(name, ratio.middle, ratio.text(), _WARM_LIMITS[model]))
        counted = speed_ratio(seconds[OURS], seconds[NO_BASELINE])
        name = f"warm throughput, rows counted for the baseline ÷ not counted, {model}"
        sitting.figures.append(at_least(name, counted.middle, counted.text(), _COUNTED_LIMIT))
        rows = [
            (
                way,
                f"{sitting.rows / median(took) / 1e6:.2f}",
                f"{median(took):.2f} ({min(took):.2f}–{max(took):.2f})",
                speed_ratio(took, seconds[BARE]).text(),
            )
            for way, took in seconds.items()
        ]
        head = ("way", "M rows/s", "seconds", "speed ÷ bare loop, same columns")
        sitting.tables.append((f"Warm, {model}, {sitting.rows:,} rows", table(head, rows)))


def first(sitting: Sitting) -> None:
    """Measure the first job of a fresh session, whose own start is left out on both sides."""
    source = sitting.source()
    for model in sitting.models:
        ways = {
            way: partial(_first_job, sitting, name, model, source)
            for way, name in ((OURS, "ours"), (MAP_IN_ARROW, "map_in_arrow"), (PREDICT_UDF, "predict_udf"))
        }
        seconds = run_rounds(ways, sitting.pairs, lambda text: sitting.tell(f"first job, {text}"))
        sitting.raw[f"first job, {model}"] = seconds
        ratio = speed_ratio(seconds[OURS], seconds[MAP_IN_ARROW])
        name = f"first job of a session ÷ mapInArrow, {model}"
        sitting.figures.append(at_least(name, ratio.middle, ratio.text(), _FIRST_LIMITS[model]))
        rows = [
            (
                way,
                f"{sitting.rows / median(took) / 1e6:.2f}",
                f"{median(took):.1f} ({min(took):.1f}–{max(took):.1f})",
                speed_ratio(seconds[OURS], took).text(),
            )
            for way, took in seconds.items()
        ]
        head = ("way", "M rows/s", "seconds", "Scoretrail's speed ÷ this one's")
        sitting.tables.append((f"First job of a session, {model}, {sitting.rows:,} rows", table(head, rows)))


def _first_job(sitting: Sitting, way: str, model: str, source: Path) -> float:
    return float(session_job(sitting.place, way, model, source)["jobs"][0]["seconds"])


def _warm(sitting: Sitting, source: Path, model: str) -> Mapping[str, list[float]]:
    place = sitting.place
    settings = ours.resolved(place)
    engine = ours.engine_of(settings)
    stages: list[float] = []
    files = sorted(str(file) for file in source.glob("*.parquet"))
    with multiprocessing.get_context("spawn").Pool(place.cores) as pool:
        ways: dict[str, Callable[[], float]] = {
            OURS: partial(_ours, sitting, settings, engine, model, source, stages),
            NO_BASELINE: partial(_ours, sitting, settings, engine, f"{model}{UNWATCHED}", source, []),
            BARE: partial(_bare, sitting, pool, files, model, full=True),
            BARE_TWO: partial(_bare, sitting, pool, files, model, full=False),
        }
        try:
            run_rounds(ways, 1, lambda text: sitting.tell(f"warming up, {model}, {text}"))
            stages.clear()
            seconds = run_rounds(ways, sitting.pairs, lambda text: sitting.tell(f"warm, {model}, {text}"))
        finally:
            engine.stop()
    return {OURS: seconds[OURS], STAGE: stages, **{way: took for way, took in seconds.items() if way != OURS}}


def _ours(sitting: Sitting, settings: Any, engine: Any, model: str, source: Path, stages: list[float]) -> float:  # noqa: ANN401
    seconds, run = ours.score(settings, engine, model_uri(model), source, sitting.place.fresh("warm"))
    stages.append(run.seconds["score"] - run.seconds["spark_start"])
    return seconds


def _bare(sitting: Sitting, pool: Pool, files: list[str], model: str, *, full: bool) -> float:
    output = sitting.place.fresh("bare")
    output.mkdir(parents=True)
    onnx = model_bytes(sitting.place.registry, model)
    tasks = [bare.BareTask((file,), str(output), onnx, FEATURES, KEY, TIME, full) for file in files]
    began = time.perf_counter()
    pool.map(bare.score_files, tasks, chunksize=1)
    return time.perf_counter() - began
