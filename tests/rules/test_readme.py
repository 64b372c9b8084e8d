"""The README's first command, run as a reader would: in a fresh copy, with no environment and no terminal."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.rules.source import ROOT, tracked_files
from tests.rules.test_repository import first_commands

#: Seconds; the installation is most of it, the demo itself takes at most 90.
TIME_LIMIT_S = 1500


@pytest.mark.integration
@pytest.mark.timeout(TIME_LIMIT_S + 60)
def test_the_first_command_of_the_readme_works_in_a_fresh_copy(tmp_path: Path) -> None:
    copy = tmp_path / "scoretrail"
    for path in tracked_files():
        target = copy / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    command = first_commands((copy / "README.md").read_text(encoding="utf-8"))[0]
    ours = {"MAKEFLAGS", "MAKELEVEL", "VIRTUAL_ENV"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    run = subprocess.run(
        command.split(),
        cwd=copy,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=TIME_LIMIT_S,
    )
    assert run.returncode == 0, run.stdout[-5000:]
