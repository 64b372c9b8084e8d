"""The search for Java: takes one that fits, passes over one that does not, else says what to install."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.rules.source import ROOT

SCRIPT = ROOT / "scripts" / "java_home.sh"


def make_java(home: Path, version: str, *, vector: bool = True) -> Path:
    """Write a stand-in that answers what the script asks: its version, its home, and the vector module."""
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *--add-modules*) exit {0 if vector else 1};; esac\n'
        f'echo "    java.home = {home}" >&2\n'
        f"echo 'openjdk version \"{version}\"' >&2\n"
    )
    java.chmod(0o755)
    return home


def find(
    tmp_path: Path, *, java_home: Path | None = None, on_path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the script with a PATH of its own, so that this machine's Java plays no part."""
    path = [str(on_path / "bin")] if on_path else []
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sed", "id", "uname", "cat"):
        (tools / tool).symlink_to(shutil.which(tool, path=os.defpath) or f"{tool} is missing")
    environment = {"PATH": ":".join([*path, str(tools)]), "JVM_DIR": str(tmp_path / "jvm")}
    if java_home:
        environment["JAVA_HOME"] = str(java_home)
    command = ["/bin/sh", str(SCRIPT)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("version", ["17.0.15", "21", "21.0.4"])
def test_java_home_is_taken_when_it_fits(tmp_path: Path, version: str) -> None:
    home = make_java(tmp_path / "j", version)
    assert find(tmp_path, java_home=home).stdout.strip() == str(home)


def test_another_version_on_the_path_gives_way_to_one_that_fits(tmp_path: Path) -> None:
    other = make_java(tmp_path / "j25", "25.0.1")
    home = make_java(tmp_path / "jvm" / "java-17-openjdk", "17.0.1")
    assert find(tmp_path, java_home=other, on_path=other).stdout.strip() == str(home)


def test_the_path_is_asked_before_the_folders(tmp_path: Path) -> None:
    make_java(tmp_path / "jvm" / "java-17-openjdk", "17.0.1")
    home = make_java(tmp_path / "j21", "21.0.1")
    assert find(tmp_path, on_path=home).stdout.strip() == str(home)


@pytest.mark.parametrize(
    ("version", "vector"), [("11.0.2", True), ("1.8.0_402", True), ("25", True), ("17.0.1", False)]
)
def test_without_one_that_fits_it_says_what_to_install(tmp_path: Path, version: str, *, vector: bool) -> None:
    run = find(tmp_path, on_path=make_java(tmp_path / "j", version, vector=vector))
    assert run.returncode == 1
    assert run.stdout == ""
    assert "Java 17 or 21" in run.stderr
    assert "nstall" in run.stderr.splitlines()[-1]
