"""Reads what a run published, wherever its rows lie today: in their own files, or in files merged from them."""

from __future__ import annotations

import posixpath
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from jobs.batch.output.merge import ledger_of
from scoretrail.errors import OutputTableError
from scoretrail.storage import filesystem, join
from scoretrail.trail.output import KEY_DIGITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jobs.batch.output.ledger import LedgerEntry
    from scoretrail.table import OutputTable
    from scoretrail.trail.run import OutputFile


class PublishedFiles:
    """The files of one table, and what became of them."""

    def __init__(self, table: OutputTable, options: Mapping[str, str]) -> None:
        """Look at a table; its ledger is read when a file is not live."""
        self._uri = table.uri
        self._place, self._base = filesystem(table.uri, options)
        self._ledger = ledger_of(table, options)
        self._live = {file.path for file in table.live_files()}

    def read(self, files: Sequence[OutputFile], work_key: str, names: Sequence[str]) -> pa.Table | None:
        """Return the rows of one piece of work, in the order of their source, or None where they are no longer there.

        What readers of the table see comes first: a merged file that is live, and not the file it was merged from,
        which lies there until retention takes it.

        Args:
            files: what the piece of work wrote.
            work_key: the piece of work.
            names: the columns to read.

        Raises:
            OutputTableError: a file cannot be read.
        """
        parts = []
        for file in files:
            found = self._find(file.path, work_key[:KEY_DIGITS])
            if found is None:
                return None
            try:
                parts.append(self._rows(found, file.path, work_key, names))
            except (OSError, pa.ArrowException) as error:
                raise OutputTableError(
                    "a published file cannot be read", where=join(self._uri, found), got=str(error)[:300]
                ) from error
        return pa.concat_tables(parts).sort_by("source_row") if parts else pa.table({})

    def _find(self, path: str, key_digits: str) -> str | None:
        if path in self._live:
            return path
        places = [path, *self._merged_from(path, key_digits)]
        there = [place for place in places if self._exists(place)]
        return next((place for place in there if place in self._live), there[0] if there else None)

    def _merged_from(self, path: str, key_digits: str) -> Iterator[str]:
        """Yield the merged files that hold a key's rows of a file, each after the one it was merged from."""
        for entry in self._entries:
            if path in entry.replaced and key_digits in entry.work_keys:
                yield entry.path
                yield from self._merged_from(entry.path, key_digits)

    @cached_property
    def _entries(self) -> list[LedgerEntry]:
        return self._ledger.entries()

    def _exists(self, path: str) -> bool:
        info = self._place.get_file_info(posixpath.join(self._base, path))
        return bool(info.type is not fs.FileType.NotFound)

    def _rows(self, found: str, path: str, work_key: str, names: Sequence[str]) -> pa.Table:
        full = posixpath.join(self._base, found)
        if found == path:
            return pq.read_table(full, filesystem=self._place, columns=list(names), partitioning=None)
        merged = ds.dataset(full, filesystem=self._place, format="parquet")
        return merged.to_table(columns=list(names), filter=ds.field("work_key") == work_key)
