"""Rows are read from the very bytes whose digest was checked, or not at all."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from jobs.batch.input.listing import NULL_PARTITION, partition_values
from jobs.batch.input.probe import probe_file
from jobs.batch.plan.plan import Work
from jobs.batch.task.reader import open_work, read_batches
from scoretrail.errors import InputChangedError, InputError

DISK = fs.LocalFileSystem()
ROWS, GROUP = 30_000, 3000
WHOLE, RANGES, STREAM, STREAMED_RANGES = 10**9, 200_000, 10_000, 1


def table(seed: int = 1) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table({"n": pa.array(range(ROWS), pa.int64()), "x": random.random(ROWS), "y": random.random(ROWS)})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "a.parquet"
    pq.write_table(table(), place, row_group_size=GROUP)
    return place


def works(path: Path, cut_at: int) -> list[Work]:
    """Return the pieces of work that planning makes of a file, when it cuts it at a size."""
    probe = probe_file(DISK, str(path), cut_at)
    whole = Work("k" * 64, "s", path.name, (), probe.sha256, probe.size_bytes, probe.tail_bytes, None, probe.rows)
    return [replace(whole, range=part, rows=part.rows) for part in probe.ranges] or [whole]


def read(
    path: Path,
    work: Work,
    split_bytes: int,
    columns: tuple[str, ...] = ("n", "x"),
    batch: int = 700,
    disk: fs.FileSystem = DISK,
) -> pa.Table:
    with open_work(disk, str(path), work, split_bytes) as parquet:
        parts = [
            part.append_column("row", pa.array(rows)) for part, rows in read_batches(parquet, work, columns, batch)
        ]
    return pa.Table.from_batches(parts)


@pytest.mark.parametrize(
    ("cut_at", "split_bytes"),
    [(WHOLE, WHOLE), (RANGES, RANGES), (WHOLE, STREAM), (RANGES, STREAM), (STREAMED_RANGES, STREAMED_RANGES)],
    ids=["whole in memory", "ranges in memory", "whole streamed", "ranges streamed", "each group streamed"],
)
def test_every_way_reads_every_row_once_in_order(path: Path, cut_at: int, split_bytes: int) -> None:
    pieces = works(path, cut_at)
    assert len(pieces) == {WHOLE: 1, RANGES: 5, STREAMED_RANGES: 10}[cut_at]
    found = pa.concat_tables([read(path, work, split_bytes, batch=1500) for work in pieces])
    assert found["row"].to_pylist() == list(range(ROWS))
    assert found.drop_columns(["row"]).combine_chunks().equals(table().select(["n", "x"]))


def test_batches_are_no_larger_than_asked_for(path: Path) -> None:
    [work] = works(path, WHOLE)
    with open_work(DISK, str(path), work, WHOLE) as parquet:
        sizes = [batch.num_rows for batch, _ in read_batches(parquet, work, ("n",), 640)]
    assert max(sizes) <= 640
    assert sum(sizes) == ROWS


def test_a_partition_key_that_is_no_column_comes_from_the_path(path: Path) -> None:
    [work] = works(path, WHOLE)
    folders = f"ds=a%20b/h={NULL_PARTITION}/x=7/a.parquet"
    work = replace(work, partition=partition_values(folders))
    found = read(path, work, WHOLE, ("n", "ds", "h", "x"))
    assert set(found["ds"].to_pylist()) == {"a b"}
    assert (found["h"].null_count, found["h"].type) == (ROWS, pa.string())
    assert found["x"].to_pylist() == table()["x"].to_pylist()  # a column of the file, whatever its folder says


def replaced(path: Path) -> None:
    pq.write_table(table(2), path, row_group_size=GROUP)


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def touched_inside(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)


def touched_in_the_tail(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("change", [replaced, grown, touched_inside, touched_in_the_tail])
@pytest.mark.parametrize(
    ("cut_at", "split_bytes"),
    [(WHOLE, WHOLE), (RANGES, RANGES), (WHOLE, STREAM), (RANGES, STREAM)],
    ids=["whole in memory", "ranges in memory", "whole streamed", "ranges streamed"],
)
def test_other_bytes_than_planned_are_refused(
    path: Path, cut_at: int, split_bytes: int, change: Callable[[Path], None]
) -> None:
    work = works(path, cut_at)[0]
    change(path)
    with pytest.raises(InputChangedError, match="changed after it was planned") as caught:
        read(path, work, split_bytes)
    assert caught.value.where == str(path)


def test_a_change_outside_a_range_is_no_change_of_it(path: Path) -> None:
    first, second, *_ = works(path, RANGES)
    assert second.range is not None
    data = bytearray(path.read_bytes())
    data[second.range.start_byte + 10] ^= 1
    path.write_bytes(data)
    assert read(path, first, RANGES).num_rows == first.rows
    with pytest.raises(InputChangedError):
        read(path, second, RANGES)


class Meddling(fs.LocalFileSystem):  # type: ignore[misc]  # pyarrow is untyped
    """A disk on which somebody writes at the n-th look at a file."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        super().__init__()
        self._left, self._act = at, act

    def get_file_info(self, paths: Any) -> Any:
        self._left -= 1
        if self._left == 0:
            self._act()
        return super().get_file_info(paths)


@pytest.mark.parametrize("look", [2, 3], ids=["while it is hashed", "while it is read"])
@pytest.mark.parametrize("keep_times", [False, True], ids=["", "with size and time as before"])
def test_a_file_that_changes_while_it_is_streamed(path: Path, look: int, keep_times: bool) -> None:
    [work] = works(path, WHOLE)
    stat = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())

    def act() -> None:
        other.rename(path)  # the same bytes under another number: what was hashed may not be what is read
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns if keep_times else stat.st_mtime_ns + 1))

    with pytest.raises(InputChangedError):
        read(path, work, STREAM, disk=Meddling(look, act))


def test_a_file_that_vanished(path: Path) -> None:
    [work] = works(path, WHOLE)
    path.unlink()
    with pytest.raises(InputError, match="no longer there"):
        read(path, work, WHOLE)


def test_a_footer_that_lies_about_the_rows(path: Path) -> None:
    [work] = works(path, WHOLE)
    with pytest.raises(InputError, match="other rows than its footer says") as caught:
        read(path, replace(work, rows=ROWS + 1), WHOLE)
    assert (caught.value.expected, caught.value.got) == (str(ROWS + 1), str(ROWS))
