"""One sitting of the benchmark: what is asked of it, and what it found so far."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure
from benchmarks.material import FILE_ROWS, Layout, make_records
from benchmarks.ours import Place


@dataclass
class Sitting:
    """What every part is handed, and adds to."""

    place: Place
    rows: int
    pairs: int
    models: tuple[str, ...]
    small_files: int
    figures: list[Figure] = field(default_factory=list)
    tables: list[tuple[str, str]] = field(default_factory=list)
    """Title and Markdown."""
    raw: dict[str, Any] = field(default_factory=dict)
    """Every time that was taken, for those who want to compute otherwise."""

    def source(self, rows: int | None = None, **layout: int) -> Path:
        """Return the folder of ``rows`` records, made if need be, in files of half a million unless told otherwise."""
        rows = rows or self.rows
        chosen = {"files": max(2, rows // FILE_ROWS)} | layout
        self.tell(f"records: {rows:,} rows in {chosen['files']:,} files")
        return make_records(Layout(rows, **chosen), self.place.data)

    def tell(self, text: str) -> None:
        """Say how far it is, on standard error."""
        print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)
