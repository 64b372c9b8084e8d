"""Rows that wait for their commit: how far each partition was read, and what goes when somebody else was faster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

from jobs.stream.port import Partition

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from jobs.stream.record import Record


class Gathering:
    """What was read of one topic's partitions and is not committed."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.next: dict[Partition, int] = {}
        """The offset after the last record that was read, of each partition with records."""
        self._batches: list[pa.RecordBatch] = []

    @property
    def rows(self) -> int:
        """How many rows wait."""
        return sum(batch.num_rows for batch in self._batches)

    @property
    def batches(self) -> Sequence[pa.RecordBatch]:
        """The rows, in the order in which they were read."""
        return self._batches

    def add(self, rows: pa.RecordBatch, records: Sequence[Record]) -> None:
        """Take rows, and note the records that were read for them, whether or not each made a row."""
        if rows.num_rows:
            self._batches.append(rows)
        for record in records:
            self.next[Partition(record.topic, record.partition)] = record.offset + 1

    def drop_below(self, partition: Partition, offset: int) -> None:
        """Drop the rows of a partition that lie below an offset; if that is all that was read, forget the partition."""
        if offset >= self.next.get(partition, 0):
            self.next.pop(partition, None)
        kept = (
            batch.filter(
                pc.or_(
                    pc.not_equal(batch.column("prediction_partition"), partition.number),
                    pc.greater_equal(batch.column("prediction_offset"), offset),
                )
            )
            for batch in self._batches
        )
        self._batches = [batch for batch in kept if batch.num_rows]

    def clear(self) -> None:
        """Forget everything: it is committed."""
        self.next.clear()
        self._batches.clear()
