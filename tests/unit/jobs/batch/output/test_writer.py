import gc
import hashlib
import json
import warnings
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from jobs.batch.output.columns import partition_type
from jobs.batch.output.file import HashingSink, Target
from jobs.batch.output.writer import MergedWriter, PartitionedWriter, remove_orphans
from scoretrail.errors import StorageError, UsageError
from scoretrail.feature.schema import TIMESTAMP
from scoretrail.trail.prediction import Column

COLUMNS = (
    Column("key", pa.string(), "key"),
    Column("at", TIMESTAMP, "time"),
    Column("part", pa.string(), "partition"),
    Column("score", pa.float64(), "score"),
    Column("source_row", pa.int64(), "row"),
)


def target(folder: Path, row_group_rows: int = 1000, filesystem: Any = None) -> Target:
    return Target(filesystem or fs.LocalFileSystem(), str(folder), "0" * 12, "ab" * 32, "deadbeef", row_group_rows)


def writer(folder: Path, *partition: str, stats: str | None = "at", **options: Any) -> PartitionedWriter:
    return PartitionedWriter(target(folder, **options), COLUMNS, partition, stats)


def rows(start: int, stop: int, parts: list[str | None] | None = None) -> dict[str, pa.Array]:
    n = stop - start
    return {
        "key": pa.array([f"k{i}" for i in range(start, stop)]),
        "at": pa.array(
            [datetime(2013, 12, 1, 0, i % 60, i // 60, i, tzinfo=UTC) for i in range(start, stop)], TIMESTAMP
        ),
        "part": pa.array(parts if parts is not None else ["p"] * n, pa.string()),
        "score": pa.array([i / 7 for i in range(start, stop)]),
        "source_row": pa.array(range(start, stop), pa.int64()),
    }


def constant(value: str | None, n: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int8()), pa.array([value], pa.string()))


def test_what_was_written_is_what_is_told(tmp_path: Path) -> None:
    one = writer(tmp_path)
    one.write(rows(0, 10))
    one.write(rows(10, 25))
    [file] = one.close()
    data = (tmp_path / file.path).read_bytes()
    assert file.path == "part-000000000000-abababababababab-0-deadbeef.parquet"
    assert (file.size_bytes, file.sha256, file.rows) == (len(data), hashlib.sha256(data).hexdigest(), 25)
    table = pq.read_table(tmp_path / file.path)
    assert table.column_names == ["key", "at", "part", "score", "source_row"]
    assert table["source_row"].to_pylist() == list(range(25))
    assert table["at"].type == TIMESTAMP


def test_rows_gather_into_row_groups(tmp_path: Path) -> None:
    one = writer(tmp_path, row_group_rows=100)
    for start in range(0, 250, 10):
        one.write(rows(start, start + 10))
    [file] = one.close()
    metadata = pq.read_metadata(tmp_path / file.path)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [100, 100, 50]


def test_statistics_hold_the_range_of_times_to_the_millisecond_outwards(tmp_path: Path) -> None:
    one = writer(tmp_path)
    one.write(rows(1, 4))
    one.write(rows(0, 1))
    [file] = one.close()
    assert json.loads(file.stats) == {
        "numRecords": 4,
        "nullCount": {"at": 0},
        "minValues": {"at": "2013-12-01T00:00:00.000Z"},
        "maxValues": {"at": "2013-12-01T00:03:00.001Z"},  # 00:03:00.000003, rounded up
    }


def test_without_a_column_for_it_there_is_only_the_number_of_rows(tmp_path: Path) -> None:
    one = writer(tmp_path, stats=None)
    one.write(rows(0, 3))
    assert json.loads(one.close()[0].stats) == {"numRecords": 3}


def test_each_partition_value_gets_a_file(tmp_path: Path) -> None:
    one = writer(tmp_path, "part")
    one.write(rows(0, 4, ["b", "a", None, "b"]))
    one.write(rows(4, 6, ["c", "a"]))
    files = one.close()
    assert [file.partition for file in files] == [{"part": None}, {"part": "a"}, {"part": "b"}, {"part": "c"}]
    found = {file.partition["part"]: pq.read_table(tmp_path / file.path, partitioning=None) for file in files}
    assert {value: table["source_row"].to_pylist() for value, table in found.items()} == {
        None: [2],
        "a": [1, 5],
        "b": [0, 3],
        "c": [4],
    }
    assert "part" not in found["a"].column_names
    assert len({file.path for file in files}) == 4
    assert [Path(file.path).parent.name for file in files] == [
        "part=__HIVE_DEFAULT_PARTITION__",
        "part=a",
        "part=b",
        "part=c",
    ]


@pytest.mark.parametrize(
    ("value", "stated", "folder"),
    [
        ("2013-12-01", "2013-12-01", "part=2013-12-01"),
        ("", None, "part=__HIVE_DEFAULT_PARTITION__"),
        ("__HIVE_DEFAULT_PARTITION__", None, "part=__HIVE_DEFAULT_PARTITION__"),
        ("a/b c=é", "a/b c=é", f"part={hashlib.sha256('a/b c=é'.encode()).hexdigest()[:16]}"),
        ("x" * 300, "x" * 300, f"part={hashlib.sha256(b'x' * 300).hexdigest()[:16]}"),
    ],
)
def test_values_that_make_no_folder_are_kept_in_the_log(
    tmp_path: Path, value: str, stated: str | None, folder: str
) -> None:
    one = writer(tmp_path, "part")
    one.write({**rows(0, 3), "part": constant(value, 3)})
    [file] = one.close()
    assert file.partition == {"part": stated}
    assert str(Path(file.path).parent) == folder
    assert (tmp_path / file.path).is_file()


def test_work_without_rows_leaves_a_file_without_rows(tmp_path: Path) -> None:
    empty = {**{column.name: pa.nulls(0, column.type) for column in COLUMNS}, "part": constant("p", 0)}
    one = writer(tmp_path, "part")
    [file] = one.close(lambda: empty)
    assert (file.rows, file.partition, json.loads(file.stats)) == (0, {"part": "p"}, {"numRecords": 0})
    table = pq.read_table(tmp_path / file.path, partitioning=None)
    assert (table.num_rows, table.column_names) == (0, ["key", "at", "score", "source_row"])
    assert writer(tmp_path).close() == ()
    [plain] = writer(tmp_path / "plain").close(lambda: empty)
    assert plain.partition == {}
    by_column = {**empty, "part": pa.nulls(0, pa.string())}
    [file] = writer(tmp_path / "by-column", "part").close(lambda: by_column)
    assert file.partition == {"part": None}


def test_what_is_abandoned_leaves_nothing(tmp_path: Path) -> None:
    one = writer(tmp_path, "part", row_group_rows=2)
    one.write(rows(0, 4, ["b", "a", "a", "b"]))
    one.write(rows(4, 5, ["c"]))
    assert len(list(tmp_path.rglob("*.parquet"))) == 2  # c still gathers
    one.abandon()
    assert list(tmp_path.rglob("*.parquet")) == []


class FullDisk:
    """A disk that takes some bytes, and no more."""

    type_name = "full"

    def __init__(self, room: int) -> None:
        self._inner = fs.LocalFileSystem()
        self.room = room

    def create_dir(self, path: str, *, recursive: bool) -> None:
        self._inner.create_dir(path, recursive=recursive)

    def delete_file(self, path: str) -> None:
        self._inner.delete_file(path)

    def open_output_stream(self, path: str) -> Any:
        return _FullStream(self, self._inner.open_output_stream(path))


class _FullStream:
    def __init__(self, disk: FullDisk, inner: Any) -> None:
        self._disk, self._inner = disk, inner

    def write(self, data: Any) -> None:
        self._disk.room -= memoryview(data).nbytes
        if self._disk.room < 0:
            raise OSError(28, "No space left on device")
        self._inner.write(data)

    def close(self) -> None:
        self._inner.close()
        if self._disk.room < 0:
            raise OSError(28, "No space left on device")


def _write_all(one: PartitionedWriter) -> None:
    for start in range(0, 100, 20):
        one.write(rows(start, start + 20))
    one.close()


@pytest.mark.parametrize("room", [0, 10, 500, 1500])
def test_a_full_disk_is_told_and_leaves_no_half_file(tmp_path: Path, room: int) -> None:
    one = writer(tmp_path, row_group_rows=20, filesystem=FullDisk(room))

    with pytest.raises(StorageError, match="cannot be written") as caught:
        _write_all(one)
    assert "No space left on device" in str(caught.value.got)
    assert "the same command goes on" in str(caught.value.fix)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one.abandon()
        del one
        gc.collect()  # what is collected does not try to write its end
    assert list(tmp_path.rglob("*.parquet")) == []


def test_a_merged_file_has_the_statistics_of_its_rows(tmp_path: Path) -> None:
    merged = MergedWriter(target(tmp_path), {"part": "p"}, "at")
    columns = {name: column for name, column in rows(0, 3).items() if name != "part"}
    merged.add(pa.RecordBatch.from_pydict(columns))
    file = merged.close()
    assert file.path == "part=p/merged-000000000000-abababababababab-0-deadbeef.parquet"
    assert (file.rows, json.loads(file.stats)["minValues"]) == (3, {"at": "2013-12-01T00:00:00.000Z"})
    again = MergedWriter(target(tmp_path / "again"), {}, None)
    again.abandon()  # nothing was opened yet
    again.add(pa.RecordBatch.from_pydict(columns))
    again.abandon()
    assert list((tmp_path / "again").rglob("*")) == []


def test_a_sink_hashes_and_counts_what_passes() -> None:
    inner = pa.BufferOutputStream()
    sink = HashingSink(inner)
    assert (sink.writable(), sink.write(b"abc"), sink.write(memoryview(b"de")), sink.tell()) == (True, 3, 2, 5)
    sink.close()
    sink.close()
    assert (sink.size, sink.hasher.hexdigest()) == (5, hashlib.sha256(b"abcde").hexdigest())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (pa.string(), pa.string()),
        (pa.large_string(), pa.string()),
        (pa.string_view(), pa.string()),
        (pa.dictionary(pa.int32(), pa.string()), pa.string()),
        (pa.int8(), pa.int8()),
        (pa.int64(), pa.int64()),
        (pa.bool_(), pa.bool_()),
        (pa.date32(), pa.date32()),
        (pa.timestamp("ms", "Europe/Zurich"), TIMESTAMP),
    ],
)
def test_types_that_partition_a_table(given: pa.DataType, expected: pa.DataType) -> None:
    assert partition_type("c", given) == expected


@pytest.mark.parametrize(
    "given", [pa.float64(), pa.uint8(), pa.timestamp("us"), pa.binary(), pa.list_(pa.int8()), pa.date64()]
)
def test_types_that_do_not(given: pa.DataType) -> None:
    with pytest.raises(UsageError, match="cannot be partitioned by 'c'") as caught:
        partition_type("c", given)
    assert caught.value.got == str(given)


def test_partition_values_of_every_type_are_written_as_delta_reads_them(tmp_path: Path) -> None:
    values = {
        "flag": (pa.array([True, False, None]), ["false", "true", None]),
        "day": (pa.array([date(2013, 12, 1), date(1969, 1, 1), None]), ["1969-01-01", "2013-12-01", None]),
        "time": (
            pa.array([datetime(2013, 12, 1, 5, tzinfo=UTC)] * 2 + [None], TIMESTAMP),
            ["2013-12-01 05:00:00.000000", None],
        ),
        "number": (pa.array([7, -1, None], pa.int16()), ["-1", "7", None]),
    }
    for name, (column, expected) in values.items():
        columns = [*COLUMNS, Column(name, column.type, name)]
        one = PartitionedWriter(target(tmp_path / name), columns, (name,), "at")
        one.write({**rows(0, 3), name: column})
        assert sorted((file.partition[name] for file in one.close()), key=lambda v: (v is None, v)) == expected


def test_orphans_are_removed_and_one_that_is_gone_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    remove_orphans(fs.LocalFileSystem(), [str(tmp_path / "none"), str(tmp_path / "a")])
    assert list(tmp_path.iterdir()) == []
