"""What planning sees of a file, and the file of which only pieces are in memory."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import fs

from jobs.batch.input.probe import FileProbe, SparseFile, probe_file, reading
from scoretrail.errors import InputError

DISK = fs.LocalFileSystem()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten row groups of about 100 KiB each."""
    random = np.random.default_rng(1)
    table = pa.table({"a": random.random(50_000), "b": random.random(50_000), "c": pa.array(range(50_000))})
    path = tmp_path_factory.mktemp("probe") / "large.parquet"
    pq.write_table(table, path, row_group_size=5000)
    return path


def test_a_small_file_is_known_by_its_digest_and_rows(large: Path) -> None:
    size = large.stat().st_size
    probe = probe_file(DISK, str(large), size)
    assert probe == FileProbe(hashlib.sha256(large.read_bytes()).hexdigest(), 50_000, size, 0, ())


@pytest.mark.parametrize("split", [1, 150_000, 400_000, 10**6])
def test_a_large_file_is_cut_into_ranges_with_digests_of_their_own(large: Path, split: int) -> None:
    data = large.read_bytes()
    if split >= len(data):
        pytest.fail("the split must be smaller than the file")
    probe = probe_file(DISK, str(large), split)
    assert (probe.sha256, probe.rows, probe.size_bytes) == (hashlib.sha256(data).hexdigest(), 50_000, len(data))
    assert [part.first for part in probe.ranges] == [0, *(part.stop for part in probe.ranges[:-1])]
    assert probe.ranges[-1].stop == 10
    assert [part.first_row for part in probe.ranges] == [part.first * 5000 for part in probe.ranges]
    assert [part.rows for part in probe.ranges] == [(part.stop - part.first) * 5000 for part in probe.ranges]
    tail = data[len(data) - probe.tail_bytes :]
    for part in probe.ranges:
        piece = data[part.start_byte : part.stop_byte]
        assert part.sha256 == hashlib.sha256(piece + tail).hexdigest()
        assert len(piece) <= split or part.stop - part.first == 1
        groups = pq.ParquetFile(
            pa.PythonFile(
                SparseFile({part.start_byte: piece, len(data) - probe.tail_bytes: tail}, len(data)), mode="r"
            ),
            pre_buffer=False,
        ).read_row_groups(list(range(part.first, part.stop)))
        expected = pq.ParquetFile(large).read_row_groups(list(range(part.first, part.stop)))
        assert groups.equals(expected)
    assert len({part.sha256 for part in probe.ranges}) == len(probe.ranges)


def test_a_probe_survives_its_text(large: Path) -> None:
    probe = probe_file(DISK, str(large), 300_000)
    assert FileProbe.from_text(probe.to_text()) == probe


def test_ranges_follow_from_the_file_alone(large: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.parquet"
    copy.write_bytes(large.read_bytes())
    assert probe_file(DISK, str(copy), 300_000) == probe_file(DISK, str(large), 300_000)


def test_a_footer_longer_than_what_readers_fetch_is_found(tmp_path: Path) -> None:
    wide = pa.table({f"column_{i:04d}_{'x' * 40}": pa.array(np.arange(3)) for i in range(800)})
    path = tmp_path / "wide.parquet"
    pq.write_table(wide, path, row_group_size=1)
    probe = probe_file(DISK, str(path), 1000)
    assert probe.tail_bytes > 64 * 1024
    assert (probe.rows, len(probe.ranges)) == (3, 3)


def test_a_large_file_without_row_groups_has_no_ranges(tmp_path: Path) -> None:
    path = tmp_path / "empty.parquet"
    pq.write_table(pa.table({f"column_{i}": pa.array([], pa.int64()) for i in range(100)}), path)
    pq.ParquetWriter(path, pa.schema({f"column_{i}": pa.int64() for i in range(100)})).close()
    probe = probe_file(DISK, str(path), 10)
    assert (probe.rows, probe.ranges) == (0, ())


@pytest.mark.parametrize("split", [10**9, 10])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:5],
        lambda data: data[: len(data) // 2],
        lambda data: data[:-4] + b"RAP1",
        lambda data: data[:-8] + b"\xff\xff\xff\x7f" + data[-4:],
        lambda data: data[:-40] + b"\xff" * 32 + data[-8:],
    ],
    ids=["nothing", "five bytes", "half", "another ending", "a footer longer than the file", "a damaged footer"],
)
def test_a_damaged_file_is_refused_by_name(
    large: Path, tmp_path: Path, damage: Callable[[bytes], bytes], split: int
) -> None:
    path = tmp_path / "damaged.parquet"
    path.write_bytes(damage(large.read_bytes()))
    with pytest.raises(InputError, match="no readable Parquet file") as caught:
        probe_file(DISK, str(path), split)
    assert caught.value.where == str(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no longer there"):
        probe_file(DISK, str(tmp_path / "none.parquet"), 10)


def test_reading_lets_our_own_errors_and_all_else_pass() -> None:
    for error in (InputError("ours"), KeyError("theirs"), KeyboardInterrupt()):
        with pytest.raises(type(error)), reading("file"):
            raise error


@given(
    pieces=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 30)), max_size=4, unique_by=lambda piece: piece[0]),
    reads=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 40))),
)
def test_a_sparse_file_gives_what_the_file_holds_or_fails(
    pieces: list[tuple[int, int]], reads: list[tuple[int, int]]
) -> None:
    data = bytes(range(100))
    sparse = SparseFile({at: data[at : at + size] for at, size in pieces}, 100)
    for at, size in reads:
        whole = io.BytesIO(data)
        whole.seek(at)
        expected = whole.read(size)
        sparse.seek(at)
        held = any(start <= at and at + len(expected) <= min(start + length, 100) for start, length in pieces)
        if held:
            assert sparse.read(size) == expected
            assert sparse.tell() == whole.tell()
        elif expected:
            with pytest.raises(OSError, match="were not read"):
                sparse.read(size)


def test_a_sparse_file_moves_as_files_do() -> None:
    sparse = SparseFile({0: b"0123456789"}, 10)
    assert (sparse.readable(), sparse.seekable()) == (True, True)
    assert (sparse.seek(4), sparse.seek(2, io.SEEK_CUR), sparse.seek(-3, io.SEEK_END)) == (4, 6, 7)
    assert sparse.read() == b"789"
    sparse.seek(0)
    assert sparse.read(None) == b"0123456789"
