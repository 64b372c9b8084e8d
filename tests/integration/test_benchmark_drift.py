"""The study of the verdict on drift runs from end to end in its short form, and is quiet where nothing drifts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.drift import MARK
from tests.rules.source import ROOT

pytestmark = pytest.mark.integration


def test_the_short_form_measures_and_writes_what_it_found(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "drift.py"), "--draws", "20", "--rows", "1000"]
    command += ["--without-evidently", "--results", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    text = (tmp_path / "drift.md").read_text(encoding="utf-8")
    assert text in done.stdout
    found = json.loads((tmp_path / "drift.json").read_text(encoding="utf-8"))
    for figure in found["figures"]:
        assert f"| {figure['name']} | {figure['value']} |" in text
    alarms = [one for one in found["figures"] if one["name"].startswith("no drift, 1,000 rows")]
    assert [one["reached"] for one in alarms] == [True, True]
    assert {one["case"] for one in found["power"]} >= {"shift by 0.1 sd", "20 % nulls", "one value of 1,000,000"}
    assert (tmp_path / "drift-power.svg").read_text(encoding="utf-8").startswith("<svg")


def test_the_page_has_what_the_study_wrote() -> None:
    page = (ROOT / "docs" / "reference" / "drift-study.md").read_text(encoding="utf-8")
    _, mark, written = page.partition(MARK)
    assert mark
    assert "| no drift, 1,000,000 rows: warn or drift |" in written
