"""``scoretrail features`` as a user calls it: built, scored in batch and loaded into a real store."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.online import open_store
from scoretrail.feature.online import decode_values, online_key
from scoretrail.setting import OnlineSettings
from tests.factory.services import StartService
from tests.factory.stored import SOURCE, VIEW, loads, parcels, times, write

DEPOT = VIEW.stored[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "live.py").write_bytes(SOURCE)
    write(loads(("A", 1, 2, 5.0), ("A", 3, 4, 7.0), ("B", 1, 2, 6.0)), tmp_path / "loads" / "values.parquet")
    write(times(("7", 0, 0, 30)), tmp_path / "times" / "values.parquet")
    write(parcels(("a", 2, "A", 7), ("b", 5, "B", 8)), tmp_path / "records" / "ds=1" / "r.parquet")
    return tmp_path


def program(folder: Path, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", "--json", "features", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_root_is_built_and_built_again(folder: Path) -> None:
    words: tuple[str, ...] = ("build", "--view", "live.py:parcel_live", "--records", "records", "--output", "built")
    words += ("--stored", "depot_load=loads", "--stored", "route_time=times", "--master", "local[1]")
    first = program(folder, *words)
    assert (first["partitions_built"], first["rows_built"]) == (1, 2)
    assert first["found"] == {"depot_load": 2, "route_time": 1}
    again = program(folder, *words)
    assert (again["partitions_built"], again["partitions_reused"], again["build"]) == (0, 1, first["build"])


def test_a_store_is_loaded_up_to_a_time_and_then_further(folder: Path, start_valkey: StartService) -> None:
    uri = f"redis://{start_valkey().address}/0"
    words = ("materialize", "--view", "live.py:parcel_live", "--stored", "depot_load=loads", "--store", uri)

    def stands() -> list[float | None]:
        keys = [online_key(VIEW.name, DEPOT.name, DEPOT.layout.schema8, entity) for entity in "ABC"]
        store = open_store(OnlineSettings(uri=uri))
        try:
            found: list[float | None] = decode_values(DEPOT, store.read(keys, 5)).values.column("waiting").to_pylist()
        finally:
            store.close()
        return found

    (early,) = program(folder, *words, "--up-to", "2024-03-01T03:00Z")["materialized"]
    assert (early["values"], early["entities"], early["written"], early["older"]) == (2, 2, 2, 0)
    assert stands() == [5.0, 6.0, None]
    (whole,) = program(folder, *words)["materialized"]
    assert (whole["values"], whole["written"]) == (3, 2)
    assert stands() == [7.0, 6.0, None]
    (back,) = program(folder, *words, "--up-to", "2024-03-01T03:00Z")["materialized"]
    assert (back["written"], back["older"]) == (1, 1), "A has a newer value, which stays"
    assert stands() == [7.0, 6.0, None]
    assert back["values_sha256"] == early["values_sha256"] != whole["values_sha256"]
