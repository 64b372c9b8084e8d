"""A program of its own: starts a Spark session, runs jobs in it, and says on its last line, as JSON, what each took.

What is measured in a fresh session must not share one with anything else, so each such job is a process.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, Final

from benchmarks import ours
from benchmarks.material import MODELS, model_bytes, model_uri
from benchmarks.process import peak_mib, workers

WAYS: Final = ("ours", "map_in_arrow", "predict_udf")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("source", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    chosen = parser.parse_args()
    run = _ours if chosen.way == "ours" else _rival
    print(json.dumps(run(chosen, ours.Place(chosen.folder, chosen.cores))))


def _ours(chosen: argparse.Namespace, place: ours.Place) -> dict[str, Any]:
    settings = ours.resolved(place)
    engine = ours.engine_of(settings)
    began = time.perf_counter()
    engine.parallelism()
    start_s = time.perf_counter() - began

    def job() -> dict[str, Any]:
        seconds, run = ours.score(settings, engine, model_uri(chosen.model), chosen.source, place.fresh("ours"))
        return {"seconds": seconds, "rows": run.rows["scored"], "stages": run.seconds}

    try:
        jobs = [job() for _ in range(chosen.jobs)]
        # At once: Spark ends Python workers that have been idle for a minute.
        return {"start_s": start_s, "jobs": jobs, "peak_mib": peaks()}
    finally:
        engine.stop()


def _rival(chosen: argparse.Namespace, place: ours.Place) -> dict[str, Any]:
    from benchmarks import rival  # noqa: PLC0415  (brings Spark's own machinery, which ours must not need)

    way = {"map_in_arrow": rival.map_in_arrow, "predict_udf": rival.predict_udf}[chosen.way]
    began = time.perf_counter()
    spark = rival.session(chosen.cores)
    start_s = time.perf_counter() - began
    model = model_bytes(place.registry, chosen.model)
    try:
        jobs = [{"seconds": way(spark, model, chosen.source, place.fresh("rival"))} for _ in range(chosen.jobs)]
        return {"start_s": start_s, "jobs": jobs, "peak_mib": peaks()}
    finally:
        spark.stop()


def peaks() -> dict[str, float]:
    """Return the peak resident memory, in MiB, of this process, of its JVM and of the largest Python worker."""
    below = workers()
    return {
        "driver": peak_mib("self"),
        "jvm": max((peak_mib(pid) for pid, name in below.items() if name == "java"), default=0.0),
        "worker": max((peak_mib(pid) for pid, name in below.items() if name.startswith("python")), default=0.0),
    }


if __name__ == "__main__":
    main()
