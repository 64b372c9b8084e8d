"""Which of the labels that were received for one prediction counts: the latest, unless others say otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from scoretrail.clock import from_utc_text, utc_text

Label: TypeAlias = tuple[str, datetime | None]
"""An outcome, and when it became known; None where nobody says."""


@dataclass(frozen=True)
class Resolution:
    """What labels come to."""

    outcome: str | None
    """The class that counts; None where labels conflict."""
    known_at: datetime | None
    """Since when it is known; of a conflict, when the latest label came."""
    received: int
    replaced: int
    """Labels of another outcome that a later one replaced."""

    @property
    def repeated(self) -> int:
        """Labels that said again what counts."""
        return 0 if self.outcome is None else self.received - self.replaced - 1


def resolve(labels: Iterable[Label]) -> Resolution:
    """Return what labels come to, whatever order they came in; two that are equal count as one.

    The latest outcome counts, and is known since the first label of those at the end that all agree with it. Labels of
    the same latest instant, or without any, that say different things conflict.

    >>> at = [datetime(2013, 12, day) for day in (1, 2, 3)]
    >>> resolve([("late", at[1]), ("on_time", at[0]), ("late", at[2])]).outcome
    'late'
    >>> resolve([("late", at[1]), ("on_time", at[0]), ("late", at[2])]).known_at == at[1]
    True
    >>> resolve([("late", at[1]), ("on_time", at[1])]).outcome is None
    True

    Args:
        labels: at least one.
    """
    every = set(labels)
    by_time: dict[datetime, set[str]] = {}
    for outcome, known_at in every:
        if known_at is not None:
            by_time.setdefault(known_at, set()).add(outcome)
    times = sorted(by_time, reverse=True)
    newest = by_time[times[0]] if times else set()
    standing = newest | {outcome for outcome, known_at in every if known_at is None}
    if len(standing) > 1:
        return Resolution(None, times[0] if times else None, len(every), 0)
    (outcome,) = standing
    since = None
    for at in times:
        if by_time[at] != standing:
            break
        since = at
    return Resolution(outcome, since, len(every), sum(one != outcome for one, _ in every))


def to_text(labels: Iterable[Label]) -> str:
    """Return labels as JSON in order of time, those without one first.

    >>> to_text([("late", None), ("late", None)])
    '[["late", null]]'
    """
    ordered = sorted(set(labels), key=lambda one: (one[1] is not None, one[1] or datetime.min, one[0]))  # noqa: DTZ901
    return json.dumps([[outcome, None if at is None else utc_text(at)] for outcome, at in ordered], ensure_ascii=False)


def from_text(text: str) -> Sequence[Label]:
    """Return the labels that :func:`to_text` wrote."""
    return [(outcome, None if at is None else from_utc_text(at)) for outcome, at in json.loads(text)]
