"""Compares what went in with what came out: each event exactly one outcome, and no partition back to an older alias."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

SHOWN = 5


class Event(NamedTuple):
    """An event as it lies in the input."""

    key: bytes | None
    sha256: str
    """Of its value."""


class Outcome(NamedTuple):
    """A prediction or a dead letter, as a reader of committed records sees it."""

    partition: int
    """Of its event."""
    offset: int
    number: int
    """0 for an event's first outcome."""
    key: bytes | None
    event_sha256: str
    bundle: str
    is_dead_letter: bool = False


class Commit(NamedTuple):
    """What a group committed for a partition."""

    partition: int
    offset: int
    """Of the next event."""
    alias_no: int
    bundle: str
    """The first digits of the digest; empty for the place where the group began."""


@dataclass
class Verdict:
    """Counts of what was found; all but the first four are 0 where the guarantee holds."""

    events: int = 0
    predictions: int = 0
    dead_letters: int = 0
    commits: int = 0
    lost: int = 0
    """Events without an outcome."""
    twice: int = 0
    """Outcomes 0 of an event that has one already."""
    strange: int = 0
    """Outcomes of no event, or with another number than 0."""
    altered: int = 0
    """Outcomes with the key or the digest of another event."""
    alias_back: int = 0
    """Commits under an older alias than the partition's commit before."""
    offset_back: int = 0
    """Commits that do not lead on."""
    repeated: int = 0
    """Commits that lie there twice, word for word: within its transaction, a client asks again after a lost answer."""
    other_bundle: int = 0
    """Outcomes by another bundle than that of the commit that published them."""
    vanished: int = 0
    """Acknowledged events that do not lie where the broker said."""
    examples: list[str] = field(default_factory=list)

    @property
    def faults(self) -> dict[str, int]:
        """What breaks the guarantee, by name."""
        counts = {name: value for name, value in asdict(self).items() if isinstance(value, int) and value}
        return {name: n for name, n in counts.items() if name not in _NEUTRAL}

    def note(self, fault: str, where: Any) -> None:
        """Count a fault, and keep the first few places."""
        setattr(self, fault, getattr(self, fault) + 1)
        if len(self.examples) < SHOWN:
            self.examples.append(f"{fault}: {where}")


_NEUTRAL = ("events", "predictions", "dead_letters", "commits", "repeated")
Events = Mapping[int, Mapping[int, Event]]
"""Partition -> offset -> event."""


def compare(
    events: Events,
    outcomes: Iterable[Outcome],
    commits: Sequence[Commit] = (),
    acknowledged: Iterable[tuple[int, int, bytes]] = (),
) -> Verdict:
    """Return what is wrong, counted.

    Args:
        events: all that a reader of committed records sees in the input.
        outcomes: all that such a reader sees in the outputs, in any order.
        commits: every commit of the group, in the order of the log; none skips what needs them.
        acknowledged: partition, offset and key of every event that its producer was told is there.
    """
    verdict = Verdict(events=sum(map(len, events.values())))
    bundles = _follow(commits, verdict)
    seen: dict[int, set[int]] = defaultdict(set)
    for one in outcomes:
        _judge(one, events, seen[one.partition], verdict)
        if bundles and not _is_by(one, bundles):
            verdict.note("other_bundle", one[:3])
    for partition, known in events.items():
        for offset in known.keys() - seen[partition]:
            verdict.note("lost", (partition, offset))
    for partition, offset, key in acknowledged:
        event = events.get(partition, {}).get(offset)
        if event is None or event.key != key:
            verdict.note("vanished", (partition, offset))
    return verdict


def _judge(one: Outcome, events: Events, seen: set[int], verdict: Verdict) -> None:
    if one.is_dead_letter:
        verdict.dead_letters += 1
    else:
        verdict.predictions += 1
    event = events.get(one.partition, {}).get(one.offset)
    if event is None or one.number != 0:
        verdict.note("strange", one[:3])
        return
    if one.offset in seen:
        verdict.note("twice", one[:2])
    seen.add(one.offset)
    if (one.key, one.event_sha256) != event:
        verdict.note("altered", one[:2])


class _Ranges(NamedTuple):
    """The next offsets of a partition's commits, rising, and the bundle of each."""

    ends: list[int]
    bundles: list[str]


def _follow(commits: Sequence[Commit], verdict: Verdict) -> dict[int, _Ranges]:
    found: dict[int, _Ranges] = {}
    last: dict[int, Commit] = {}
    for commit in commits:
        verdict.commits += 1
        before = last.get(commit.partition)
        if commit == before and commit.bundle:
            verdict.repeated += 1
            continue
        if before is not None:
            if commit.alias_no < before.alias_no:
                verdict.note("alias_back", commit)
            # Workers that begin together may commit the same starting point, which has no bundle.
            if commit.offset <= before.offset and (commit.bundle or before.bundle):
                verdict.note("offset_back", commit)
        last[commit.partition] = commit
        ranges = found.setdefault(commit.partition, _Ranges([], []))
        ranges.ends.append(commit.offset)
        ranges.bundles.append(commit.bundle)
    return found


def _is_by(one: Outcome, bundles: Mapping[int, _Ranges]) -> bool:
    ranges = bundles.get(one.partition)
    if ranges is None:
        return False
    at = bisect_right(ranges.ends, one.offset)
    return at < len(ranges.ends) and bool(ranges.bundles[at]) and one.bundle.startswith(ranges.bundles[at])
