"""The named shifts of the study: each of one column, the other columns as they were."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from benchmarks.drift_law import Law, NumberLaw, WordLaw
from benchmarks.drift_population import LAWS

SHIFTS: Final = (0.1, 0.2, 0.3, 0.5, 1.0)
NULLS: Final = (0.02, 0.05, 0.2)
OUTLIER: Final = 1e6
SHIFTED: Final = "normal"
"""The column of the shifts, the nulls and the outlier."""
SKEWED: Final = {"log_normal": "log-normal", "heavy_tails": "Student's t, 3 degrees"}
"""Columns that are shifted as well."""
MOSTLY_ZERO: Final = "mostly_zero"
SWAPPED: Final = ("words_3", "words_20", "words_100")


@dataclass(frozen=True)
class Case:
    """What becomes of one column."""

    name: str
    column: str
    law: Law
    """What it follows instead."""
    is_drift: bool = True
    """False where it must not be called drift."""


def shift(deviations: float, column: str = SHIFTED) -> Case:
    """Return the case that every value of a column of numbers moves by so many of its standard deviations."""
    law = _number(column)
    name = f"shift by {deviations:g} sd" if column == SHIFTED else f"{SKEWED[column]}: shift by {deviations:g} sd"
    return Case(name, column, replace(law, move=deviations * law.deviation))


def cases() -> tuple[Case, ...]:
    """Return all of them, in the order of the tables."""
    swaps = [(name, LAWS[name]) for name in SWAPPED]
    return (
        *(shift(deviations) for deviations in SHIFTS),
        *(shift(deviations, column) for column in SKEWED for deviations in SHIFTS[:2]),
        Case("nine of ten zero: the others doubled", MOSTLY_ZERO, _doubled(_number(MOSTLY_ZERO))),
        *(
            Case(f"two most frequent of {len(law.shares)} words swapped", name, law.swapped())
            for name, law in swaps
            if isinstance(law, WordLaw)
        ),
        *(
            Case(f"{share:.0%} nulls".replace("%", " %"), SHIFTED, replace(_number(SHIFTED), missing=share))
            for share in NULLS
        ),
        Case("one value of 1,000,000", SHIFTED, replace(_number(SHIFTED), single=(OUTLIER,)), is_drift=False),
    )


def _doubled(law: NumberLaw) -> NumberLaw:
    given = law.distribution
    return replace(law, distribution=given.dist(**{**given.kwds, "scale": 2 * given.kwds["scale"]}))


def _number(column: str) -> NumberLaw:
    law = LAWS[column]
    if not isinstance(law, NumberLaw):
        raise TypeError(f"{column} is a column of words")
    return law
