"""Whether a challenger lags too far behind, and where it goes on then."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.stream.port import Committed, Partition


def targets(
    ends: Mapping[Partition, int], committed: Mapping[Partition, Committed], max_lag: int
) -> dict[Partition, int]:
    """Return where to go on: nowhere else, or at the end of every partition once one of them lags too far behind.

    All that were read at once, so that what is compared stays of one time.

    Args:
        ends: the offset after the last record of each partition that was read.
        committed: how far the group is.
        max_lag: offsets.

    >>> from jobs.stream.port import Committed, Partition
    >>> zero, one = Partition("predictions", 0), Partition("predictions", 1)
    >>> at = {zero: Committed(10, ""), one: Committed(20, "")}
    >>> targets({zero: 15, one: 22}, at, 5)
    {}
    >>> {str(partition): offset for partition, offset in targets({zero: 16, one: 22}, at, 5).items()}
    {'predictions/0': 16, 'predictions/1': 22}
    """
    behind = {partition: ends[partition] - one.offset for partition, one in committed.items() if partition in ends}
    if max(behind.values(), default=0) <= max_lag:
        return {}
    return {partition: ends[partition] for partition, lag in behind.items() if lag > 0}
