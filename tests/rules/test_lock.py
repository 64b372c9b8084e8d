"""The lock: hashes for every package, nothing of the machine that wrote it, in step with pyproject.toml."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.rules.source import ROOT

LOCKED_EXTRAS = ("batch", "stream", "otel", "train", "signing", "dev")
LOCK = ROOT / "locks" / "scoring.txt"
CONTROL = ROOT / "locks" / "control.txt"
#: What the control environment must not have: it schedules, and another one scores.
NOT_IN_CONTROL = {"pyspark", "pyspark-client", "scoretrail", "onnxruntime", "pandas", "pyarrow"}

ENTRY = re.compile(r"(?P<name>[a-z0-9._-]+)==(?P<version>[^ ;]+)(?: ; (?P<marker>.+))?")
PLACE = re.compile(r"//|\s/\w")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def complaints(lock: str) -> list[str]:
    """Return every line that is neither a comment, nor a pinned package with hashes."""
    found = []
    for entry in lock.replace(" \\\n", "\n").split("\n"):
        line = entry.strip()
        if line and not line.startswith("#") and not ENTRY.fullmatch(line) and not HASH.fullmatch(line):
            found.append(line)
    blocks = [block for block in re.split(r"\n(?=[a-z0-9])", lock) if ENTRY.match(block)]
    found += [f"no hash: {block.splitlines()[0]}" for block in blocks if not HASH.search(block)]
    found += [f"an address or a path: {line}" for line in lock.splitlines() if PLACE.search(line)]
    return found


def pins(lock: str) -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    for line in lock.replace(" \\\n", "\n").splitlines():
        if match := ENTRY.fullmatch(line.strip()):
            found.setdefault(canonicalize_name(match["name"]), []).append(Version(match["version"]))
            if match["marker"]:
                Marker(match["marker"])
    return found


def pyproject() -> Any:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def declared() -> list[Requirement]:
    project = pyproject()["project"]
    extras = [line for extra in LOCKED_EXTRAS for line in project["optional-dependencies"][extra]]
    return [Requirement(line) for line in (*project["dependencies"], *extras)]


@pytest.mark.parametrize("lock", [LOCK, CONTROL], ids=lambda lock: lock.stem)
def test_the_lock_holds_pinned_hashed_packages_and_nothing_else(lock: Path) -> None:
    assert complaints(lock.read_text(encoding="utf-8")) == []


GOOD = "numpy==2.4.6 \\\n    --hash=sha256:" + "0" * 64


@pytest.mark.parametrize(
    "bad",
    [
        "--index-url https://packages.example/simple",
        "--find-links /srv/wheels",
        "-f ../wheels",
        "numpy>=2",
        "numpy==2.4.6",
        "numpy @ file:///srv/numpy.whl",
        "# made with: uv pip compile --find-links /srv/wheels",
    ],
)
def test_a_bad_line_is_found(bad: str) -> None:
    assert complaints(f"# made by make lock\n{GOOD}\n") == []
    assert complaints(f"{GOOD}\n{bad}\n") != []


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_the_lock_is_in_step_with_the_project(requirement: Requirement) -> None:
    locked = pins(LOCK.read_text(encoding="utf-8")).get(canonicalize_name(requirement.name))
    assert locked, f"{requirement.name} is not locked: make lock"
    assert all(requirement.specifier.contains(version) for version in locked), "make lock"


@pytest.mark.parametrize("line", pyproject()["dependency-groups"]["control"])
def test_the_lock_of_the_control_environment_is_in_step(line: str) -> None:
    requirement = Requirement(line)
    locked = pins(CONTROL.read_text(encoding="utf-8")).get(canonicalize_name(requirement.name))
    assert locked, f"{requirement.name} is not locked: make lock"
    assert all(requirement.specifier.contains(version) for version in locked), "make lock"


def test_the_environment_that_schedules_is_locked_without_what_scores() -> None:
    assert NOT_IN_CONTROL.isdisjoint(pins(CONTROL.read_text(encoding="utf-8")))
    extras = pyproject()["project"]["optional-dependencies"]
    assert not [line for lines in extras.values() for line in lines if "airflow" in line], "it must not be an extra"


@pytest.mark.parametrize("lock", [LOCK, CONTROL], ids=lambda lock: lock.stem)
def test_the_lock_says_how_it_is_made(lock: Path) -> None:
    assert lock.read_text(encoding="utf-8").splitlines()[1] == "#    make lock"


def test_nothing_else_locks() -> None:
    assert not (ROOT / "uv.lock").exists(), "uv.lock writes the index's address into the repository"
