"""What champion and challenger made of the same events, summed up window by window, in all and by segment."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scoretrail.clock import utc_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from scoretrail.digest import Json


class Opinion(NamedTuple):
    """What one bundle made of an event."""

    score: float
    decision: str | None
    """None where the bundle decides nothing, as a regressor."""
    version: str
    bundle_sha256: str


class Pair(NamedTuple):
    """One event that both scored."""

    champion: Opinion
    challenger: Opinion
    segment: str | None = None
    """The event's value of the column that the comparison is broken down by, as text."""

    @property
    def agrees(self) -> bool | None:
        """Whether the decisions are equal; None where neither decides."""
        if self.champion.decision is self.challenger.decision is None:
            return None
        return self.champion.decision == self.challenger.decision


@dataclass(frozen=True, kw_only=True)
class ComparisonPolicy:
    """How events are compared."""

    source: str
    """``recorded``: both scored the same vector; ``events``: each read the store when it came to the event."""
    segment: str | None = None
    max_segments: int = 50


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of some pairs."""

    pairs: int
    agreement: float | None
    """Share of equal decisions; None where nothing was decided."""
    mean: float
    """Of the distances of the two scores."""
    p95: float
    maximum: float

    def to_json(self) -> dict[str, Json]:
        """Return the figures as they are reported."""
        distance: dict[str, Json] = {"max": self.maximum, "mean": self.mean, "p95": self.p95}
        return {"agreement": self.agreement, "distance": distance, "pairs": self.pairs}


def figures(pairs: Sequence[Pair]) -> Figures:
    """Return the figures of at least one pair.

    >>> one, two = Opinion(0.5, "yes", "1.0.0", "ab"), Opinion(0.25, "no", "2.0.0", "cd")
    >>> figures([Pair(one, two), Pair(one, one)])
    Figures(pairs=2, agreement=0.5, mean=0.125, p95=0.2375, maximum=0.25)
    """
    distances = np.abs(np.array([pair.champion.score - pair.challenger.score for pair in pairs]))
    judged = [agrees for pair in pairs if (agrees := pair.agrees) is not None]
    return Figures(
        pairs=len(pairs),
        agreement=sum(judged) / len(judged) if judged else None,
        mean=float(distances.mean()),
        p95=float(np.percentile(distances, 95)),
        maximum=float(distances.max()),
    )


@dataclass
class Counts:
    """What was not compared."""

    unmatched: int = 0
    """Events that the challenger scored and for which no prediction of the champion was found in time."""
    refused: int = 0
    """Records that the challenger refused."""
    skipped: int = 0
    """Offsets that it passed over because it lagged; the markers of transactions are among them."""


@dataclass
class Window:
    """The pairs of one window."""

    policy: ComparisonPolicy
    began_at: datetime
    pairs: list[Pair] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)

    def report(self, ended_at: datetime) -> dict[str, Json]:
        """Return the comparison: one entry per pair of bundles, and per segment of each."""
        policy = self.policy
        comparisons: list[Json] = []
        for (champion, challenger), pairs in _by_bundles(self.pairs).items():
            both: dict[str, Json] = {"challenger": _named(challenger), "champion": _named(champion)}
            comparisons.append({**both, "segment": None, **figures(pairs).to_json()})
            if policy.segment is not None:
                comparisons += [
                    {**both, "segment": {"column": policy.segment, **named}, **figures(some).to_json()}
                    for named, some in _by_segment(pairs, policy.max_segments)
                ]
        return {
            "began_at": utc_text(self.began_at),
            "comparisons": comparisons,
            "ended_at": utc_text(ended_at),
            "pinned": policy.source == "recorded",
            "refused": self.counts.refused,
            "skipped": self.counts.skipped,
            "source": policy.source,
            "unmatched": self.counts.unmatched,
        }


_Bundle = tuple[str, str]
"""Version and digest."""


def _by_bundles(pairs: Iterable[Pair]) -> dict[tuple[_Bundle, _Bundle], list[Pair]]:
    found: dict[tuple[_Bundle, _Bundle], list[Pair]] = defaultdict(list)
    for pair in pairs:
        found[pair.champion[2:], pair.challenger[2:]].append(pair)
    return found


def _by_segment(pairs: Sequence[Pair], most: int) -> list[tuple[dict[str, Json], list[Pair]]]:
    """Return the pairs by value, the frequent values first; beyond ``most`` values all others together."""
    found: dict[str | None, list[Pair]] = defaultdict(list)
    for pair in pairs:
        found[pair.segment].append(pair)
    ordered = sorted(found.items(), key=lambda one: (-len(one[1]), one[0] or ""))
    told: list[tuple[dict[str, Json], list[Pair]]] = [({"value": value}, some) for value, some in ordered[:most]]
    others = [pair for _, some in ordered[most:] for pair in some]
    return [*told, ({"others": len(ordered) - most}, others)] if others else told


def _named(bundle: _Bundle) -> dict[str, Json]:
    return {"bundle_sha256": bundle[1], "version": bundle[0]}
