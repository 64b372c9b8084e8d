"""Where the demo's stream runs: its services, its topics, its group, and how they are reached."""

from __future__ import annotations

from dataclasses import dataclass

from scoretrail.setting import KafkaSettings, OnlineSettings


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A stream: what goes in, what comes out, and the services between."""

    bootstrap: str
    """HOST:PORT of the broker."""
    online: str
    """``redis://HOST:PORT/DB`` of the online store."""
    group: str
    input: str
    predictions: str
    dead_letters: str

    @property
    def kafka(self) -> KafkaSettings:
        """How a client reaches the broker."""
        return KafkaSettings(bootstrap=(self.bootstrap,))

    @property
    def store(self) -> OnlineSettings:
        """How a client reaches the online store."""
        return OnlineSettings(uri=self.online)

    def topics(self, partitions: int) -> dict[str, int]:
        """Return each topic with its number of partitions."""
        return dict.fromkeys((self.input, self.predictions, self.dead_letters), partitions)
