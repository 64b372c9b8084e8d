"""A program of its own: starts a Spark session, runs jobs in it, and says on its last line, as JSON, what each took.

What is measured in a fresh session must not share one with anything else, so each such job is a process.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks import ours
from benchmarks.material import MODELS, model_bytes, model_uri
from benchmarks.process import peak_mib, workers
from scoretrail.config import ResolvedSettings

WAYS = ("ours", "map_in_arrow")


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
    place = ours.Place(chosen.folder, chosen.cores)
    settings = ours.resolved(place)
    engine = ours.engine_of(settings)
    began = time.perf_counter()
    engine.parallelism()
    start_s = time.perf_counter() - began
    try:
        jobs = [_job(chosen, place, settings, engine) for _ in range(chosen.jobs)]
        # At once: Spark ends Python workers that have been idle for a minute.
        found = {"start_s": start_s, "jobs": jobs, "peak_mib": peaks()}
    finally:
        engine.stop()
    print(json.dumps(found))


def _job(chosen: argparse.Namespace, place: ours.Place, settings: ResolvedSettings, engine: Any) -> dict[str, Any]:  # noqa: ANN401
    output = place.fresh(f"{chosen.way}-{chosen.model}")
    if chosen.way == "ours":
        seconds, run = ours.score(settings, engine, model_uri(chosen.model), chosen.source, output)
        found = {"seconds": seconds, "rows": run.rows["scored"], "stages": run.seconds}
    else:
        from benchmarks import rival  # noqa: PLC0415  (needs pandas, which ours does not)

        model = model_bytes(place.registry, chosen.model)
        found = {"seconds": rival.map_in_arrow(engine.session(), model, chosen.source, output)}
    return found


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
