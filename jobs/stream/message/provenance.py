"""The part of a trail that is the same for all events that one bundle scores from one topic."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from jobs.stream.message.identity import EventSource, Identity
from scoretrail.model.manifest import MODEL
from scoretrail.model.scorer import engine_version

if TYPE_CHECKING:
    from scoretrail.digest import Digest, Json
    from scoretrail.model.bundle import Bundle

SHORT_TRAIL: Final = "scoretrail-trail"
"""The one header of ours on a prediction."""
_SHORT_DIGITS: Final = 12


@dataclass(frozen=True)
class Provenance:
    """Which bundle scores, as whom, and from which topic."""

    bundle: Bundle
    identity: Identity
    topic: str

    @cached_property
    def source(self) -> EventSource:
        """The topic, as ids and sources name it."""
        return EventSource(self.identity, self.topic)

    @cached_property
    def score_digest(self) -> Digest:
        """The digest of what decides a score."""
        return self.bundle.manifest.score_digest

    def short(self, outcome: int) -> bytes:
        """Return the trail in one line, for whoever sorts messages without reading their values."""
        manifest = self.bundle.manifest
        return (
            f"outcome={outcome};role={self.identity.role};model={manifest.name}/{manifest.version};"
            f"bundle={self.bundle.digest[:_SHORT_DIGITS]}"
        ).encode()

    def trail(self, partition: Json, offset: Json, outcome: Json, event_sha256: str) -> dict[str, Json]:
        """Return the trail of one event, without what only a prediction has; each value may be a slot of a template.

        Args:
            partition: number of the partition where the event lies.
            offset: where in it.
            outcome: 0 for the first; a redrive counts up.
            event_sha256: sha256 of the event's raw value; of no bytes where it has none.
        """
        manifest = self.bundle.manifest
        return {
            "bundle_sha256": self.bundle.digest,
            "engine": self.bundle.engine.name,
            "event_sha256": event_sha256,
            "model": manifest.name,
            "model_sha256": manifest.files[MODEL],
            "onnxruntime": engine_version(),
            "outcome": outcome,
            "repeats_bits": self.bundle.repeats_bits,
            "role": self.identity.role,
            "score_digest": self.score_digest,
            "scoring_version": manifest.scoring_version,
            "source": {
                "cluster": self.identity.cluster,
                "offset": offset,
                "partition": partition,
                "topic": self.topic,
            },
            "version": manifest.version,
        }
