"""Runs :mod:`benchmarks.session_job` as a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.ours import Place


def session_job(
    place: Place, way: str, model: str, source: Path, *, cores: int | None = None, jobs: int = 1
) -> dict[str, Any]:
    """Return what jobs in a session of their own took: ``start_s``, ``jobs``, ``peak_mib``.

    Raises:
        RuntimeError: a job failed; its last words are in the message.
    """
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.session_job", way, model, str(source)),
            *("--folder", str(place.folder), "--cores", str(cores or place.cores), "--jobs", str(jobs)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(place.folder / "out", ignore_errors=True)
    if done.returncode:
        msg = f"the job failed:\n{done.stderr[-2000:]}"
        raise RuntimeError(msg)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
