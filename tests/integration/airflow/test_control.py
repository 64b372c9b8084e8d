"""The tests of the control environment, which has a pytest of its own and nothing of ours: rules, structure, pieces."""

import subprocess
from pathlib import Path

from tests.integration.airflow.place import ROOT


def test_the_dags_keep_the_rules_of_the_house(control: Path) -> None:
    """One test here is more than a hundred there (tests/control); what fails is shown as their pytest tells it."""
    folder = ROOT / "tests" / "control"
    done = subprocess.run(
        [str(control / "bin" / "pytest"), "-q", "--no-header", "-p", "no:cacheprovider"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout.splitlines()[-1]
    assert "skipped" not in done.stdout.splitlines()[-1]
