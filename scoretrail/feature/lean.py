"""Keeps a scoring process lean: pyarrow is not to import pandas on its own account."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


def keep_pandas_out() -> None:
    """Let pyarrow believe that there is no pandas, unless this process has loaded it already.

    pyarrow asks once in a process, at its first ``pa.array`` or ``pa.scalar``, whether its argument might be a thing of
    pandas, and loads pandas to find out: a second of CPU and 40 MiB for nothing, in every Spark worker. What needs
    pandas still gets it: ``Table.to_pandas`` loads it then, and a Series is known as ever.
    """
    if "pandas" in sys.modules:
        return
    absent = _Absent()
    sys.meta_path.insert(0, absent)
    try:
        pa.scalar("")
    finally:
        sys.meta_path.remove(absent)


class _Absent:
    """Finds that pandas is not installed."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Leave every other module to the other finders.

        Raises:
            ModuleNotFoundError: it is pandas that is looked for.
        """
        del path, target
        if name == "pandas":
            raise ModuleNotFoundError(name)
