"""What the archive of a stream says of a model: predictions by day, and the verdicts on days that are over."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from jobs.archive.judgement import VerdictStore
from jobs.archive.window_table import WindowTable
from jobs.health.fact import Volume
from jobs.health.series import Judged
from scoretrail.clock import from_utc_text, utc_text
from scoretrail.table import OutputTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DAYS: Final = 14
"""Of predictions, by event time."""
VERDICTS: Final = 120
"""Two months of days, of a champion and a challenger."""
_MS: Final = 1000


def volumes(windows: WindowTable, model: str) -> tuple[Volume, ...]:
    """Return the predictions of a model on the newest days, oldest first.

    Raises:
        StorageError: the windows cannot be read.
    """
    return tuple(
        Volume(day=str(one.day), role=one.role, version=one.model_version, rows=one.rows, counted=one.counted)
        for one in windows.volumes(DAYS)
        if one.model_name == model
    )


def archived_at(archive: OutputTable) -> str | None:
    """Return when the archive was last committed to."""
    newest = next(iter(archive.history(1)), None)
    at = None if newest is None else newest.get("timestamp")
    return None if at is None else utc_text(datetime.fromtimestamp(at / _MS, UTC))


def judged(records: Iterable[Mapping[str, Any]], model: str) -> list[Judged]:
    """Return the verdicts on days of a model's stream, oldest first.

    Args:
        records: as :meth:`jobs.archive.judgement.JudgedSpan.to_json` gives them, oldest first.
        model: its name.
    """
    return [
        Judged("stream", span["role"], span["model_version"], _day(span), None, one["verdict"])
        for one in records
        if (span := one["span"])["model_name"] == model
    ]


def open_archive(uri: str, options: Mapping[str, str]) -> tuple[OutputTable, WindowTable, VerdictStore]:
    """Open an archive, its windows and what was said of them.

    Raises:
        StorageError: one of them cannot be read.
    """
    windows = WindowTable(uri, options)
    return OutputTable(uri, options), windows, VerdictStore(windows.table.uri, options)


def _day(span: Mapping[str, Any]) -> str:
    return f"{from_utc_text(span['start']):%Y-%m-%d}"
