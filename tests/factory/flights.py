"""The demo's source files with the flights of some days only."""

from __future__ import annotations

import io
import shutil
import zipfile
from typing import TYPE_CHECKING

from examples.flights.prepare import source_archive

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

OTHERS = ("airports.csv", "planes.csv", "weather.csv")


def source_folder(target: Path, days: Collection[tuple[int, int]]) -> Path:
    """Make a folder as the source has it, with the flights of these days, each a month and a day."""
    with zipfile.ZipFile(source_archive()) as archive:
        lines = io.TextIOWrapper(archive.open("flights.csv"), "utf-8").readlines()
    kept = [lines[0], *(line for line in lines[1:] if _day(line) in days)]
    target.mkdir(parents=True)
    with zipfile.ZipFile(target / "flights.csv.zip", "w") as made:
        made.writestr("flights.csv", "".join(kept))
    for name in OTHERS:
        shutil.copy(source_archive().parent / name, target / name)
    return target


def _day(line: str) -> tuple[int, int]:
    _, month, day, _ = line.split(",", 3)
    return int(month), int(day)
