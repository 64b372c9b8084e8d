"""What is shipped to executors is importable from the archive, and is all that a folder holds."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import scoretrail
from jobs.batch.spark import shipment
from scoretrail.feature import view


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    target = tmp_path / "ours.zip"
    shipment._pack(target, None)
    return target


def test_it_holds_every_file_of_both_packages(archive: Path) -> None:
    root = Path(scoretrail.__file__).parents[1]
    ours = {
        file.relative_to(root).as_posix()
        for package in ("scoretrail", "jobs")
        for file in (root / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    with zipfile.ZipFile(archive) as packed:
        shipped = {name for name in packed.namelist() if ".dist-info/" not in name}
        assert packed.read("scoretrail/feature/view.py") == Path(view.__file__).read_bytes()
    assert shipped == ours


def test_the_version_travels_with_it(archive: Path) -> None:
    # Without site-packages there is no other distribution to ask.
    program = f"import sys; sys.path[:0] = [{str(archive)!r}]; import scoretrail; print(scoretrail.__version__)"
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.strip() == scoretrail.__version__


def test_from_an_archive_the_archive_itself_is_shipped(archive: Path, tmp_path: Path) -> None:
    wheel = archive.rename(tmp_path / "ours.whl")
    program = (
        f"import sys; sys.path[:0] = [{str(wheel)!r}]\n"
        "from pathlib import Path\n"
        "from jobs.batch.spark import shipment\n"
        f"assert shipment._archive() == Path({str(wheel)!r}), shipment._archive()\n"
        f"shipment._pack(Path({str(tmp_path / 'again.zip')!r}), shipment._archive())\n"
        "print(len(list(shipment.files_of('jobs'))))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert (tmp_path / "again.zip").read_bytes() == wheel.read_bytes()
    assert int(run.stdout) == len(list(shipment.files_of("jobs")))
