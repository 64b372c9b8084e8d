"""What a bundle costs, measured in a process of its own (load time, memory, latency), and whether bits repeat there."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoretrail.errors import ModelError
from scoretrail.feature.lean import keep_pandas_out
from scoretrail.model import manifest as manifests
from scoretrail.model.bundle import golden_differences, open_bundle

if TYPE_CHECKING:
    from collections.abc import Mapping

BATCH_ROWS: Final = 1000
_CALLS: Final = 50
"""Enough for a p99 that is the slowest call but one; a second for a slow model."""
_TIME_LIMIT_S: Final = 600
_KIB: Final = 1024


@dataclass(frozen=True)
class Measured:
    """What the process measured."""

    load_s: float
    peak_memory_bytes: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    golden_differences: int
    cpu: str


def measure(files: Mapping[str, bytes]) -> Measured:
    """Return what a fresh process measured of these files.

    Raises:
        ModelError: the process failed or took too long; its last words are in the message.
    """
    with tempfile.TemporaryDirectory(prefix="scoretrail-profile-") as temporary:
        folder = Path(temporary, "bundle")
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        # By a file, not by standard output: feature code may print.
        result = Path(temporary, "measured.json")
        try:
            done = subprocess.run(
                [sys.executable, "-m", "scoretrail.model.profile", folder, result],
                capture_output=True,
                text=True,
                timeout=_TIME_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ModelError("the model took too long to be measured", expected=f"{_TIME_LIMIT_S} s") from error
        if done.returncode:
            raise ModelError(
                "a fresh process cannot load and run the bundle",
                got=(done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1],
            )
        return Measured(**json.loads(result.read_bytes()))


def cpu_name() -> str:
    """Return the processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _measure_here(folder: Path) -> Measured:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    started = time.perf_counter()
    bundle = open_bundle(files, "platform")
    load_s = time.perf_counter() - started
    (golden,) = pq.read_table(pa.BufferReader(files[manifests.GOLDEN])).combine_chunks().to_batches()
    rows = pa.array(np.arange(BATCH_ROWS) % golden.num_rows)
    record, _ = bundle.view.prepare(golden.take(rows))
    times = []
    for _ in range(_CALLS):
        started = time.perf_counter()
        bundle.raw_scores(bundle.view.derive(record)[0])
        times.append((time.perf_counter() - started) * 1000)
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return Measured(
        load_s=round(load_s, 4),
        peak_memory_bytes=_peak_memory_bytes(),
        p50_ms=round(cuts[49], 4),
        p95_ms=round(cuts[94], 4),
        p99_ms=round(cuts[98], 4),
        golden_differences=golden_differences(bundle, files[manifests.GOLDEN]),
        cpu=cpu_name(),
    )


def _peak_memory_bytes() -> int:
    """Return this process's own peak: ``ru_maxrss`` would count the parent's memory at the fork as well."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * _KIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * _KIB


if __name__ == "__main__":
    keep_pandas_out()  # as in the workers whose cost this is to tell
    Path(sys.argv[2]).write_text(json.dumps(asdict(_measure_here(Path(sys.argv[1])))), encoding="utf-8")
    # PyArrow's pools may abort a process that is torn down; what was measured is on disk.
    os._exit(0)
