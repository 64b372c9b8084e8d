"""The doctor's look at Java."""

import subprocess
from pathlib import Path

import pytest

from jobs.command.java import check_java
from jobs.services.java import install_java
from tests.rules.source import ROOT


def make_java(home: Path, version: str, *, vector: bool = True, works: bool = True) -> Path:
    """Write a stand-in that answers what is asked: its version, and whether it knows the vector module."""
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *--add-modules*) exit {0 if vector else 1};; esac\n'
        f"echo 'openjdk version \"{version}\" 2026-01-20' >&2\n"
    )
    java.chmod(0o755 if works else 0o644)
    return home


@pytest.mark.parametrize("version", ["17.0.15", "21", "21.0.4"])
def test_a_java_that_fits_is_good(tmp_path: Path, version: str) -> None:
    home = make_java(tmp_path / "j", version)
    assert check_java({"JAVA_HOME": str(home)}, ()).is_good
    by_path = check_java({"PATH": str(home / "bin")}, ())
    assert by_path.is_good
    assert version in by_path.found


@pytest.mark.parametrize(
    ("version", "vector", "works", "cause"),
    [
        ("11.0.2", True, True, "Java 17 or 21"),
        ("1.8.0_402", True, True, "Java 17 or 21"),
        ("25", True, True, "Java 17 or 21"),
        ("17.0.1", False, True, "jdk.incubator.vector"),
        ("17.0.1", True, False, "cannot be run"),
    ],
)
def test_one_that_does_not_fit_is_told(tmp_path: Path, version: str, vector: bool, works: bool, cause: str) -> None:
    home = make_java(tmp_path / "j", version, vector=vector, works=works)
    finding = check_java({"JAVA_HOME": str(home)}, ())
    assert finding.cause is not None
    assert cause in finding.cause
    assert finding.fix == install_java()


def test_java_home_goes_before_the_path_as_in_spark(tmp_path: Path) -> None:
    good = make_java(tmp_path / "good", "17.0.1")
    finding = check_java({"JAVA_HOME": str(tmp_path / "nowhere"), "PATH": str(good / "bin")}, ())
    assert not finding.is_good


def test_none_at_all_is_told(tmp_path: Path) -> None:
    finding = check_java({"PATH": str(tmp_path)}, ())
    assert finding.cause == "JAVA_HOME is not set, and there is no java on PATH"


def test_one_that_is_installed_elsewhere_mends_it(tmp_path: Path) -> None:
    make_java(tmp_path / "jvm" / "java-11", "11.0.2")
    fitting = make_java(tmp_path / "jvm" / "java-17", "17.0.1")
    finding = check_java({"PATH": str(tmp_path)}, (f"{tmp_path}/jvm/*",))
    assert finding.fix == f"export JAVA_HOME={fitting}"


def test_the_line_that_installs_it_is_the_scripts() -> None:
    script = ["/bin/sh", str(ROOT / "scripts" / "java_home.sh"), "--install-line"]
    assert install_java() == subprocess.run(script, capture_output=True, text=True, check=True).stdout.strip()
