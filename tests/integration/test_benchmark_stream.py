"""The benchmark of the stream runs from end to end, very short; what it measures then is not looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.rules.source import ROOT

pytestmark = pytest.mark.integration


def measured(tmp_path: Path, *options: str) -> dict[str, Any]:
    """Run it, look that it prints what it writes, and return that."""
    command = [sys.executable, str(ROOT / "benchmarks" / "stream.py"), "--seconds", "1", "--pairs", "1", *options]
    command += ["--folder", str(tmp_path / "data"), "--results", str(tmp_path / "results")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode in {0, 1}, done.stderr[-3000:]  # 1: a figure was not reached, as it may be in a second
    found: dict[str, Any] = json.loads((tmp_path / "results" / "stream.json").read_text())
    text = (tmp_path / "results" / "stream.md").read_text()
    assert text in done.stdout
    for figure in found["figures"]:
        assert f"| {figure['name']} | {figure['value']} |" in text
    return found


def test_the_fetch_is_measured(tmp_path: Path) -> None:
    found = measured(tmp_path, "--only", "fetch")
    assert set(found["measured"]) == {"fetch"}
    assert len(found["figures"]) == 2


@pytest.mark.bench
@pytest.mark.slow
def test_every_part_is_measured(tmp_path: Path) -> None:
    found = measured(tmp_path, "--rates", "1000")
    assert set(found["measured"]) == {
        "fetch",
        "visibility, 1000 events/s",
        "saturated, 1 worker",
        "saturated, 2 workers",
    }
    (watched,) = found["measured"]["visibility, 1000 events/s"]["Scoretrail"]
    assert watched["seen"] == 2000
    assert watched["doubled"] == 0
    assert 0 < watched["p50_ms"] <= watched["p95_ms"] <= watched["p99_ms"] <= watched["max_ms"]
