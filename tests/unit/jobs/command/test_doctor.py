"""``scoretrail doctor``, and what it learns of executors."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.command import executor
from jobs.command.executor import look_around
from tests.unit.jobs.command.conftest import Call

pytestmark = pytest.mark.integration


def test_this_environment_is_good(call: Call) -> None:
    answer = call("doctor", "--json")
    assert answer.code == 0, answer.out
    checks = [finding["check"] for finding in answer.object["findings"]]
    assert {"Java", "pyspark", "ONNX Runtime", "deltalake", "versions", "clock", "registry"} <= set(checks)
    assert all(finding["ok"] for finding in answer.object["findings"])


def test_what_is_missing_exits_with_78_and_says_what_mends_it(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    answer = call("doctor", "--spark")
    assert answer.code == 78
    assert "✗  Java" in answer.out
    assert "\n✗ Java: it cannot be run" in answer.out
    cause = answer.out.splitlines().index(next(line for line in answer.out.splitlines() if line.startswith("✗ Java:")))
    assert (
        answer.out.splitlines()[cause + 1]
        .strip()
        .startswith(("export JAVA_HOME=", "sudo ", "apt-get ", "brew ", "dnf "))
    )
    assert "Spark was not started" in answer.err


def doctor(cwd: Path, master: str, **environment: str) -> tuple[int, dict[str, Any]]:
    """Run the doctor with Spark in a process of its own; return its exit code and its findings by check."""
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", "doctor", "--spark", "--json", "--master", master],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    findings: dict[str, Any] = {}
    for finding in json.loads(done.stdout)["findings"]:
        findings.setdefault(finding["check"].partition(" on ")[0], []).append(finding)
    return done.returncode, findings


@pytest.mark.slow  # tests of the cluster ask, too
def test_every_executor_is_asked(tmp_path: Path) -> None:
    code, findings = doctor(tmp_path, "local-cluster[2,1,1024]")
    assert code == 0, findings
    assert findings["Spark"][0]["found"] == "local-cluster[2,1,1024], executors: 2"
    assert len(findings["executor"]) == 2
    assert all("onnxruntime" in finding["found"] for finding in findings["executor"])


def test_an_executor_without_our_libraries_is_told(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True, timeout=60)
    code, findings = doctor(tmp_path, "local[1]", PYSPARK_PYTHON=str(bare / "bin" / "python"))
    assert code == 78
    (finding,) = findings["executor"]
    assert "scoretrail cannot be imported there: ModuleNotFoundError" in finding["cause"]
    assert "--py-files" in finding["fix"]


def test_another_version_on_an_executor_is_told() -> None:
    seen = look_around(executor.IMPORTS, 0)
    assert executor._judged(seen).is_good
    seen["found"]["onnxruntime"] = "1.30.0"
    finding = executor._judged(seen)
    assert finding.cause is not None
    assert "onnxruntime" in finding.cause
