"""``make bench-trees``: the tree kernel against ONNX Runtime, LightGBM, lleaves and TL2cgen, each on one core.

python benchmarks/trees.py                     every size: about an hour
python benchmarks/trees.py --short             the sizes that figures are asked for, at fewer rounds: some minutes
python benchmarks/trees.py --publish           and put tables and picture into the documentation
python benchmarks/trees.py --lleaves PYTHON    lleaves too: it needs an older llvmlite, so an environment of its own
TL2cgen is measured where it, treelite and a C compiler are installed. Neither is in a lock.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from benchmarks.facts import machine_facts
from benchmarks.figure import Figure, at_least, figures_table, table
from benchmarks.pairing import run_rounds, speed_ratio
from benchmarks.trees_model import Engines, Shape, Timer, booster, vector_bits
from benchmarks.trees_picture import picture

_CHECKOUT: Final = Path(__file__).resolve().parent.parent
_PAGE: Final = _CHECKOUT / "docs" / "reference" / "benchmark-trees.md"
_PICTURE: Final = _CHECKOUT / "docs" / "images" / "benchmark-trees.svg"
MARK: Final = "<!-- What follows is written by benchmarks/trees.py -->\n"
BATCHES: Final = (1, 128, 10_000, 100_000)
_ASKED: Final = Shape(100, 31, 30)
_SHORT: Final = (_ASKED, Shape(500, 64, 30), Shape(1000, 31, 30))
_LEAST_S: Final = 0.02
"""A batch that takes less is scored so often that a round takes this long."""

_LONG_S: Final = 1.0
"""Where a batch takes longer than this with some engine, two rounds have to do: their spread is small, then."""

Results = dict[tuple[Shape, int], Mapping[str, list[float]]]


def main() -> int:
    """Measure, print, write; return 1 if a figure that is asked for was not reached."""
    chosen = _arguments()
    facts = machine_facts()
    results: Results = {}
    known: dict[tuple[int, int], Any] = {}
    for shape in _shapes(short=chosen.short):
        native = booster(shape, known)
        with Engines(shape, native, BATCHES, chosen.lleaves) as engines:
            for rows in BATCHES:
                results[shape, rows] = _measure(engines.ways(rows), chosen.rounds)
                print(f"{shape}, {rows} rows: {_told(results[shape, rows], rows)}", file=sys.stderr, flush=True)
    facts = {name: value for name, value in facts.items() if name not in {"versions", "java"}} | {
        "vectors": f"{vector_bits()} bits",
        "load_after": round(os.getloadavg()[0], 2),
        "versions": ", ".join(f"{name} {metadata.version(name)}" for name in _libraries(results)),
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "rounds": chosen.rounds,
    }
    text = _markdown(results, facts)
    print(text)
    chosen.results.mkdir(parents=True, exist_ok=True)
    (chosen.results / "trees.md").write_text(text, encoding="utf-8")
    (chosen.results / "trees.svg").write_text(_picture(results), encoding="utf-8")
    found = [{"shape": str(shape), "rows": rows, "seconds": dict(by)} for (shape, rows), by in results.items()]
    (chosen.results / "trees.json").write_text(json.dumps({"facts": facts, "found": found}, indent=1) + "\n")
    if chosen.publish:
        before, _, _ = _PAGE.read_text(encoding="utf-8").partition(MARK)
        _PAGE.write_text(f"{before}{MARK}\n{text}", encoding="utf-8")
        _PICTURE.write_text(_picture(results), encoding="utf-8")
    return int(any(figure.reached is False for figure in _figures(results)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="only the sizes that figures are asked for")
    parser.add_argument("--lleaves", metavar="PYTHON", help="interpreter of an environment that has lleaves")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds")
    parser.add_argument("--results", type=Path, default=_CHECKOUT / "data" / "benchmark", help="where results go")
    parser.add_argument("--publish", action="store_true", help="write the documentation's tables and picture")
    return parser.parse_args()


def _shapes(*, short: bool) -> Sequence[Shape]:
    if short:
        return _SHORT
    # The largest first of each kind: smaller ones are its first trees.
    sizes = [(leaves, features) for leaves in (16, 31, 64, 255) for features in (10, 30, 200)]
    return [Shape(trees, *size) for size in sizes for trees in (1000, 500, 100, 10)]


def _measure(ways: Mapping[str, Timer], rounds: int) -> Mapping[str, list[float]]:
    """Return engine -> seconds of one batch, per round."""
    timers: dict[str, Callable[[], float]] = {}
    slowest = 0.0
    for name, way in ways.items():
        once = way(1)
        slowest = max(slowest, once)
        timers[name] = partial(_once, way, max(1, int(_LEAST_S / once)))
    if slowest > _LONG_S:
        rounds = min(rounds, 2)
    return run_rounds(timers, rounds, _silent)


def _once(way: Timer, calls: int) -> float:
    return way(calls) / calls


def _silent(_: str) -> None:
    """Say nothing: there are thousands of rounds."""


def _ratio(results: Results, shape: Shape, rows: int, other: str, ours: str = "kernel") -> Any:  # noqa: ANN401
    by = results[shape, rows]
    return speed_ratio(by[ours], by[other]) if other in by else None


def _figures(results: Results) -> list[Figure]:
    wide = vector_bits() >= 512
    narrow = "kernel, AVX2" if wide else "kernel"
    asked = [
        ("÷ ONNX Runtime, 100 × 31 × 30, 10,000 rows, AVX2", _ASKED, 10_000, "onnxruntime", narrow, 8),
        ("÷ lleaves, the same", _ASKED, 10_000, "lleaves", narrow, 1.7),
        ("÷ ONNX Runtime, 500 × 64 × 30", Shape(500, 64, 30), 10_000, "onnxruntime", "kernel", 5),
        ("÷ ONNX Runtime, 1,000 × 31 × 30", Shape(1000, 31, 30), 10_000, "onnxruntime", "kernel", 8),
        ("÷ ONNX Runtime, one row, from Arrow", _ASKED, 1, "onnxruntime, from Arrow", "kernel, from Arrow", 1),
        ("÷ ONNX Runtime, one row, its input ready", _ASKED, 1, "onnxruntime", "kernel", 1),
        ("÷ ONNX Runtime, 128 rows", _ASKED, 128, "onnxruntime", "kernel", 4),
    ]
    if wide:
        asked[:0] = [
            ("÷ ONNX Runtime, 100 × 31 × 30, 10,000 rows, AVX-512", _ASKED, 10_000, "onnxruntime", "kernel", 12),
            ("÷ lleaves, the same", _ASKED, 10_000, "lleaves", "kernel", 2.5),
        ]
    figures = []
    for name, shape, rows, other, ours, limit in asked:
        ratio = _ratio(results, shape, rows, other, ours)
        if ratio is not None:
            figures.append(at_least(name, ratio.middle, ratio.text(), limit))
    return figures


def _markdown(results: Results, facts: Mapping[str, Any]) -> str:
    names = _names(results)
    rows = [
        [
            str(shape),
            f"{rows:,}",
            *(_speed(by, name, rows) for name in names),
            _ratio(results, shape, rows, "onnxruntime").text(),
        ]
        for (shape, rows), by in results.items()
    ]
    head = ["trees × leaves × features", "rows", *names, "kernel ÷ onnxruntime"]
    machine = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    return (
        f"## Figures\n\n{figures_table(_figures(results))}\n\n## Million rows a second\n\n"
        "![Rows a second over the size of the model](../images/benchmark-trees.svg)\n\nMedian of the rounds.\n\n"
        f"{table(head, rows)}\n\n## The machine\n\n{machine}\n"
    )


def _names(results: Results) -> list[str]:
    return list(dict.fromkeys(name for by in results.values() for name in by))


def _speed(by: Mapping[str, list[float]], name: str, rows: int) -> str:
    if name not in by:
        return "–"
    return f"{rows / sorted(by[name])[len(by[name]) // 2] / 1e6:.3g}"


def _told(by: Mapping[str, list[float]], rows: int) -> str:
    return ", ".join(f"{name} {_speed(by, name, rows)}" for name in by)


def _picture(results: Results) -> str:
    lines = {
        name: [(shape.trees * shape.leaves, rows / sorted(by[name])[len(by[name]) // 2])
               for (shape, rows), by in results.items() if rows == 10_000 and shape.features == _ASKED.features and name in by]  # noqa: E501
        for name in _names(results)
        if "Arrow" not in name
    }  # fmt: skip
    return picture(lines)


def _libraries(results: Results) -> list[str]:
    there = set(_names(results))
    return [
        "scoretrail",
        "numpy",
        "pyarrow",
        "onnxruntime",
        "llvmlite",
        "lightgbm",
        *sorted(there & {"tl2cgen"}),
    ]


if __name__ == "__main__":
    sys.exit(main())
