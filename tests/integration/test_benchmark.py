"""The benchmark runs from end to end in its short form; what it measures then means nothing, and is not looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rules.source import ROOT

pytestmark = pytest.mark.integration

LONG = ("first", "again", "memory", "growth", "small-files")
#: One part runs with every test run, so that the benchmark does not rot; the others with `make test-slow`.
PARTS = ["warm", *(pytest.param(part, marks=[pytest.mark.bench, pytest.mark.slow]) for part in LONG)]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_measures_and_writes_what_it_found(part: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "batch.py"), "--only", part, "--models", "linear"]
    command += ["--rows", "40000", "--pairs", "1", "--small-files", "40", "--cores", "2"]
    command += ["--folder", str(tmp_path / "data"), "--results", str(tmp_path / "results")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr[-3000:]  # 1: a figure was not reached, as it may be on few rows
    found = json.loads((tmp_path / "results" / "batch.json").read_text())
    assert found["seconds"]
    assert found["facts"]["rows"] == 40000
    assert {"pyspark", "pyarrow", "onnxruntime"} <= found["facts"]["versions"].keys()
    text = (tmp_path / "results" / "batch.md").read_text()
    assert text in done.stdout
    for figure in found["figures"]:
        assert f"| {figure['name']} | {figure['value']} |" in text
