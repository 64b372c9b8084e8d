"""The table of windows beside an archive: copied from what its commits say, each once; late rows add a revision."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.dataset as ds

from jobs.archive.window import WINDOWS, Window, WindowKey, from_text, merged
from jobs.batch.output.file import Target
from jobs.batch.output.maintain import compact
from jobs.batch.output.writer import PartitionedWriter
from scoretrail import digest
from scoretrail.feature.schema import TIMESTAMP
from scoretrail.monitor.tally import Tally
from scoretrail.storage import filesystem
from scoretrail.table import OutputTable
from scoretrail.trail.prediction import Column, to_schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from scoretrail.trail.run import OutputFile

SUFFIX: Final = "_windows"
"""What the name of an archive is given."""
_APP: Final = "scoretrail/windows/"
_START, _DATE = "window_start", "window_date"
_VOLUME: Final = ("role", "model_name", "model_version", "bundle_sha256")
_STRING: Final = pa.string()
_ATTEMPT_BYTES: Final = 4
_SCOPE_DIGITS: Final = 12
_ROW_GROUP_ROWS: Final = 10_000

COLUMNS: Final = (
    Column(_START, TIMESTAMP, "Start of the hour of event times, UTC"),
    Column(_DATE, pa.date32(), "Its day"),
    Column("role", _STRING, "Role the model was run in"),
    Column("model_name", _STRING, "Name of the model in the registry"),
    Column("model_version", _STRING, "Version of the bundle"),
    Column("bundle_sha256", _STRING, "sha256 of the bundle's manifest"),
    Column("revision", pa.int64(), "1 for the first; the highest holds all rows so far"),
    Column("rows", pa.int64(), "Predictions of the window that are archived"),
    Column("counted", pa.int64(), "How many of them were counted"),
    Column("baseline_sha256", _STRING, "sha256 of the baseline whose bins these are", nullable=True),
    Column("tally_sha256", _STRING, "Digest of the counts", nullable=True),
    Column("tally", _STRING, "The counts: deflated JSON in base64", nullable=True),
    Column("archive_version", pa.int64(), "Version of the archive up to which it was counted"),
)


@dataclass(frozen=True, order=True)
class Volume:
    """Predictions of one bundle in one role on one day of event times."""

    day: date
    role: str
    model_name: str
    model_version: str
    rows: int
    counted: int


class WindowTable:
    """The windows of one archive."""

    def __init__(self, archive: str, options: Mapping[str, str]) -> None:
        """Open the table beside an archive, if it is there.

        Args:
            archive: the archive's URI.
            options: storage settings.

        Raises:
            StorageError: it cannot be read.
        """
        self._archive = archive
        self._options = dict(options)
        self.table = OutputTable(archive + SUFFIX, options)

    def copy(self, retention_days: int) -> list[Window]:
        """Copy what the archive's commits counted since the last copy; return the windows that have rows more.

        Args:
            retention_days: how long the log of a table that is made is kept.

        Raises:
            ConflictError: somebody else has just copied.
            StorageError: a table can be neither read nor written.
            OutputTableError: there is another table in its place.
        """
        archive = OutputTable(self._archive, self._options)
        if archive.version is None:
            return []
        self._make(retention_days)
        app = _APP + archive.id
        began = self.table.app_versions([app])[app]
        commits = archive.history(None if began is None else archive.version - began)
        texts = [one[WINDOWS] for one in commits if WINDOWS in one and (began is None or int(one["version"]) > began)]
        parts = merged(part for text in texts for part in from_text(text))
        if not parts:
            return []
        known = self.read(parts[0].key.start, parts[-1].key.end)
        revisions = {one.key: one.revision for one in known}
        touched = {part.key for part in parts}
        whole = merged([*(one for one in known if one.key in touched), *parts])
        revised = [replace(one, revision=revisions.get(one.key, 0) + 1) for one in whole]
        self.table.commit(
            adds=self._write(revised, archive.version),
            removes=(),
            guard={},
            apps={app: (began, archive.version)},
            metadata={"scoretrail.archive_version": str(archive.version)},
        )
        return revised

    def read(self, start: datetime, end: datetime) -> list[Window]:
        """Return the windows that begin in a span, each in its newest revision, in the order of their keys.

        Raises:
            TrailError: counts cannot be read.
        """
        newest: dict[WindowKey, dict[str, Any]] = {}
        for row in self._rows(start, end, [column.name for column in COLUMNS]):
            key = WindowKey(
                **{name: row[_START if name == "start" else name] for name in WindowKey.__dataclass_fields__}
            )
            if key not in newest or newest[key]["revision"] < row["revision"]:
                newest[key] = row
        return [_window(key, newest[key]) for key in sorted(newest)]

    def starts(self, bundle_sha256: str, role: str) -> list[datetime]:
        """Return when the windows of a bundle in a role begin, each once, ascending."""
        chosen = (ds.field("bundle_sha256") == bundle_sha256) & (ds.field("role") == role)
        found = self.table.to_pyarrow_dataset().to_table([_START], chosen).column(_START)
        return sorted(set(found.to_pylist()))

    def volumes(self, days: int) -> list[Volume]:
        """Return the predictions of the newest days that have some, ascending; no counts are read."""
        if not self.table.exists:
            return []
        newest = sorted({str(file.partition[_DATE]) for file in self.table.live_files()})[-days:]
        names = [_START, *(name for name in _VOLUME), "revision", "rows", "counted"]
        chosen = ds.field(_DATE).isin([date.fromisoformat(day) for day in newest])
        revised: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in self.table.to_pyarrow_dataset().to_table(names, chosen).to_pylist():
            key = tuple(row[name] for name in (_START, *_VOLUME))
            if key not in revised or revised[key]["revision"] < row["revision"]:
                revised[key] = row
        found: dict[tuple[Any, ...], list[int]] = {}
        for row in revised.values():
            sums = found.setdefault((row[_START].date(), *(row[name] for name in _VOLUME[:-1])), [0, 0])
            sums[0] += row["rows"]
            sums[1] += row["counted"]
        return sorted(Volume(*key, *sums) for key, sums in found.items())

    def compact(self, target_bytes: int) -> tuple[int, int]:
        """Merge small files of each day; return how many went and how many came.

        Raises:
            ConflictError: somebody else wrote meanwhile; nothing changed.
        """
        return compact(self.table, target_bytes=target_bytes, row_group_rows=_ROW_GROUP_ROWS, options=self._options)

    def _make(self, retention_days: int) -> None:
        self.table.reload()
        if not self.table.exists:
            what = "Counts of an archive's predictions by hour of event time"
            self.table.create(to_schema(COLUMNS), [_DATE], what, retention_days, _START)
        self.table.check(to_schema(COLUMNS), [_DATE])

    def _rows(self, start: datetime, end: datetime, names: Sequence[str]) -> list[dict[str, Any]]:
        if not self.table.exists:
            return []
        chosen = (ds.field(_START) >= pa.scalar(start, TIMESTAMP)) & (ds.field(_START) < pa.scalar(end, TIMESTAMP))
        chosen &= (ds.field(_DATE) >= start.date()) & (ds.field(_DATE) <= end.date())
        rows: list[dict[str, Any]] = self.table.to_pyarrow_dataset().to_table(list(names), chosen).to_pylist()
        return rows

    def _write(self, windows: Sequence[Window], archive_version: int) -> tuple[OutputFile, ...]:
        rows = [_row(one, archive_version) for one in windows]
        arrays = {one.name: pa.array([row[one.name] for row in rows], one.type) for one in COLUMNS}
        place, base = filesystem(self.table.uri, self._options)
        scope = digest.of_json([self._archive])[:_SCOPE_DIGITS]
        key = digest.of_json([self._archive, archive_version])
        target = Target(place, base, scope, key, secrets.token_hex(_ATTEMPT_BYTES), _ROW_GROUP_ROWS)
        writer = PartitionedWriter(target, COLUMNS, [_DATE], _START)
        try:
            writer.write(arrays)
            return writer.close()
        except BaseException:
            writer.abandon()
            raise


def _row(window: Window, archive_version: int) -> dict[str, Any]:
    tally = window.tally
    return {
        _START: window.key.start,
        _DATE: window.key.start.date(),
        "role": window.key.role,
        "model_name": window.key.model_name,
        "model_version": window.key.model_version,
        "bundle_sha256": window.key.bundle_sha256,
        "revision": window.revision,
        "rows": window.rows,
        "counted": window.counted,
        "baseline_sha256": None if tally is None else tally.baseline,
        "tally_sha256": None if tally is None else tally.digest,
        "tally": None if tally is None else tally.to_text(),
        "archive_version": archive_version,
    }


def _window(key: WindowKey, row: Mapping[str, Any]) -> Window:
    tally = None if row["tally"] is None else Tally.from_text(row["tally"])
    return Window(key, row["rows"], tally, row["counted"], row["revision"])
