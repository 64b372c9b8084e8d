"""A built partition in its place: reused while it is what was made, replaced as a whole, never doubled."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.batch.input.listing import InputRoot, list_files
from jobs.features.partition import MARKER, BuiltFile, Manifest, current, publish, written_files
from scoretrail.errors import DataError
from scoretrail.storage import Storage
from tests.factory.stored import write

TIME = "depot_load__available_at"


def made(output: Storage, folder: str, *contents: list[int | None], inputs: str = "1" * 64) -> Manifest:
    """Write files as a join does, and return the manifest that goes with them."""
    for number, values in enumerate(contents):
        table = pa.table({"x": pa.array(range(len(values))), TIME: pa.array(values, pa.timestamp("us", "UTC"))})
        write(table, Path(output.uri) / folder / f"part-0000{number}-spark.parquet")
    files, found = written_files(output, folder, [TIME])
    return Manifest("ds=1", inputs, {"records": "r"}, "b" * 64, sum(f.rows for f in files), found, tuple(files))


@pytest.fixture
def output(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "built"))


def parquet(output: Storage) -> list[str]:
    return sorted(path.name for path in (Path(output.uri) / "ds=1").glob("*.parquet"))


def test_a_partition_is_published_and_known_again(output: Storage) -> None:
    manifest = made(output, "_scoretrail/attempt-1/ds=1", [1, None], [2])
    assert (manifest.rows, manifest.found) == (3, {TIME: 2})
    assert publish(output, "_scoretrail/attempt-1/ds=1", manifest)
    assert current(output, "ds=1", "1" * 64) == manifest
    assert current(output, "ds=1", "2" * 64) is None
    assert current(output, "ds=2", "1" * 64) is None
    assert parquet(output) == [file.name for file in manifest.files]
    files = list_files(InputRoot(output.uri, output.uri), (), {})
    assert [(file.slice, Path(file.path).name) for file in files] == [("ds=1", name) for name in parquet(output)]


def test_the_same_content_has_one_path_and_stays_untouched(output: Storage) -> None:
    publish(output, "_a/ds=1", made(output, "_a/ds=1", [1, 2]))
    before = {name: (Path(output.uri) / "ds=1" / name).stat().st_ino for name in parquet(output)}
    again = made(output, "_b/ds=1", [1, 2], inputs="2" * 64)
    assert not publish(output, "_b/ds=1", again)
    assert {name: (Path(output.uri) / "ds=1" / name).stat().st_ino for name in parquet(output)} == before
    assert current(output, "ds=1", "2" * 64) == again


def test_other_content_takes_the_place_of_what_was_there(output: Storage) -> None:
    publish(output, "_a/ds=1", made(output, "_a/ds=1", [1, 2], [3]))
    publish(output, "_b/ds=1", made(output, "_b/ds=1", [1, 2], [4], inputs="2" * 64))
    table = pq.read_table(Path(output.uri) / "ds=1", partitioning=None)
    assert len(parquet(output)) == 2
    assert table.num_rows == 3
    assert current(output, "ds=1", "1" * 64) is None


@pytest.mark.parametrize("spoil", ["remove", "change"])
def test_a_partition_that_is_no_longer_what_was_made_is_not_reused(output: Storage, spoil: str) -> None:
    publish(output, "_a/ds=1", made(output, "_a/ds=1", [1, 2]))
    file = Path(output.uri) / "ds=1" / parquet(output)[0]
    file.unlink() if spoil == "remove" else file.write_bytes(b"other")
    assert current(output, "ds=1", "1" * 64) is None


def test_a_foreign_marker_is_refused(output: Storage) -> None:
    output.put(f"ds=1/{MARKER}", b"[]")
    with pytest.raises(DataError, match="not what a build writes"):
        current(output, "ds=1", "1" * 64)


def test_a_manifest_reads_back() -> None:
    manifest = Manifest("", "1" * 64, {"a": [1]}, "2" * 64, 0, {"s": 0}, (BuiltFile("x.parquet", "3" * 64, 0),))
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest
