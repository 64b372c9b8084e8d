"""One lane: what one bundle needs to turn the events of one topic into messages, made once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.stream.message.deadletter import DeadLetters
from jobs.stream.message.event import EventType
from jobs.stream.message.prediction import Predictions
from jobs.stream.message.provenance import Provenance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.stream.message.identity import Identity, Topics
    from scoretrail.model.bundle import Bundle


@dataclass(frozen=True, eq=False)
class Lane:
    """A bundle and a topic."""

    bundle: Bundle
    event_type: EventType
    predictions: Predictions
    dead_letters: DeadLetters


class Lanes:
    """The lanes of one served bundle and of those that an event may ask for, each opened when it is first needed."""

    def __init__(self, bundle: Bundle, pinned: Mapping[str, Bundle], topics: Topics, identity: Identity) -> None:
        """Take what is served, as whom, and where messages go to.

        Args:
            bundle: scores every event that asks for no version.
            pinned: version -> bundle, for each version that an event may ask for.
            topics: where messages go to.
            identity: who scores.

        Raises:
            FeatureViewError: a view has a request feature that cannot come with an event.
        """
        for one in (bundle, *pinned.values()):
            EventType(one.view)  # at the start, and not when the first event that asks for it comes
        self._bundle = bundle
        self._pinned = pinned
        self._topics = topics
        self._identity = identity
        self._opened: dict[tuple[str | None, str], Lane] = {}

    def allows(self, version: str | None) -> bool:
        """Tell whether events may ask for a version; None asks for none."""
        return version is None or version in self._pinned

    def lane(self, topic: str, version: str | None = None) -> Lane:
        """Return the lane of a topic.

        Args:
            topic: where the events come from.
            version: an allowed one, or None for what is served.
        """
        opened = self._opened.get((version, topic))
        if opened is None:
            bundle = self._bundle if version is None else self._pinned[version]
            opened = self._opened[version, topic] = self._open(bundle, topic)
        return opened

    def _open(self, bundle: Bundle, topic: str) -> Lane:
        provenance = Provenance(bundle, self._identity, topic)
        return Lane(
            bundle,
            EventType(bundle.view),
            Predictions(provenance, self._topics),
            DeadLetters(provenance, self._topics),
        )
