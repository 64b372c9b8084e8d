"""The machine's facts: without them a figure says little."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any, Final

_LIBRARIES: Final = ("scoretrail", "pyspark", "pyarrow", "onnxruntime", "numpy", "deltalake", "pandas", "obstore")


def machine_facts() -> dict[str, Any]:
    """Return CPU, cores, memory, load, system and versions."""
    memory = re.search(r"MemTotal:\s+(\d+) kB", _read("/proc/meminfo"))
    java = re.search(r'JAVA_VERSION="(.+)"', _read(f"{os.environ.get('JAVA_HOME', '')}/release"))
    cpu = re.search(r"model name\s+: (.+)", _read("/proc/cpuinfo"))
    return {
        "cpu": cpu[1] if cpu else platform.processor() or "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(memory[1]) / 2**20, 1) if memory else None,
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "java": java[1] if java else "unknown",
        "versions": {name: metadata.version(name) for name in _LIBRARIES},
    }


def _read(path: str) -> str:
    file = Path(path)
    return file.read_text(encoding="utf-8") if file.is_file() else ""
