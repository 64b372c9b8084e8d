"""What is measured of one column against the reference: effects and p-values; what is said of them is the verdict's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from scoretrail.monitor import distance
from scoretrail.monitor import threshold as t
from scoretrail.monitor.histogram import CategoryBins, NumberBins
from scoretrail.monitor.significance import chi_square

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scoretrail.monitor.histogram import Counts

Kind = Literal["data", "prediction", "upstream"]
"""Of an input's values, of what the model says, or of how the data is made before it is scored."""
_NAMED: Final = 5
_BY_CHANCE: Final = 0.01
_NEARLY_ALL: Final = 0.95
"""What is gone is then less than what is drift of words that vanished."""


@dataclass(frozen=True)
class Reference:
    """One column as the reference had it."""

    bins: NumberBins | CategoryBins
    counts: Counts
    deviation: float | None
    """Standard deviation of numbers; None for words."""
    is_output: bool

    @property
    def kind(self) -> Kind:
        """What a change of its values is."""
        return "prediction" if self.is_output else "data"


@dataclass(frozen=True)
class Measured:
    """One measure of one column."""

    measure: str
    kind: Kind
    value: float
    """The effect: a distance (:mod:`scoretrail.monitor.distance`), or a share of rows."""
    p_value: float
    """How often chance alone makes such a difference."""
    detail: str = ""


def measure(then: Reference, now: Counts) -> Iterator[Measured]:
    """Yield what can decide of a column.

    Args:
        then: the reference.
        now: what was counted in its bins, of at least one row.
    """
    rows = then.counts.rows
    yield _share(t.MISSING, "upstream", (then.counts.missing, rows), (now.missing, now.rows))
    if isinstance(then.bins, NumberBins):
        yield from _numbers(then, now)
    else:
        yield from _words(then, then.bins, now)
    if now.present and then.counts.present:
        yield from _distances(then, now)


def indications(then: Reference, now: Counts) -> dict[str, float]:
    """Return what is measured for people to look at, and decides nothing."""
    found = {"missing_share": now.missing / now.rows if now.rows else 0.0}
    if now.present and then.counts.present:
        before, after = _comparable(then, then.counts), _comparable(then, now)
        found["jensen_shannon"] = distance.jensen_shannon(before, after)
        if isinstance(then.bins, NumberBins):
            found["kolmogorov_smirnov_at_least"] = distance.kolmogorov_smirnov(before, after)
    return found


def _share(measure: str, kind: Kind, then: tuple[int, int], now: tuple[int, int], detail: str = "") -> Measured:
    """Return by how much a share grew; of missing values by how much it changed, for a column may also come alive.

    Args:
        measure: which share.
        kind: what a change of it is.
        then: how many of the reference's rows, and of how many.
        now: the same of what is held against it.
        detail: for people.
    """
    (before, rows_then), (n, rows_now) = then, now
    grown = n / rows_now - (before / rows_then if rows_then else 0.0)
    value = abs(grown) if measure == t.MISSING else max(grown, 0.0)
    p_value = chi_square([before, rows_then - before], [n, rows_now - n]) if value else 1.0
    return Measured(measure, kind, value, p_value, detail)


def _numbers(then: Reference, now: Counts) -> Iterator[Measured]:
    rows = then.counts.rows
    yield _share(t.INFINITE, "upstream", (then.counts.infinite, rows), (now.infinite, now.rows))
    reach = f"{now.low:g} to {now.high:g}" if now.low is not None and now.high is not None else ""
    yield _share(t.OUT_OF_RANGE, then.kind, (0, rows), (now.below + now.above, now.rows), reach)
    if now.present:
        stopped = now.low == now.high and then.counts.low != then.counts.high
        yield _constant(stopped, then.counts, now, f"always {now.low}")


def _words(then: Reference, bins: CategoryBins, now: Counts) -> Iterator[Measured]:
    if not (now.present and then.counts.present):
        return
    expected = round(bins.expected_unseen * then.counts.present)
    yield _share(t.UNSEEN, then.kind, (expected, then.counts.present), (now.bins[-1], now.present))
    yield _vanished(then, bins, now)
    stopped = sum(n > 0 for n in now.bins) == 1 and sum(n > 0 for n in then.counts.bins) > 1
    yield _constant(stopped, then.counts, now)


def _constant(stopped: bool, then: Counts, now: Counts, detail: str = "") -> Measured:  # noqa: FBT001
    """Return whether a column that varied has one value only: no question of chance, of as many rows as are judged.

    A value that nearly all rows of the reference had may well be the only one: rain in a dry week, defaults of a store
    that always answered.
    """
    if stopped:
        place = next(i for i, n in enumerate(now.bins) if n)
        stopped = then.bins[place] < _NEARLY_ALL * then.present
    return Measured(t.CONSTANT, "upstream", float(stopped), 0.0 if stopped else 1.0, detail if stopped else "")


def _vanished(then: Reference, bins: CategoryBins, now: Counts) -> Measured:
    """Return which share of the reference had words that are there no more, and not by chance.

    That none of n rows has a word with a share p happens with (1 - p)^n; of so many words that could have been the one,
    so many times as often (Bonferroni).
    """
    gone = [
        (name, before / then.counts.present)
        for name, before, n in zip(bins.names, then.counts.bins, now.bins, strict=False)
        if before and not n
    ]
    by_chance = {name: min(len(bins.names) * (1.0 - share) ** now.present, 1.0) for name, share in gone}
    missed = [(name, share) for name, share in gone if by_chance[name] <= _BY_CHANCE]
    detail = ", ".join(name for name, _ in missed[:_NAMED])
    p_value = min((by_chance[name] for name, _ in missed), default=1.0)
    return Measured(t.VANISHED, "upstream", sum(share for _, share in missed), p_value, detail)


def _distances(then: Reference, now: Counts) -> Iterator[Measured]:
    before, after = _comparable(then, then.counts), _comparable(then, now)
    p_value = chi_square(before, after)
    yield Measured(t.STABILITY, then.kind, distance.population_stability(before, after), p_value)
    if isinstance(then.bins, CategoryBins):
        yield Measured(t.VARIATION, then.kind, distance.total_variation(before, after), p_value)
    elif then.deviation and then.bins.centres:
        moved = distance.wasserstein(before, after, then.bins.centres)
        yield Measured(t.TRANSPORT, then.kind, moved / then.deviation, p_value)


def _comparable(then: Reference, counts: Counts) -> tuple[int, ...]:
    """Return the bins that distances compare: unseen words count as others, for which there is a check of its own."""
    if isinstance(then.bins, NumberBins):
        return counts.bins
    return (*counts.bins[:-2], counts.bins[-2] + counts.bins[-1])
