"""Rows of a Delta table, as it stood when it was loaded; what cannot be read becomes an error of ours."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from scoretrail.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow.compute as pc

    from scoretrail.table import OutputTable


class Scan:
    """A loaded table that is read several times."""

    def __init__(self, table: OutputTable) -> None:
        """Take a table that is there."""
        self.table = table
        self._data: Any = table.to_pyarrow_dataset()

    @property
    def schema(self) -> pa.Schema:
        """The table's columns."""
        return self._data.schema

    def rows(self, columns: Sequence[str], chosen: pc.Expression) -> pa.Table:
        """Return columns of the chosen rows.

        Raises:
            StorageError: a file cannot be read.
        """
        with self._translated():
            return self._data.to_table(columns=list(columns), filter=chosen)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield columns of all rows, piece by piece.

        Raises:
            StorageError: a file cannot be read.
        """
        with self._translated():
            yield from self._data.to_batches(columns=list(columns))

    def count(self, chosen: pc.Expression) -> int:
        """Return how many rows are chosen.

        Raises:
            StorageError: a file cannot be read.
        """
        with self._translated():
            return int(self._data.count_rows(filter=chosen))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what reading raises into ours.

        Raises:
            StorageError: a file cannot be read.
        """
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise StorageError("a table cannot be read", where=self.table.uri, got=str(error)[:300]) from error
