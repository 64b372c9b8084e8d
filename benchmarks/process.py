"""Memory of processes, as the kernel keeps it."""

from __future__ import annotations

import os
import re
from pathlib import Path


def peak_mib(pid: int | str) -> float:
    """Return the highest resident memory a process ever had, in MiB; 0 for one that has gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def workers() -> dict[int, str]:
    """Return pid -> name of every process below this one."""
    parents: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text(encoding="utf-8")
            except OSError:
                continue
            name, rest = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()
            parents[int(folder.name)] = (int(rest[1]), name)
    below: dict[int, str] = {}
    frontier = {os.getpid()}
    while frontier:
        found = {pid: name for pid, (parent, name) in parents.items() if parent in frontier and pid not in below}
        below |= found
        frontier = set(found)
    return below
