"""Which partitions a worker may read: not those that a newer model has scored, and none while the store is away."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from jobs.stream.port import Partition


class Holding:
    """The alias number that scored each assigned partition last, and what is paused for that or for the store.

    >>> from jobs.stream.port import Partition
    >>> holding = Holding()
    >>> holding.assign({Partition("events", 0): 17, Partition("events", 1): 16})
    >>> [str(partition) for partition in holding.waiting(alias_no=16)]
    ['events/0']
    """

    def __init__(self) -> None:
        """Begin without partitions."""
        self._floors: dict[Partition, int] = {}
        self.store_away = False

    def assign(self, floors: Mapping[Partition, int]) -> None:
        """Take partitions, each with the number of the alias that scored it last."""
        self._floors |= floors

    def replace(self, floors: Mapping[Partition, int]) -> None:
        """Take these partitions and no others."""
        self._floors = dict(floors)

    def revoke(self, partitions: Iterable[Partition]) -> None:
        """Forget partitions that are another worker's now."""
        for partition in partitions:
            self._floors.pop(partition, None)

    def partitions(self) -> Collection[Partition]:
        """Return the partitions that are this worker's."""
        return self._floors.keys()

    def waiting(self, alias_no: int) -> set[Partition]:
        """Return the partitions that may not be read while this alias is served."""
        if self.store_away:
            return set(self._floors)
        return {partition for partition, floor in self._floors.items() if floor > alias_no}

    def raise_to(self, partitions: Iterable[Partition], alias_no: int) -> list[Partition]:
        """Note that partitions were scored by an alias; return those that an older one had scored before."""
        switched = [partition for partition in partitions if self._floors.get(partition, 0) < alias_no]
        self._floors |= dict.fromkeys(switched, alias_no)
        return switched
