"""Kafka's jars: what is pinned, what is refused, and that two processes fetch once."""

import hashlib
import re
import threading
from pathlib import Path

import pytest

from jobs.services import jars
from jobs.services.jars import JarCache, check, default_cache, kafka_jars, pinned
from scoretrail.errors import ChecksumError, DependencyError

PINS = {"a-1.jar": hashlib.sha256(b"a").hexdigest(), "b-2.jar": hashlib.sha256(b"b").hexdigest()}


@pytest.fixture
def two_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Kafka consist of two small files."""
    monkeypatch.setattr(jars, "pinned", lambda: PINS)


def write(folder: Path, **content: bytes) -> Path:
    folder.mkdir(parents=True)
    for name in PINS:
        (folder / name).write_bytes(content.get(name[0], name[0].encode()))
    return folder


def make_ivy(folder: Path, *, files: str = "printf a >a-1.jar; printf b >b-2.jar", code: int = 0) -> Path:
    """Write a stand-in for Java that fills the folder of its last argument as Ivy would, and counts its calls."""
    java = folder / "java"
    java.write_text(
        f"#!/bin/sh\necho call >>{folder}/calls\n"
        'for last; do :; done\ncd "${last%/*}"\n'
        f"sleep 0.2; {files}; echo ':: UNRESOLVED DEPENDENCIES ::'; exit {code}\n",
        encoding="utf-8",
    )
    java.chmod(0o755)
    return java


def test_every_jar_of_this_kafka_is_pinned() -> None:
    found = pinned()
    assert len(found) == 46
    assert all(re.fullmatch(r"[0-9a-f]{64}", sha256) for sha256 in found.values())
    assert {f"kafka_2.13-{jars.VERSION}.jar", f"kafka-clients-{jars.VERSION}.jar"} <= set(found)
    assert list(found) == sorted(found)


def test_the_cache_is_the_users() -> None:
    assert default_cache({"XDG_CACHE_HOME": "/somewhere"}) == Path("/somewhere/scoretrail")
    assert default_cache({}) == default_cache({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache" / "scoretrail"


def test_files_with_their_checksums_are_taken_without_java(tmp_path: Path, two_pins: None) -> None:
    folder = write(tmp_path / f"kafka-{jars.VERSION}")
    (folder / "stray.jar").write_bytes(b"not pinned")
    found = kafka_jars(JarCache(folder=tmp_path), tmp_path / "no-java")
    assert found == (folder / "a-1.jar", folder / "b-2.jar")


def test_another_file_is_refused(tmp_path: Path, two_pins: None) -> None:
    folder = write(tmp_path / f"kafka-{jars.VERSION}", b=b"changed")
    with pytest.raises(ChecksumError, match="not the one that was pinned") as caught:
        kafka_jars(JarCache(folder=tmp_path), tmp_path / "no-java")
    assert caught.value.where == str(folder / "b-2.jar")
    assert caught.value.expected == f"sha256 {PINS['b-2.jar']}"
    assert str(folder) in str(caught.value.fix)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ChecksumError, match="missing"):
        check(tmp_path, PINS)


@pytest.mark.usefixtures("two_pins")
class TestFetch:
    def test_what_is_fetched_appears_whole(self, tmp_path: Path) -> None:
        said: list[str] = []
        java = make_ivy(tmp_path, files="printf a >a-1.jar; printf b >b-2.jar; printf c >stray.jar")
        found = kafka_jars(JarCache(folder=tmp_path / "cache"), java, said.append)
        assert [path.read_bytes() for path in found] == [b"a", b"b"]
        assert sorted(path.name for path in found[0].parent.iterdir()) == list(PINS)
        assert len(said) == 1
        assert [one.name for one in (tmp_path / "cache").iterdir() if one.is_dir()] == [f"kafka-{jars.VERSION}"]

    def test_a_wrong_checksum_leaves_nothing(self, tmp_path: Path) -> None:
        java = make_ivy(tmp_path, files="printf a >a-1.jar; printf x >b-2.jar")
        with pytest.raises(ChecksumError, match="not the one"):
            kafka_jars(JarCache(folder=tmp_path / "cache"), java)
        assert [one for one in (tmp_path / "cache").iterdir() if one.is_dir()] == []

    def test_a_failure_says_what_ivy_said(self, tmp_path: Path) -> None:
        with pytest.raises(DependencyError, match="cannot be fetched") as caught:
            kafka_jars(JarCache(folder=tmp_path / "cache"), make_ivy(tmp_path, code=1))
        assert "UNRESOLVED" in str(caught.value.got)
        assert "services.ivy_settings" in str(caught.value.fix)

    def test_of_two_at_once_one_fetches(self, tmp_path: Path) -> None:
        java, found = make_ivy(tmp_path), []
        cache = JarCache(folder=tmp_path / "cache")
        threads = [threading.Thread(target=lambda: found.append(kafka_jars(cache, java))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(found) == 4
        assert len(set(found)) == 1
        assert (tmp_path / "calls").read_text() == "call\n"
