"""How much memory a process may have: its control group's limit, else what the machine has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_FILES: Final = ("memory.max", "memory/memory.limit_in_bytes")
"""Of the group that a container sees as its own, by version 2 of control groups, and by version 1."""


def limit_bytes(root: Path = _ROOT) -> int | None:
    """Return the memory that this process may have; None where neither the group nor the machine says.

    Args:
        root: where control groups are mounted.
    """
    machine = _machine_bytes()
    limits = [found for name in _FILES if (found := _stated(root / name)) is not None]
    # Without a limit version 1 states a number beyond any machine.
    return min([*limits, *([machine] if machine else [])], default=None)


def _stated(file: Path) -> int | None:
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _machine_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # macOS does not know the first name
        return None
