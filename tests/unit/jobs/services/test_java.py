"""The search for the Java that runs Kafka."""

from pathlib import Path

import pytest

from jobs.services.java import find_java, install_java
from scoretrail.errors import DependencyError


def make_java(home: Path, version: str) -> Path:
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2026-01-20' >&2\n")
    java.chmod(0o755)
    return java


def test_java_home_goes_first(tmp_path: Path) -> None:
    here, there = make_java(tmp_path / "here", "17.0.1"), make_java(tmp_path / "there", "21.0.1")
    environment = {"JAVA_HOME": str(tmp_path / "here"), "PATH": str(there.parent)}
    assert find_java(environment, ()) == here
    assert find_java({"PATH": str(there.parent)}, ()) == there


def test_one_that_does_not_fit_gives_way(tmp_path: Path) -> None:
    old = make_java(tmp_path / "old", "11.0.2")
    make_java(tmp_path / "jvm" / "java-17", "17.0.1")
    environment = {"JAVA_HOME": str(tmp_path / "nowhere"), "PATH": str(old.parent)}
    assert find_java(environment, (f"{tmp_path}/jvm/*",)) == tmp_path / "jvm" / "java-17" / "bin" / "java"


def test_none_at_all_says_how_to_install_one(tmp_path: Path) -> None:
    old = make_java(tmp_path / "old", "11.0.2")
    with pytest.raises(DependencyError, match="Kafka needs Java 17 or 21") as caught:
        find_java({"PATH": str(old.parent)}, ())
    assert caught.value.fix == install_java()
    assert "11.0.2" in str(caught.value.got)


def test_a_link_is_followed_so_that_java_finds_its_home(tmp_path: Path) -> None:
    java = make_java(tmp_path / "home", "17.0.1")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(java)
    assert find_java({"PATH": str(tmp_path / "bin")}, ()) == java
