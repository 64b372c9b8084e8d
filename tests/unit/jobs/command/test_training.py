"""Training data as a registration needs it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.command import training
from jobs.command.training import read_training
from scoretrail import digest
from scoretrail.errors import InputChangedError, InputError, SchemaMismatchError
from scoretrail.feature.source import load_view
from scoretrail.feature.view import FeatureView
from scoretrail.model.registration import PROOF_ROWS
from tests.unit.jobs.command.conftest import FEATURES, houses

MEASURE = """
import sys, resource
from pathlib import Path
from jobs.command.training import read_training
from scoretrail.feature.source import load_view
view = load_view(Path(sys.argv[2]).read_bytes(), "house")
read_training(sys.argv[3], view, {})
before = int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1])
read_training(sys.argv[1], view, {})
after = int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1])
print(after - before)
"""


@pytest.fixture
def view() -> FeatureView:
    return load_view(FEATURES.encode(), "house")


def numbers(table: pa.Table) -> list[int]:
    return [int(text.removeprefix("h")) for text in table.column("id").to_pylist()]


def test_the_sample_is_even_and_in_the_views_types(tmp_path: Path, view: FeatureView) -> None:
    pq.write_table(houses(25_000), tmp_path / "a.parquet", row_group_size=7_000)
    data = read_training(str(tmp_path / "a.parquet"), view, {})
    assert data.rows == 25_000
    assert numbers(data.records) == np.linspace(0, 24_999, PROOF_ROWS).astype(int).tolist()
    assert data.records.schema.names == ["id", "at", "rooms", "area"]
    assert data.records.schema.field("rooms").type == pa.float32()


def test_a_folder_is_sampled_over_all_of_its_files(tmp_path: Path, view: FeatureView) -> None:
    whole = houses(12_000)
    for i in range(3):
        pq.write_table(whole.slice(i * 4000, 4000), tmp_path / f"{i}.parquet")
    data = read_training(str(tmp_path), view, {})
    assert data.rows == 12_000
    assert numbers(data.records) == np.linspace(0, 11_999, PROOF_ROWS).astype(int).tolist()


def test_of_many_row_groups_a_hundred_are_read(tmp_path: Path, view: FeatureView) -> None:
    pq.write_table(houses(30_000), tmp_path / "a.parquet", row_group_size=100)
    found = numbers(read_training(str(tmp_path), view, {}).records)
    assert len({number // 100 for number in found}) == 100
    assert (found[0], found[-1]) == (0, 29_999)
    assert len(found) == PROOF_ROWS


def test_the_digest_is_that_of_names_and_bytes(tmp_path: Path, view: FeatureView) -> None:
    folder = tmp_path / "data"
    (folder / "b").mkdir(parents=True)
    for name in ("b/2.parquet", "1.parquet"):
        pq.write_table(houses(10, seed=len(name)), folder / name)
    (folder / "_SUCCESS").write_text("")
    first = read_training(str(folder), view, {}).sha256
    files = ["1.parquet", "b/2.parquet"]
    assert first == digest.of_json([[name, digest.of_bytes((folder / name).read_bytes())] for name in files])
    os.utime(folder / "1.parquet", ns=(1, 1))
    assert read_training(str(folder), view, {}).sha256 == first
    (folder / "1.parquet").rename(folder / "3.parquet")
    assert read_training(str(folder), view, {}).sha256 != first


def test_partition_folders_are_columns(tmp_path: Path) -> None:
    code = FEATURES.replace('Request("rooms", pa.float32(), minimum=0)', 'Request("city", pa.string())')
    view = load_view(code.replace('"rooms"', '"city"').encode(), "house")
    for city in ("Ghent", "Bruges"):
        (tmp_path / f"city={city}").mkdir()
        pq.write_table(houses(5).drop_columns(["rooms"]), tmp_path / f"city={city}" / "a.parquet")
    records = read_training(str(tmp_path), view, {}).records
    assert records.column("city").to_pylist() == ["Bruges"] * 5 + ["Ghent"] * 5


@pytest.mark.slow
def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    """Read 96 MB in one row group; what a reader needs levels off at about 40 MiB, whatever the size."""
    rows = 6_000_000
    random = np.random.default_rng(1)
    table = pa.table(
        {
            "id": pa.repeat("h", rows),
            "at": pa.array(np.arange(rows), pa.timestamp("us", tz="UTC")),
            "rooms": pa.array(random.random(rows), pa.float32()),
            "area": pa.array(random.random(rows), pa.float32()),
        }
    )
    pq.write_table(table, tmp_path / "large.parquet", row_group_size=rows, compression="none")
    size_kib = (tmp_path / "large.parquet").stat().st_size // 1024
    pq.write_table(table.slice(0, rows // 20), tmp_path / "small.parquet", compression="none")
    (tmp_path / "features.py").write_text(FEATURES)
    arguments = [str(tmp_path / name) for name in ("large.parquet", "features.py", "small.parquet")]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=True, timeout=120
    )
    assert size_kib > 90_000
    assert int(done.stdout) < size_kib * 2 // 3


def test_a_file_of_another_schema_is_named(tmp_path: Path, view: FeatureView) -> None:
    pq.write_table(houses(5), tmp_path / "a.parquet")
    pq.write_table(houses(5).set_column(2, "rooms", [["two"] * 5]), tmp_path / "b.parquet")
    with pytest.raises(SchemaMismatchError) as caught:
        read_training(str(tmp_path), view, {})
    assert caught.value.where == str(tmp_path / "b.parquet")


def test_nothing_to_read_is_told(tmp_path: Path, view: FeatureView) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError):
            read_training(str(place), view, {})
    pq.write_table(houses(0), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="no rows"):
        read_training(str(tmp_path), view, {})
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="no readable Parquet file"):
        read_training(str(tmp_path), view, {})


def test_a_file_that_changes_while_it_is_read_is_found(
    tmp_path: Path, view: FeatureView, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(houses(5), file)

    def spread(groups: list[training._Group]) -> object:
        pq.write_table(houses(6), file)
        return _spread(groups)

    _spread = training._spread
    monkeypatch.setattr(training, "_spread", spread)
    with pytest.raises(InputChangedError):
        read_training(str(tmp_path), view, {})
