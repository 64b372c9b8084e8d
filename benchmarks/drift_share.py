"""A share of draws, with the interval in which the true one lies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

_Z: Final = 1.959963984540054
"""97.5 % of a normal distribution lie below: 95 % of it within plus and minus."""


@dataclass(frozen=True)
class Share:
    """How many of some draws had something.

    >>> Share(3, 1000).text()
    '0.3 % (0.1–0.9)'
    """

    n: int
    of: int

    @property
    def value(self) -> float:
        """The share that was seen."""
        return self.n / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval (Wilson, Probable Inference, JASA 22, 1927)."""
        middle = (self.value + _Z**2 / (2 * self.of)) / (1 + _Z**2 / self.of)
        spread = math.sqrt(self.value * (1 - self.value) / self.of + _Z**2 / (4 * self.of**2)) * _Z
        half = spread / (1 + _Z**2 / self.of)
        return max(middle - half, 0.0), min(middle + half, 1.0)

    def text(self) -> str:
        """Return the share and its interval, in per cent."""
        low, high = self.interval
        digits = 1 if self.of >= 200 else 0
        return f"{100 * self.value:.{digits}f} % ({100 * low:.{digits}f}–{100 * high:.{digits}f})"

    def to_json(self) -> dict[str, Any]:
        """Return the share as JSON values."""
        return {"n": self.n, "of": self.of, "interval": list(self.interval)}
