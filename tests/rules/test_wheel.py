"""What is shipped: the wheel holds the two packages, installs by itself, and the sdist can build it."""

import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.rules.source import ROOT, tracked_files


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist, and the wheel from it, without touching a network."""
    folder = tmp_path_factory.mktemp("dist")
    run = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (path,) = dist.glob("scoretrail-*.whl")
    return path


def test_the_wheel_holds_the_two_packages_whole_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    ours = {path.relative_to(ROOT).as_posix() for path in tracked_files()}
    assert shipped == {name for name in ours if name.startswith(("scoretrail/", "jobs/"))}


def test_the_metadata_is_complete(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        (entry_points,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        message = message_from_bytes(archive.read(metadata))
        scripts = archive.read(entry_points).decode()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert message["License-Expression"] == "Apache-2.0"
    assert message["Requires-Python"] == "<3.14,>=3.11"
    assert message.get_all("Provides-Extra") == ["batch", "dev", "drift", "otel", "signing", "stream", "train", "trees"]
    assert str(message.get_payload()).strip(), "the README is the description"
    assert "scoretrail = jobs.cli:main" in scripts


def test_the_wheel_installs_and_is_what_gets_imported(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    uv = Path(sys.executable).with_name("uv")
    install = [str(uv), "pip", "install", "--offline", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=60)
    program = (
        f"import sys; sys.path.insert(0, {str(target)!r})\n"
        "import scoretrail, jobs; print(scoretrail.__file__, jobs.__file__)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert all(place.startswith(str(target)) for place in run.stdout.split())


def test_the_types_are_shipped(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert "scoretrail/py.typed" in archive.namelist()


def test_the_sdist_holds_what_a_build_and_a_reader_need(dist: Path) -> None:
    (path,) = dist.glob("scoretrail-*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "scoretrail/__init__.py"} <= names
    assert not any(name.startswith((".venv/", ".git/", "dist/")) for name in names)
