"""What a worker's loop asks of its surroundings, and tells them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobs.stream.loop.isolation import Handler
    from jobs.stream.port import Partition


class Current(Protocol):
    """What scores at the moment."""

    @property
    def alias_no(self) -> int:
        """The number of the alias record; it never goes back."""
        ...

    @property
    def bundle_sha256(self) -> str:
        """Digest of the bundle."""
        ...

    @property
    def handler(self) -> Handler:
        """Turns records into messages by that bundle."""
        ...


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What a worker is told by, and tells, its surroundings."""

    current: Callable[[], Current]
    """Which bundle serves; asked once per turn, so that a switch lies between transactions."""
    store_is_back: Callable[[], bool] = lambda: True
    """Asks a store that was away whether it answers."""
    on_step: Callable[[str], Any] = lambda _: None
    """Called between any two steps of a turn, with the name of the one that was done."""
    on_switch: Callable[[int, Mapping[Partition, int]], Any] = lambda *_: None
    """Told the alias and the first offset that it scored, of each partition that an older one had scored before."""
