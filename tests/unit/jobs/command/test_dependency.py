"""The doctor's look at libraries and versions."""

import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement as Standard

from jobs.command.dependency import SIGN_OF_EXTRA, check_import, check_versions, parse

LINES = metadata.requires("scoretrail") or []
VERSIONS = [
    "0.1",
    "1.6.6",
    "2",
    "2.0.0",
    "2.2",
    "2.3.3",
    "3",
    "3.0.0",
    "3.0.12",
    "4.3.0",
    "4.3.1",
    "6.33",
    "7.0",
    "26.0.1",
]


@pytest.mark.parametrize("line", LINES)
def test_our_own_requirements_are_read_as_installers_read_them(line: str) -> None:
    ours, standard = parse(line), Standard(line)
    assert len(ours.specifiers) == len(standard.specifier)
    assert [ours.allows(v) for v in VERSIONS] == [standard.specifier.contains(v) for v in VERSIONS]
    assert {ours.extra} == ({None} if standard.marker is None else {str(standard.marker).split('"')[1]})


def test_every_extra_has_its_sign() -> None:
    extras = {parse(line).extra for line in LINES} - {None, "dev"}
    assert set(SIGN_OF_EXTRA) == extras
    for extra, sign in SIGN_OF_EXTRA.items():
        assert any(parse(line).name == sign and parse(line).extra == extra for line in LINES)


def fitting(line: str) -> str:
    """Return a version that a line allows."""
    return next((version for operator, version in parse(line).specifiers if operator in {">=", "=="}), "1.0")


GOOD = {parse(line).name: fitting(line) for line in LINES}


def found(**changes: str | None) -> list[tuple[str, str]]:
    """Return what is found in an environment that is good but for these packages."""
    installed = {**GOOD, **{name.replace("_", "-"): version for name, version in changes.items()}}
    return [(one.check, one.found) for one in check_versions(LINES, installed.get) if not one.is_good]


def test_an_environment_that_fits_is_good() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pandas": "3.0.1"}, ("pandas", "3.0.1")),
        ({"protobuf": "7.1"}, ("protobuf", "7.1")),
        ({"onnx": "1.20.9"}, ("onnx", "1.20.9")),
        ({"onnxruntime": "1.30.2"}, ("onnxruntime", "1.30.2")),
        ({"pyspark": "4.2.1"}, ("pyspark", "4.2.1")),
        ({"kafka_python": "3.0.11"}, ("kafka-python", "3.0.11")),
        ({"crc32c": None}, ("crc32c", "none")),
        ({"pyopenssl": None}, ("pyopenssl", "none")),
        ({"pyspark_client": "4.3.0"}, ("pyspark-client", "4.3.0")),
        ({"pyspark_connect": "4.3.0"}, ("pyspark-connect", "4.3.0")),
    ],
)
def test_every_trap_is_found(changes: dict[str, str | None], expected: tuple[str, str]) -> None:
    assert expected in found(**changes)


def test_what_belongs_to_an_extra_that_is_not_there_is_not_asked_for() -> None:
    assert found(skl2onnx=None, protobuf="7.1", lightgbm=None) == []
    assert found(kafka_python=None, crc32c=None, redis=None) == []


def test_a_fix_is_a_line_to_type_and_says_why() -> None:
    (finding,) = (one for one in check_versions(LINES, {**GOOD, "pandas": "3.0"}.get) if one.check == "pandas")
    assert finding.cause is not None
    assert "pyspark 4.3 warns on pandas 3" in finding.cause
    assert shlex.split(finding.fix or "")[-1] == "pandas<3,>=2.2"
    assert sys.executable in (finding.fix or "")


def make_package(folder: Path, name: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package of one module where this process and its children look for it."""
    (folder / f"{name}.py").write_text(code)
    (folder / f"{name}-1.5.dist-info").mkdir()
    (folder / f"{name}-1.5.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_library_that_starts_is_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_package(tmp_path, "stand_in", "", monkeypatch)
    finding = check_import("stand_in")
    assert (finding.is_good, finding.found) == (True, "1.5")


@pytest.mark.parametrize(
    ("code", "words"),
    [("raise ImportError('libgomp.so.1 is missing')", "libgomp.so.1"), ("import os; os.abort()", "ended with -6")],
)
def test_a_library_that_does_not_start_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    make_package(tmp_path, "stand_in", code, monkeypatch)
    finding = check_import("stand_in")
    assert finding.cause is not None
    assert words in finding.cause
    assert "stand_in==1.5" in (finding.fix or "")


def test_a_library_that_is_missing_is_told() -> None:
    finding = check_import("nowhere_to_be_found")
    assert (finding.found, finding.cause) == ("none", "it is not installed")


def test_the_installer_that_is_named_is_there_or_is_uv() -> None:
    line = shlex.split(check_import("nowhere_to_be_found").fix or "")
    if line[0] == "uv":
        assert subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode
    else:
        assert line[1:3] == ["-m", "pip"]
