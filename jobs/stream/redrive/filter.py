"""Which dead letters a redrive takes: by reason, by where the event lies, by when it was refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobs.stream.message.refusal import Reason
from scoretrail.errors import UsageError, nearest
from scoretrail.feature.schema import FaultCode

if TYPE_CHECKING:
    from datetime import datetime

    from jobs.stream.redrive.letter import Letter

_MS: Final = 1000
_PLACE: Final = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)(?:/(?P<partition>\d+)(?::(?P<first>\d+)(?:-(?P<last>\d+))?)?)?")


@dataclass(frozen=True)
class Place:
    """Events of a topic, of one partition, or of a range of offsets."""

    topic: str
    partition: int | None = None
    first: int = 0
    last: int | None = None
    """Inclusive; None for no end."""

    def holds(self, topic: str, partition: int, offset: int) -> bool:
        """Tell whether an event lies here."""
        return (
            topic == self.topic
            and self.partition in (None, partition)
            and self.first <= offset
            and (self.last is None or offset <= self.last)
        )


@dataclass(frozen=True, kw_only=True)
class RedriveFilter:
    """What is redriven; a part that names nothing takes everything."""

    reasons: frozenset[str] = frozenset()
    places: tuple[Place, ...] = ()
    since: datetime | None = None
    """Refused then or later."""
    until: datetime | None = None
    """Refused before."""

    @property
    def since_ms(self) -> int:
        """The first time, in milliseconds since 1970; 0 for all times."""
        return round(self.since.timestamp() * _MS) if self.since else 0

    def takes(self, letter: Letter) -> bool:
        """Tell whether a dead letter is to be redriven."""
        event = letter.next
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.places or any(p.holds(event.topic, event.partition, event.offset) for p in self.places))
            and letter.timestamp_ms >= self.since_ms
            and (self.until is None or letter.timestamp_ms < self.until.timestamp() * _MS)
        )


def place_of(text: str) -> Place:
    """Return what ``--events`` says.

    >>> place_of("flights/3:100-200")
    Place(topic='flights', partition=3, first=100, last=200)
    >>> place_of("flights/3:100")
    Place(topic='flights', partition=3, first=100, last=100)
    >>> place_of("flights")
    Place(topic='flights', partition=None, first=0, last=None)

    Raises:
        UsageError: it is no place.
    """
    found = _PLACE.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no place of events", expected="TOPIC, TOPIC/PARTITION, or TOPIC/PARTITION:N-M")
    if found["partition"] is None:
        return Place(found["topic"])
    if found["first"] is None:
        return Place(found["topic"], int(found["partition"]))
    first = int(found["first"])
    last = int(found["last"]) if found["last"] else first
    if last < first:
        raise UsageError(f"{text!r} ends before it begins", expected="TOPIC/PARTITION:FIRST-LAST")
    return Place(found["topic"], int(found["partition"]), first, last)


def reasons_of(names: list[str]) -> frozenset[str]:
    """Return the reasons that were named.

    Raises:
        UsageError: there is no such reason.
    """
    known = {str(one) for one in (*Reason, *FaultCode)}
    for name in names:
        if name not in known:
            near = nearest(name, known)
            fix = f"did you mean {near}?" if near else f"one of {', '.join(sorted(known))}"
            raise UsageError(f"there is no reason {name!r}", fix=fix)
    return frozenset(names)
