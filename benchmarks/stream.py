"""``make bench-stream``: what scoring a stream costs, in ratios of interleaved rounds, beside the machine's facts.

python benchmarks/stream.py                                  everything, three rounds: about ten minutes on two cores
python benchmarks/stream.py --seconds 3 --pairs 1            every part once, in less than two minutes
python benchmarks/stream.py --only visibility --rates 1000   one part
python benchmarks/stream.py --set stream.batch_ms=10         the worker with another setting
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from benchmarks.facts import machine_facts
from benchmarks.figure import figures_table, table
from benchmarks.stream_fetch import fetch
from benchmarks.stream_saturated import saturated
from benchmarks.stream_sitting import StreamSitting
from benchmarks.stream_stage import Stage
from benchmarks.stream_visibility import visibility

PARTS: Final[Mapping[str, Callable[[StreamSitting], None]]] = {
    "fetch": fetch,
    "visibility": visibility,
    "saturated": saturated,
}
_LIBRARIES: Final = ("scoretrail", "kafka-python", "crc32c", "redis", "onnxruntime", "pyarrow", "numpy", "msgspec")
_CHECKOUT: Final = Path(__file__).resolve().parent.parent


def main() -> int:
    """Measure, print, write; return 1 if a figure that is asked for was not reached."""
    chosen = _arguments()
    folder = chosen.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    overrides = dict(one.split("=", 1) for one in chosen.set)
    facts = machine_facts() | {"seconds": chosen.seconds, "pairs": chosen.pairs, "settings": overrides or "defaults"}
    facts["versions"] = {name: metadata.version(name) for name in _LIBRARIES}
    began = time.perf_counter()
    with Stage(folder, overrides) as stage:
        sitting = StreamSitting(stage, chosen.seconds, chosen.pairs, tuple(chosen.rates), tuple(chosen.workers))
        for name in chosen.only:
            PARTS[name](sitting)
    facts |= {
        "load_after": round(os.getloadavg()[0], 2),
        "minutes": round((time.perf_counter() - began) / 60, 1),
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
    }
    text = _markdown(sitting, facts)
    print(text)
    chosen.results.mkdir(parents=True, exist_ok=True)
    (chosen.results / "stream.md").write_text(text, encoding="utf-8")
    found = {"facts": facts, "figures": [figure.to_json() for figure in sitting.figures], "measured": sitting.raw}
    (chosen.results / "stream.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten: stream.md and stream.json in {chosen.results}", file=sys.stderr)
    return int(any(figure.reached is False for figure in sitting.figures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="how long a rate is held")
    parser.add_argument("--pairs", type=int, default=3, help="rounds of every comparison")
    parser.add_argument("--rates", type=int, nargs="+", default=[200, 1000, 3000], help="events a second")
    parser.add_argument("--workers", type=int, nargs="+", choices=(1, 2), default=[1, 2], help="of a saturated topic")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the worker")
    parser.add_argument("--folder", type=Path, default=_CHECKOUT / ".scoretrail" / "bench-stream", help="all data")
    parser.add_argument("--results", type=Path, default=_CHECKOUT / "benchmarks" / "results")
    return parser.parse_args()


def _markdown(sitting: StreamSitting, facts: Mapping[str, Any]) -> str:
    """Return the whole result: the figures, what they are made of, and the machine."""
    parts = [f"# Stream scoring, {sitting.seconds:g} s, {sitting.pairs} rounds", figures_table(sitting.figures)]
    for title, text in sitting.tables:
        parts += [f"## {title}", text]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    rows = [(name.replace("_", " "), str(value)) for name, value in facts.items() if name != "versions"]
    parts += ["## Machine", table(("", ""), [*rows, ("versions", versions)])]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
