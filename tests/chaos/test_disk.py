"""The disk is full: a clear error, nothing published, and the same command finishes once there is room."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from jobs.batch.publication import publish
from scoretrail.errors import ExitCode, StorageError
from tests.factory.driver import Driver
from tests.factory.workshop import Workshop, records, with_values

KIB = 1024


def mount(place: Path, kib: int) -> bool:
    """Put a small disk of memory there; False where this user may not."""
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(place)], capture_output=True, check=False
    )
    return done.returncode == 0


@pytest.fixture
def small_disk(shop: Workshop) -> Iterator[Workshop]:
    """A workshop whose table lies on a disk of its own of 300 KiB."""
    if not mount(Path(shop.output), 300):
        pytest.skip("this user may not mount a tmpfs; the limit on a file's size is tested all the same")
    yield shop
    subprocess.run(["umount", "--lazy", shop.output], check=True)


def many_records() -> pa.Table:
    """Return so many that their scores fill a small disk."""
    return pa.concat_tables([records(10_000)] * 4)


def enlarge(shop: Workshop) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", shop.output], check=True)


def fill(shop: Workshop) -> Path:
    """Leave no byte free."""
    filler = Path(shop.output) / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 512)
        except OSError:
            return filler


def test_while_the_rows_are_written(small_disk: Workshop) -> None:
    shop = small_disk
    shop.write("ds=1/a.parquet", with_values("weight_kg", {3: -1.0}, 100))
    shop.score()
    before = shop.rows()
    for i in range(2):
        shop.write(f"ds={i}/large.parquet", many_records())
    with pytest.raises(StorageError) as caught:
        shop.score(run_id="r1")
    assert caught.value.exit_code is ExitCode.RETRY
    assert "cannot be written" in str(caught.value)
    assert "No space left on device" in str(caught.value)
    assert shop.rows().equals(before)
    work = shop.store().messages("r1", sorted(shop.store().work_keys("r1")))
    lying = {str(path.relative_to(shop.output)) for path in Path(shop.output).rglob("part-*.parquet")}
    assert lying == shop.live_paths() | {file.path for message in work for file in message.predictions}  # no half file
    enlarge(shop)
    assert shop.score(run_id="r1").rows["scored"] == 80_000
    assert shop.rows().num_rows == 80_099


@pytest.mark.parametrize("step", ["the commit", "the record"])
def test_at_the_commit(small_disk: Workshop, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    shop = small_disk
    shop.write("ds=1/a.parquet", with_values("weight_kg", {3: -1.0}, 100))
    shop.score()
    before = shop.rows()
    shop.write("ds=1/a.parquet", with_values("weight_kg", {4: -1.0}, 100, 100))
    original, fillers = publish.publish, []

    def on_a_full_disk(*arguments: Any) -> tuple[int, int | None]:
        if step == "the commit":
            fillers.append(fill(shop))
            return original(*arguments)
        versions = original(*arguments)
        fillers.append(fill(shop))
        return versions

    with monkeypatch.context() as patched:
        patched.setattr(publish, "publish", on_a_full_disk)
        with pytest.raises(StorageError) as caught:
            shop.score(run_id="r1")
    assert caught.value.exit_code is ExitCode.RETRY
    assert "No space left on device" in str(caught.value)
    assert shop.rows().equals(before) == (step == "the commit")
    fillers[0].unlink()
    assert shop.score(run_id="r1").status == "published"
    assert set(shop.rows()["run_id"].to_pylist()) == {"r1"}
    assert shop.rejects()["source_row"].to_pylist() == [4]


def test_before_anything_is_scored(small_disk: Workshop) -> None:
    shop = small_disk
    shop.write("a.parquet", records(100))
    filler = fill(shop)
    with pytest.raises(StorageError, match="storage operation failed") as caught:
        shop.score(run_id="r1")
    assert caught.value.exit_code is ExitCode.RETRY
    filler.unlink()
    assert shop.score(run_id="r1").rows["scored"] == 100


def test_a_limit_on_the_size_of_a_file(shop: Workshop) -> None:
    """The same without a disk of its own: the kernel refuses to let a file grow."""
    shop.write("a.parquet", many_records())
    code, answer = Driver(shop, file_bytes=100 * KIB, request={"run_id": "r1"}, engine="spark").finish()
    assert (code, answer["error"], answer["exit"]) == (0, "StorageError", 75)
    assert "an output file cannot be written" in answer["text"]
    assert "File too large" in answer["text"]
    assert "the same command goes on" in answer["text"]
    assert not shop.table().exists
    assert list(Path(shop.output).rglob("part-*.parquet")) == []
    assert shop.score(run_id="r1").rows["scored"] == 40_000
