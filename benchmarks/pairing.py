"""Interleaved rounds: each way is run once in each, in turning order: what else the machine does hits them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Ratio:
    """A quotient of two ways, once per round."""

    values: tuple[float, ...]

    @property
    def middle(self) -> float:
        """The median over the rounds."""
        return median(self.values)

    def text(self) -> str:
        """Return the median and the spread, as tables show it."""
        return f"{self.middle:.2f} ({min(self.values):.2f}–{max(self.values):.2f})"


def run_rounds(
    ways: Mapping[str, Callable[[], float]], rounds: int, tell: Callable[[str], None]
) -> Mapping[str, list[float]]:
    """Return way -> seconds per round.

    Args:
        ways: name -> a function that does the work once and returns the seconds it took.
        rounds: how often each is run.
        tell: is told each time as it comes.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        # There and back: a machine that slows down steadily favours nobody.
        order = list(ways) if number % 2 == 0 else list(ways)[::-1]
        for name in order:
            took = ways[name]()
            seconds[name].append(took)
            tell(f"round {number + 1} of {rounds}: {name} {took:.2f} s")
    return seconds


def speed_ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Return how many times as fast the first way is, round by round."""
    return Ratio(tuple(their / our for our, their in zip(ours, theirs, strict=True)))
