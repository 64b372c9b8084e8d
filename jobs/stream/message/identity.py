"""Who writes and where to: names that go into every message, and ids that follow from an event's position."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

ID_DIGITS: Final = 32
"""Of a sha256: 128 bits, as many as a UUID has room for."""
TOPIC_BYTES: Final = 1_048_588
"""Kafka's default of ``max.message.bytes``."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who scores."""

    app: str
    """Name of the deployment, such as ``flights``."""
    cluster: str
    """The cluster's id, as the broker says it."""
    role: str = "champion"


@dataclass(frozen=True, kw_only=True)
class Topics:
    """Where predictions and dead letters go to, and how large a message each topic takes."""

    predictions: str
    dead_letters: str
    max_prediction_bytes: int = TOPIC_BYTES
    max_dead_letter_bytes: int = TOPIC_BYTES
    redriven: frozenset[str] = frozenset()
    """Topics that redriven events come by; in others nothing says which outcome is asked for."""


class EventSource:
    """One topic of events as what follows from them names it: the same position gives the same id, always."""

    def __init__(self, identity: Identity, topic: str) -> None:
        """Prepare what all events of a topic have in common."""
        # NUL parts the names, for none of them can hold one.
        self._start = hashlib.sha256(f"{identity.cluster}\0{topic}\0{identity.role}\0".encode())
        self.uri = "/" + "/".join(quote(name, safe="") for name in (identity.app, identity.cluster, topic))
        """What CloudEvents calls the source: a relative URI, unique with the id."""

    def outcome_id(self, partition: int, offset: int, outcome: int) -> str:
        """Return the id of an outcome of the event at a position.

        >>> source = EventSource(Identity(app="parcels", cluster="c1"), "events")
        >>> len(source.outcome_id(0, 7, 0)), source.outcome_id(0, 7, 0) == source.outcome_id(0, 7, 1)
        (32, False)
        """
        hasher = self._start.copy()
        hasher.update(b"%d\0%d\0%d" % (partition, offset, outcome))
        return hasher.hexdigest()[:ID_DIGITS]
