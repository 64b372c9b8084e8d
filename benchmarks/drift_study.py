"""The study as one: what is drawn, in which order, and the tables that come of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.drift_case import cases, shift
from benchmarks.drift_evidently import REFERENCE_ROWS, Evidently, evidently
from benchmarks.drift_picture import picture
from benchmarks.drift_population import LAWS, Population, make_population
from benchmarks.drift_rate import EXACT_FROM, Power, Quiet, agreement, power, quiet
from benchmarks.drift_share import Share
from benchmarks.figure import Figure, at_least, at_most, table

ALARMS: Final = 0.01
"""Of draws without drift, so many may be called drift, or warn, at most."""
_ALIKE: Final = 0.01
_CURVE: Final = tuple(round(0.025 * step, 3) for step in range(15))
"""Shifts of the picture, in standard deviations."""


@dataclass(frozen=True)
class Plan:
    """How much is drawn."""

    rows: tuple[int, ...]
    draws: int
    power_draws: int
    large_draws: int
    """Value by value, of row counts of which otherwise only counts are drawn."""
    references: int
    evidently_draws: int
    evidently_rows: tuple[int, ...]
    seed: int


@dataclass
class Study:
    """What was found."""

    plan: Plan
    populations: Sequence[Population] = ()
    quiet: list[Quiet] = field(default_factory=list)
    power: list[Power] = field(default_factory=list)
    curve: list[Power] = field(default_factory=list)
    evidently: list[Evidently] = field(default_factory=list)

    def run(self) -> None:
        """Draw everything."""
        plan = self.plan
        self.tell(f"{plan.references} baselines")
        self.populations = [make_population(plan.seed + i) for i in range(plan.references)]
        for rows in plan.rows:
            for exact in (False, True):
                draws = plan.large_draws if rows >= EXACT_FROM and not exact else plan.draws
                self.tell(f"{draws} draws without drift, {rows:,} rows, {'counts' if exact else 'values'}")
                self.quiet.append(quiet(self.populations, rows, draws, plan.seed, exact=exact))
            self.tell(f"{plan.power_draws} draws of each shift, {rows:,} rows")
            self.power += power(self.populations, cases(), rows, plan.power_draws, plan.seed)
            self.curve += power(self.populations, map(shift, _CURVE), rows, plan.power_draws, plan.seed)
        if plan.evidently_draws:
            self.evidently = [
                evidently(LAWS, cases(), rows, plan.evidently_draws, plan.seed, self.tell)
                for rows in plan.evidently_rows
            ]

    def figures(self) -> list[Figure]:
        """Return what is asked of it."""
        found = []
        for rows in self.plan.rows:
            values, counts = self._ways(rows)
            one = counts if rows >= EXACT_FROM else values
            found.append(_few(f"no drift, {rows:,} rows: drift", one.drift))
            found.append(_few(f"no drift, {rows:,} rows: warn or drift", one.raised))
        singles = [one for one in self.power if not one.case.is_drift]
        found += [_few(f"{one.case.name} in {one.rows:,} rows: drift", one.drift) for one in singles]
        for rows in self.plan.rows:
            n, p_value = agreement(*self._ways(rows))
            text = f"p = {p_value:.2f} of {n} effects"
            found.append(at_least(f"{rows:,} rows: drawn values and drawn counts alike", p_value, text, _ALIKE))
        return found

    def sections(self) -> list[tuple[str, str]]:
        """Return title and Markdown of every table."""
        found = [("False alarms", _false_alarms(self.quiet))]
        for rows in self.plan.rows:
            beside = next((one for one in self.evidently if one.rows == rows), None)
            found.append((f"Shifts, {rows:,} rows", _shifts([one for one in self.power if one.rows == rows], beside)))
        if self.evidently:
            found.append(("Evidently without drift", _evidently(self.evidently)))
        return found

    def picture(self) -> str:
        """Return power against shift as SVG."""
        drift, raised = {}, {}
        for rows in self.plan.rows:
            points = sorted(zip(_CURVE, (one for one in self.curve if one.rows == rows), strict=True))
            drift[rows] = [(by, one.drift.value) for by, one in points]
            raised[rows] = [(by, one.raised.value) for by, one in points]
        return picture(drift, raised, max(_CURVE))

    def to_json(self) -> dict[str, Any]:
        """Return everything that was found."""
        return {
            "plan": vars(self.plan),
            "figures": [one.to_json() for one in self.figures()],
            "quiet": [one.to_json() for one in self.quiet],
            "power": [one.to_json() for one in self.power],
            "curve": [one.to_json() for one in self.curve],
            "evidently": [one.to_json() for one in self.evidently],
        }

    @staticmethod
    def tell(text: str) -> None:
        """Say how far it is, on standard error."""
        print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)

    def _ways(self, rows: int) -> tuple[Quiet, Quiet]:
        values, counts = (one for one in self.quiet if one.rows == rows)
        return values, counts


def _few(name: str, share: Share) -> Figure:
    return at_most(name, 100 * share.value, share.text(), 100 * ALARMS, " %")


def _false_alarms(found: Sequence[Quiet]) -> str:
    return table(
        ("rows", "drawn", "draws", "drift", "warn or drift", "checks that were raised, in so many draws"),
        [
            (f"{one.rows:,}", one.way, f"{one.drift.of:,}", one.drift.text(), one.raised.text(), one.what())
            for one in found
        ],
    )


def _shifts(found: Sequence[Power], beside: Evidently | None) -> str:
    head = ["one column changed", "warn or drift", "drift", "says most"]
    rows = [[one.case.name, one.raised.text(), one.drift.text(), one.what()] for one in found]
    if beside is not None:
        head += ["Evidently: column drifted", "Evidently: dataset drift"]
        rows = [[*row, beside.column[row[0]].text(), beside.dataset[row[0]].text()] for row in rows]
    return table(head, rows)


def _evidently(found: Sequence[Evidently]) -> str:
    return table(
        ("rows", "reference", "draws", "any column drifted", "which, in so many draws", "dataset drift", "s a report"),
        [
            (
                f"{one.rows:,}",
                f"{REFERENCE_ROWS:,}",
                f"{one.draws}",
                one.quiet_any.text(),
                ", ".join(f"{name} {n}" for name, n in one.quiet_columns.items()) or "none",
                one.quiet_dataset.text(),
                f"{one.seconds:.1f}",
            )
            for one in found
        ],
    )
