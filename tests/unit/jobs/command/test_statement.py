"""What a registration is told: the commit of the code."""

import subprocess
from pathlib import Path

from jobs.command.statement import code_commit


def git(folder: Path, *arguments: str) -> str:
    named = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *named, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_says_whether_files_differ_from_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("1\n")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-q", "-m", "a")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert code_commit(tmp_path) == commit
    (tmp_path / "a.py").write_text("2\n")
    assert code_commit(tmp_path) == f"{commit}-dirty"


def test_without_git_there_is_none(tmp_path: Path) -> None:
    assert code_commit(tmp_path) is None
