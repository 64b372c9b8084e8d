"""The benchmark of the stream runs from end to end, very short; what it measures then is not looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rules.source import ROOT

pytestmark = pytest.mark.bench


def test_every_part_measures_and_writes_what_it_found(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "stream.py"), "--seconds", "1", "--pairs", "1"]
    command += ["--rates", "1000", "--folder", str(tmp_path / "data"), "--results", str(tmp_path / "results")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode in {0, 1}, done.stderr[-3000:]  # 1: a figure was not reached, as it may be in a second
    found = json.loads((tmp_path / "results" / "stream.json").read_text())
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
    text = (tmp_path / "results" / "stream.md").read_text()
    assert text in done.stdout
    for figure in found["figures"]:
        assert f"| {figure['name']} | {figure['value']} |" in text
