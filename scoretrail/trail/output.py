"""Output files: what their names tell, and partition values as a table's log writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from scoretrail.errors import OutputTableError

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_DIGITS: Final = 16
"""Digits of a work key that a file's name carries."""
_FILE: Final = re.compile(
    r"(?:.*/)?(?P<kind>part|merged)-(?P<scope>[0-9a-f]{12})-(?P<key>[0-9a-f]{16})-(?P<index>\d+)-(?P<attempt>[0-9a-f]{8})\.parquet"
)


@dataclass(frozen=True)
class LiveFile:
    """A file that readers of the table see."""

    path: str
    scope: str
    key: str
    """First 16 digits of the work key; of the ledger entry for a merged file."""
    attempt: str
    """The try that wrote it."""
    is_merged: bool
    rows: int
    size_bytes: int
    partition: dict[str, str | None]


def file_name(scope: str, work_key: str, index: int, attempt: str, *, kind: str = "part") -> str:
    """Return the name of an output file; no two attempts share one.

    >>> file_name("0" * 12, "ab" * 32, 0, "deadbeef")
    'part-000000000000-abababababababab-0-deadbeef.parquet'
    """
    return f"{kind}-{scope}-{work_key[:KEY_DIGITS]}-{index}-{attempt}.parquet"


def partition_text(value: object) -> str | None:
    """Return a partition value as Delta's log writes it; None for null and for the empty text, which Delta makes null.

    >>> partition_text(True), partition_text(datetime(2013, 12, 2, 5, tzinfo=UTC)), partition_text("")
    ('true', '2013-12-02 05:00:00.000000', None)
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return str(value)


def attempt_of(path: str) -> tuple[str, str] | None:
    """Return the key's first digits and the attempt that the name of an unmerged output file states, else None.

    >>> attempt_of("ds=1/part-000000000000-abababababababab-0-deadbeef.parquet")
    ('abababababababab', 'deadbeef')
    """
    found = _FILE.fullmatch(path)
    return (found["key"], found["attempt"]) if found and found["kind"] == "part" else None


def live_file(table: str, path: str, rows: int | None, size_bytes: int, partition: Mapping[str, object]) -> LiveFile:
    """Return the live file that a table's log tells of.

    Args:
        table: the table's URI, for the message.
        path: below the table.
        rows: its number of rows; None where the log does not say.
        size_bytes: its size.
        partition: partition column -> value.

    Raises:
        OutputTableError: it was not written by Scoretrail.
    """
    found = _FILE.fullmatch(path)
    if not found or rows is None:
        raise OutputTableError(
            "the output table has a live file that Scoretrail did not write",
            where=f"{table}/{path}",
            fix="restore the table to a version before it, or choose another --output",
        )
    values = {key: partition_text(value) for key, value in partition.items()}
    merged = found["kind"] == "merged"
    return LiveFile(path, found["scope"], found["key"], found["attempt"], merged, rows, size_bytes, values)
