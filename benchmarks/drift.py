"""``make bench-drift``: how often the verdict on drift is wrong, and how small a shift it finds; Evidently beside it.

python benchmarks/drift.py                                            everything: about 20 minutes on one core
python benchmarks/drift.py --draws 20 --rows 1000 --without-evidently       a short form, in seconds
python benchmarks/drift.py --publish                                  and put tables and picture into the documentation
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from benchmarks.drift_study import Plan, Study
from benchmarks.facts import machine_facts
from benchmarks.figure import figures_table, table

SEED: Final = 20131205
_CHECKOUT: Final = Path(__file__).resolve().parent.parent
_PAGE: Final = _CHECKOUT / "docs" / "reference" / "drift-study.md"
_PICTURE: Final = _CHECKOUT / "docs" / "images" / "drift-power.svg"
MARK: Final = "<!-- What follows is written by benchmarks/drift.py -->\n"
_LIBRARIES: Final = ("scoretrail", "numpy", "pyarrow", "scipy")


def main() -> int:
    """Draw, print, write; return 1 if a figure that is asked for was not reached."""
    chosen = _arguments()
    began = time.perf_counter()
    study = Study(_plan(chosen))
    facts = machine_facts()
    study.run()
    libraries = (*_LIBRARIES, "evidently") if study.evidently else _LIBRARIES
    facts = {name: value for name, value in facts.items() if name not in {"versions", "java"}} | {
        "versions": ", ".join(f"{name} {metadata.version(name)}" for name in libraries),
        "minutes": round((time.perf_counter() - began) / 60, 1),
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "seed": chosen.seed,
    }
    text = _markdown(study, facts)
    print(text)
    chosen.results.mkdir(parents=True, exist_ok=True)
    (chosen.results / "drift.md").write_text(text, encoding="utf-8")
    (chosen.results / "drift-power.svg").write_text(study.picture(), encoding="utf-8")
    found = json.dumps({"facts": facts} | study.to_json(), indent=1)
    (chosen.results / "drift.json").write_text(found + "\n", encoding="utf-8")
    print(f"\nwritten: drift.md, drift.json and drift-power.svg in {chosen.results}", file=sys.stderr)
    if chosen.publish:
        before, _, _ = _PAGE.read_text(encoding="utf-8").partition(MARK)
        _PAGE.write_text(f"{before}{MARK}\n{text}", encoding="utf-8")
        _PICTURE.write_text(study.picture(), encoding="utf-8")
    return int(any(figure.reached is False for figure in study.figures()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 1_000_000])
    parser.add_argument("--draws", type=int, default=1_000, help="without drift, for each number of rows")
    parser.add_argument("--power-draws", type=int, help="of each shift; half of the others unless told")
    parser.add_argument("--large-draws", type=int, default=50, help="value by value from 100,000 rows on, to compare")
    parser.add_argument("--references", type=int, help="baselines, at which draws take turns; one for 100 unless told")
    parser.add_argument("--evidently-draws", type=int, default=20)
    parser.add_argument("--evidently-rows", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--without-evidently", action="store_true")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--publish", action="store_true", help="put tables and picture into the documentation")
    parser.add_argument("--results", type=Path, default=_CHECKOUT / "benchmarks" / "results")
    return parser.parse_args()


def _plan(chosen: argparse.Namespace) -> Plan:
    return Plan(
        rows=tuple(chosen.rows),
        draws=chosen.draws,
        power_draws=chosen.power_draws or max(chosen.draws // 2, 1),
        large_draws=min(chosen.large_draws, chosen.draws),
        references=chosen.references or max(chosen.draws // 100, 1),
        evidently_draws=0 if chosen.without_evidently else chosen.evidently_draws,
        evidently_rows=tuple(chosen.evidently_rows),
        seed=chosen.seed,
    )


def _markdown(study: Study, facts: Mapping[str, Any]) -> str:
    """Return the whole result below a page's title."""
    plan = study.plan
    asked = f"{plan.draws:,} draws without drift, {plan.power_draws:,} of each shift, {plan.references} baselines."
    parts = ["## What was asked", asked, figures_table(study.figures())]
    for title, text in study.sections():
        parts += [f"## {title}", text]
    parts += ["## Machine", table(("", ""), [(name.replace("_", " "), str(value)) for name, value in facts.items()])]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
