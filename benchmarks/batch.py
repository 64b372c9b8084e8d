"""``make bench-batch``: what batch scoring costs, in ratios of interleaved rounds, beside the machine's facts.

python benchmarks/batch.py                            everything, 8 M rows, five rounds: about an hour on two cores
python benchmarks/batch.py --rows 400000 --pairs 1 --small-files 500       every part once, in a few minutes
python benchmarks/batch.py --only warm --models linear                     one part
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks import again, growth, throughput
from benchmarks.facts import machine_facts
from benchmarks.figure import figures_table, table
from benchmarks.material import MODELS, register_models
from benchmarks.ours import Place
from benchmarks.sitting import Sitting

PARTS: Final[Mapping[str, Callable[[Sitting], None]]] = {
    "warm": throughput.warm,
    "first": throughput.first,
    "again": again.second_run,
    "memory": growth.memory,
    "growth": growth.rows_and_tasks,
    "small-files": growth.small_files,
}
_CHECKOUT: Final = Path(__file__).resolve().parent.parent


def main() -> int:
    """Measure, print, write; return 1 if a figure that is asked for was not reached."""
    chosen = _arguments()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    place = Place(chosen.folder.resolve(), chosen.cores)
    sitting = Sitting(place, chosen.rows, chosen.pairs, tuple(chosen.models), chosen.small_files)
    facts = machine_facts() | {"rows": chosen.rows, "pairs": chosen.pairs, "cores_used": chosen.cores}
    register_models(place.registry)
    began = time.perf_counter()
    for name in chosen.only:
        PARTS[name](sitting)
        shutil.rmtree(place.folder / "out", ignore_errors=True)
    facts |= {
        "minutes": round((time.perf_counter() - began) / 60, 1),
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
    }
    text = _markdown(sitting, facts)
    print(text)
    chosen.results.mkdir(parents=True, exist_ok=True)
    (chosen.results / "batch.md").write_text(text, encoding="utf-8")
    found = {"facts": facts, "figures": [figure.to_json() for figure in sitting.figures], "seconds": sitting.raw}
    (chosen.results / "batch.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten: batch.md and batch.json in {chosen.results}", file=sys.stderr)
    return int(any(figure.reached is False for figure in sitting.figures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8_000_000)
    parser.add_argument("--pairs", type=int, default=5, help="rounds of every comparison")
    parser.add_argument("--small-files", type=int, default=100_000)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="tasks and processes at once")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    parser.add_argument("--folder", type=Path, default=_CHECKOUT / ".scoretrail" / "bench", help="data and outputs")
    parser.add_argument("--results", type=Path, default=_CHECKOUT / "benchmarks" / "results")
    return parser.parse_args()


def _markdown(sitting: Sitting, facts: Mapping[str, Any]) -> str:
    """Return the whole result: the figures, what they are made of, and the machine."""
    parts = [f"# Batch scoring, {sitting.rows:,} rows, {sitting.pairs} rounds", figures_table(sitting.figures)]
    for title, text in sitting.tables:
        parts += [f"## {title}", text]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    rows = [(name.replace("_", " "), str(value)) for name, value in facts.items() if name != "versions"]
    parts += ["## Machine", table(("", ""), [*rows, ("versions", versions)])]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
