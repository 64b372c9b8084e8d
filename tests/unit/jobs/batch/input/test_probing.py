"""What was seen of input files is remembered, and forgotten where it is not to be believed."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.batch.input.listing import InputFile, InputRoot, input_root, list_files
from jobs.batch.input.probe import FileProbe, RowGroupRange
from jobs.batch.input.probing import ProbeCache, probe_all, probe_paths
from jobs.progress import SilentProgress
from scoretrail.errors import InputError, StorageError
from scoretrail.storage import Storage
from tests.factory.workshop import InlineEngine

ROOT = InputRoot("/data", "/data")
PROBE = FileProbe("a" * 64, 10, 100, 20, (RowGroupRange(0, 1, 0, 10, 4, 80, "b" * 64),))


def file(path: str = "a.parquet", size: int = 100, mtime_ns: int = 7) -> InputFile:
    return InputFile(path, size, mtime_ns, "", ())


def test_a_file_is_remembered_by_path_size_and_time() -> None:
    storage = Storage("memory://")
    ProbeCache(storage, ROOT, 1000).remember([(file(), PROBE)])
    cache = ProbeCache(storage, ROOT, 1000)
    assert cache.get(file()) == PROBE
    assert cache.get(file("b.parquet")) is None
    assert cache.get(file(size=101)) is None
    assert cache.get(file(mtime_ns=8)) is None


def test_another_root_and_another_split_size_have_caches_of_their_own() -> None:
    storage = Storage("memory://")
    ProbeCache(storage, ROOT, 1000).remember([(file(), PROBE)])
    assert ProbeCache(storage, InputRoot("/other", "/data"), 1000).get(file()) is None
    assert ProbeCache(storage, ROOT, 2000).get(file()) is None


def test_a_newer_version_of_a_file_takes_the_place_of_the_older() -> None:
    storage = Storage("memory://")
    cache = ProbeCache(storage, ROOT, 1000)
    cache.remember([(file(), PROBE), (file("b.parquet"), PROBE)])
    cache.remember([(file(mtime_ns=8), PROBE)])
    cache.remember([])
    again = ProbeCache(storage, ROOT, 1000)
    assert (again.get(file()), again.get(file(mtime_ns=8)), again.get(file("b.parquet"))) == (None, PROBE, PROBE)


def test_what_is_forgotten_is_forgotten_for_good() -> None:
    storage = Storage("memory://")
    cache = ProbeCache(storage, ROOT, 1000)
    cache.remember([(file(), PROBE)])
    cache.forget()
    assert cache.get(file()) is None
    assert ProbeCache(storage, ROOT, 1000).get(file()) is None


@pytest.mark.parametrize("damage", [b"", b"no parquet file", None])
def test_a_damaged_cache_is_no_cache(damage: bytes | None) -> None:
    storage = Storage("memory://")
    ProbeCache(storage, ROOT, 1000).remember([(file(), PROBE)])
    [entry] = storage.list("cache")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"other": [1]}), sink)
    storage.put(entry.key, sink.getvalue().to_pybytes() if damage is None else damage)
    cache = ProbeCache(storage, ROOT, 1000)
    assert cache.get(file()) is None
    cache.remember([(file(), PROBE)])
    assert ProbeCache(storage, ROOT, 1000).get(file()) == PROBE


class Counting(SilentProgress):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[int | None, int] | int] = []

    def start(self, total_rows: int | None, total_tasks: int, what: str = "scoring") -> None:
        self.told.append((total_rows, total_tasks))

    def update(self, done_rows: int, done_tasks: int) -> None:
        self.told.append(done_tasks)


class Elsewhere(InlineEngine):
    """Stands for an engine whose tasks run on other machines."""

    is_local = False


def write(folder: Path, n: int) -> InputRoot:
    for i in range(n):
        pq.write_table(pa.table({"n": range(i + 1)}), folder / f"{i}.parquet")
    return input_root(str(folder))


@pytest.mark.parametrize("engine", [InlineEngine(), Elsewhere()], ids=["threads", "tasks"])
def test_files_that_are_not_remembered_are_looked_at_in_the_order_given(tmp_path: Path, engine: Any) -> None:
    root = write(tmp_path, 9)
    files = list_files(root, (), {})
    storage = Storage("memory://")
    progress = Counting()
    probed = probe_all(root, files, ProbeCache(storage, root, 10**6), 10**6, {}, engine, progress)
    assert [(one.path, probe.rows) for one, probe in probed] == [(f"{i}.parquet", i + 1) for i in range(9)]
    assert progress.told[0] == (None, 9)
    again = Counting()
    assert probe_all(root, files, ProbeCache(storage, root, 10**6), 10**6, {}, engine, again) == probed
    assert again.told == []
    assert probe_all(root, files, None, 10**6, {}, engine, again) == probed  # --rehash
    assert again.told[0] == (None, 9)


@pytest.mark.parametrize("engine", [InlineEngine(), Elsewhere()], ids=["threads", "tasks"])
def test_a_file_that_cannot_be_read_ends_it(tmp_path: Path, engine: Any) -> None:
    root = write(tmp_path, 3)
    (tmp_path / "1.parquet").write_bytes(b"no parquet file")
    with pytest.raises(InputError) as caught:
        probe_all(root, list_files(root, (), {}), None, 10**6, {}, engine, SilentProgress())
    assert str(caught.value.where).endswith("1.parquet")


def test_errors_that_a_retry_may_mend_are_raised_in_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path, 2)

    def fail(*_: object) -> None:
        raise StorageError("the network is away")

    monkeypatch.setattr("jobs.batch.input.probing.probe_file", fail)
    with pytest.raises(StorageError):
        list(probe_paths(iter(["0.parquet"]), (root.uri, {}, 10**6)))
