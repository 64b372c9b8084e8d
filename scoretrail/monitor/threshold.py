"""From which effect on a column is worth a warning, and from which it has drifted; each with where that comes from."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

STABILITY: Final = "population_stability"
TRANSPORT: Final = "wasserstein"
VARIATION: Final = "total_variation"
MISSING: Final = "missing"
UNSEEN: Final = "unseen"
OUT_OF_RANGE: Final = "out_of_range"
INFINITE: Final = "infinite"
CONSTANT: Final = "constant"
VANISHED: Final = "vanished"

_SIDDIQI: Final = "Siddiqi, Credit Risk Scorecards (2006): below 0.1 stable, above 0.25 shifted"
_COHEN: Final = (
    "warn: Evidently's default for the normalised distance; drift: a small effect, d = 0.2 (Cohen, Statistical Power "
    "Analysis for the Behavioral Sciences, 1988), for a pure shift moves every value by d standard deviations"
)
_OURS: Final = "Scoretrail's default"


class Threshold(BaseModel):
    """From which value on a measure counts."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    warn: float = Field(gt=0)
    drift: float = Field(gt=0)
    source: str = _OURS
    """Who says so."""


_NUMBERS: Final = {
    STABILITY: Threshold(warn=0.1, drift=0.25, source=_SIDDIQI),
    TRANSPORT: Threshold(warn=0.1, drift=0.2, source=_COHEN),
    OUT_OF_RANGE: Threshold(warn=0.005, drift=0.02),
    INFINITE: Threshold(warn=0.001, drift=0.005),
    CONSTANT: Threshold(warn=1.0, drift=1.0),
}
_WORDS: Final = {
    STABILITY: Threshold(warn=0.1, drift=0.25, source=_SIDDIQI),
    VARIATION: Threshold(warn=0.1, drift=0.2),
    UNSEEN: Threshold(warn=0.005, drift=0.02),
    CONSTANT: Threshold(warn=1.0, drift=1.0),
    VANISHED: Threshold(warn=0.01, drift=0.05, source=f"{_OURS}, as a share of the reference's rows"),
}
_ANY: Final = {MISSING: Threshold(warn=0.02, drift=0.05, source=f"{_OURS}, as a change of the share")}


def thresholds(*, is_number: bool) -> dict[str, Threshold]:
    """Return the thresholds of a column of numbers, or of words, by measure."""
    return {**(_NUMBERS if is_number else _WORDS), **_ANY}
