"""``spark-submit --py-files WHEEL jobs/submit.py batch score``, with nothing of ours on either side but the wheel."""

import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from scoretrail import digest
from tests.integration.cluster.conftest import BAD_ROWS, DAYS, GOOD_ROWS, ROWS_PER_DAY, MakeLauncher
from tests.integration.cluster.launch import RUN_ID, Launcher, Outcome
from tests.integration.cluster.standalone import HOSTS


@pytest.fixture(scope="module")
def held(make_launcher: MakeLauncher, tmp_path_factory: pytest.TempPathFactory) -> tuple[Launcher, Outcome]:
    """Where a run with ``--hold`` came to its end, and how."""
    place = make_launcher(tmp_path_factory.mktemp("submitted"))
    outcome = place.submit("--hold").outcome()
    assert not place.has_rows
    return place, outcome


@pytest.fixture(scope="module")
def submitted(held: tuple[Launcher, Outcome]) -> Launcher:
    """Where the held run was released."""
    place, outcome = held
    assert outcome.code == 3, outcome.said
    released = place.command("runs", "release", RUN_ID, "--table", place.table, "--json").outcome()
    assert released.code == 0, released.said
    return place


def test_the_executors_python_has_the_libraries_and_nothing_of_ours(executor_python: Path, tmp_path: Path) -> None:
    def imports(name: str) -> subprocess.CompletedProcess[str]:
        program = [str(executor_python), "-c", f"import {name}"]
        return subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    assert imports("onnxruntime, pyarrow, obstore").returncode == 0
    for package in ("scoretrail", "jobs"):
        assert f"No module named '{package}'" in imports(package).stderr
    version = "importlib.metadata; importlib.metadata.version('scoretrail')"
    assert "PackageNotFoundError" in imports(version).stderr


def test_a_held_run_ends_with_3(held: tuple[Launcher, Outcome]) -> None:
    _, outcome = held
    assert outcome.code == 3, outcome.said
    assert outcome.result["error"]["type"] == "HeldError"


@pytest.mark.parametrize("suffix", ["", "_rejects"])
def test_the_rows_are_those_of_a_local_run_bit_for_bit(submitted: Launcher, local_run: Launcher, suffix: str) -> None:
    assert submitted.rows(suffix).equals(local_run.rows(suffix))


def test_one_bit_more_would_be_seen(local_run: Launcher) -> None:
    rows = local_run.rows()
    scores = rows["score"].to_numpy().copy()
    scores.view("uint32" if scores.dtype.itemsize == 4 else "uint64")[0] += 1
    changed = rows.set_column(rows.schema.get_field_index("score"), rows.schema.field("score"), pa.array(scores))
    assert not changed.equals(rows)


def test_both_hosts_hashed_and_both_scored(submitted: Launcher) -> None:
    history = submitted.history()
    assert history.hosts("probe_paths") == set(HOSTS)
    assert history.hosts("score_works") == set(HOSTS)
    record = submitted.record()
    assert record["environment"]["hosts"] == list(HOSTS)
    assert record["rows"] | {"in": DAYS * ROWS_PER_DAY, "scored": GOOD_ROWS, "rejected": BAD_ROWS} == record["rows"]


def test_the_record_names_the_code_of_the_wheel(submitted: Launcher, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        code = {name: archive.read(name) for name in archive.namelist() if name.endswith(".py")}
    expected = digest.of_json(sorted([name, digest.of_bytes(data)] for name, data in code.items()))
    assert submitted.record()["code"]["distribution_sha256"] == expected


def test_a_bad_file_found_by_an_executor_ends_with_65(launcher: Launcher, tmp_path: Path) -> None:
    data = Path(shutil.copytree(launcher.input, tmp_path / "data"))
    last = max(data.rglob("*.parquet"))  # the driver itself looks at the first file only
    last.write_bytes(last.read_bytes()[:-100])
    outcome = replace(launcher, input=data).submit().outcome()
    assert outcome.code == 65, outcome.said
    error = outcome.result["error"]
    assert error["type"] == "InputError"
    assert error["where"] == str(last)
    assert not Path(launcher.table, "_delta_log").exists()
