"""Bad input: each kind is told by its file, and leaves nothing half published."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jobs.progress import SilentProgress
from scoretrail.errors import (
    ExitCode,
    InputChangedError,
    InputError,
    RegistryError,
    SchemaMismatchError,
    ScoretrailError,
)
from tests.factory.workshop import Workshop, bits_by_key, records, with_values


def refused(shop: Workshop, error: type[ScoretrailError], match: str, **settings: object) -> ScoretrailError:
    """Score, expect the error, and look that nothing was published."""
    before = shop.table().version
    with pytest.raises(error, match=match) as caught:
        shop.score(settings=settings)
    assert shop.table().version == before
    return caught.value


@pytest.mark.parametrize("which", ["a", "b"], ids=["the first file", "a later file"])
@pytest.mark.parametrize(
    ("column", "other", "match", "fix"),
    [
        ("weight_kg", None, "column 'weight_kg' is missing", "did you mean 'weight_kgs'?"),
        ("weight_kg", pa.array(["heavy"] * 20), "cannot be widened", "change the view"),
        ("weight_kg", pa.array([1.0] * 20, pa.float64()), "cannot be widened", "change the view"),
        ("weight_kg", pa.array([1] * 20, pa.int64()), "cannot be widened", "change the view"),
        ("sent_at", pa.array(["2013-12-01"] * 20), "cannot be widened", "change the view"),
    ],
    ids=["missing", "text", "double", "int64", "time as text"],
)
def test_a_column_that_does_not_fit(
    shop: Workshop, which: str, column: str, other: pa.Array | None, match: str, fix: str
) -> None:
    shop.write("ds=1/a.parquet", records(20))
    shop.write("ds=1/b.parquet", records(20, 20))
    bad = records(20, 0, **{column: other})
    if other is None:
        bad = bad.append_column("weight_kgs", pa.array([1.0] * 20, pa.float32()))
    shop.write(f"ds=1/{which}.parquet", bad)
    error = refused(shop, SchemaMismatchError, match)
    assert error.exit_code is ExitCode.DATA
    assert f"ds=1/{which}.parquet" in str(error.where)
    assert fix in str(error.fix)


def test_columns_that_widen_or_are_not_asked_for_do_no_harm(shop: Workshop) -> None:
    plain = records(50, distance_km=pa.array(np.arange(50), pa.float32()))
    shop.write("a.parquet", plain)
    shop.score()
    other = shop.copy("widened")
    widened = records(
        50,
        distance_km=pa.array(np.arange(50), pa.int16()),
        parcel_id=plain["parcel_id"].combine_chunks().dictionary_encode(),
        sent_at=plain["sent_at"].cast(pa.timestamp("ms", tz="America/New_York")),
        weight_kg=plain["weight_kg"],
        unasked=pa.array([object.__name__] * 50),
    )
    other.write("a.parquet", widened.select(list(reversed(widened.schema.names))))
    other.score()
    assert bits_by_key(other.rows()) == bits_by_key(shop.rows())
    assert other.rows()["sent_at"].to_pylist() == shop.rows()["sent_at"].to_pylist()


def test_a_time_that_cannot_be_kept_exactly_is_refused(shop: Workshop) -> None:
    times = pa.array([1_385_856_000_000_000_001 + i for i in range(10)], pa.timestamp("ns", tz="UTC"))
    shop.write("a.parquet", records(10, sent_at=times))
    error = refused(shop, SchemaMismatchError, "'sent_at' cannot be cast without loss")
    assert str(error.where).endswith("input/a.parquet")


def _truncate(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _damage_footer(path: Path) -> None:
    data = bytearray(path.read_bytes())
    at = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    data[at : at + 16] = b"\xff" * 16
    path.write_bytes(data)


def _damage_magic(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4] + b"RAP1")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _damage_page(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4 : len(data) // 4] = os.urandom(len(data) // 4 - 4)
    path.write_bytes(data)


@pytest.mark.parametrize("which", ["a", "b"], ids=["the first file", "a later file"])
@pytest.mark.parametrize("damage", [_truncate, _damage_footer, _damage_magic, _empty, _damage_page])
def test_a_damaged_file_is_named(shop: Workshop, damage: Callable[[Path], None], which: str) -> None:
    shop.write("ds=1/a.parquet", records(500))
    shop.write("ds=1/b.parquet", records(500, 500))
    damage(shop.input / "ds=1" / f"{which}.parquet")
    error = refused(shop, InputError, "no readable Parquet file")
    assert error.exit_code is ExitCode.DATA
    assert str(error.where).endswith(f"ds=1/{which}.parquet")
    (shop.input / "ds=1" / f"{which}.parquet").unlink()
    assert shop.score().rows["scored"] == 500


def test_a_parquet_file_without_rows_is_scored_to_none(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", records(0))
    shop.write("ds=1/b.parquet", records(5))
    run = shop.score()
    assert (run.rows["in"], run.files["scored"]) == (5, 2)
    assert shop.score().status == "unchanged"


@pytest.mark.parametrize("make", [True, False], ids=["empty", "missing"])
def test_an_empty_or_missing_folder(shop: Workshop, make: bool) -> None:
    if make:
        shop.input.mkdir(parents=True)
    error = refused(shop, InputError, "no Parquet files" if make else "cannot be listed")
    assert error.where == str(shop.input)
    assert not Path(shop.output).exists()


def test_a_file_instead_of_a_folder(shop: Workshop) -> None:
    path = shop.write("a.parquet", records(5))
    with pytest.raises(InputError):
        shop.score(input=str(path))


def test_a_model_that_is_not_there(shop: Workshop) -> None:
    shop.write("a.parquet", records(5))
    with pytest.raises(RegistryError, match="champian"):
        shop.score("models:/parcel@champian")


class Meddler(SilentProgress):
    """Does something to the input at the moment when scoring begins."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def start(self, total_rows: int | None, total_tasks: int, what: str = "scoring") -> None:
        if what == "scoring":
            self.act()


def test_a_file_that_changes_between_plan_and_score(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", records(100))
    shop.write("ds=1/b.parquet", records(100, 100))
    shop.write("ds=2/c.parquet", records(100, 200))
    with pytest.raises(InputChangedError, match="changed after it was planned") as caught:
        shop.job(progress=Meddler(lambda: shop.write("ds=1/b.parquet", records(100, 300)))).score()
    assert caught.value.exit_code is ExitCode.RETRY
    assert "b.parquet" in str(caught.value)
    assert not shop.table().exists
    assert shop.score().rows["scored"] == 300  # the same command then succeeds, with the new bytes
    assert set(shop.rows()["parcel_id"].to_pylist()) == set(
        pa.concat_tables([records(100), records(100, 200), records(100, 300)])["parcel_id"].to_pylist()
    )


def test_a_file_that_changes_without_betraying_it_by_size_and_time(shop: Workshop) -> None:
    def rewrite(start: int) -> None:
        table = records(100, start, carrier=None, speed=None)
        path = shop.write("a.parquet", table, compression="none", use_dictionary=False)
        os.utime(path, ns=(1_385_856_000_000_000_000,) * 2)

    rewrite(0)
    with pytest.raises(InputChangedError):
        shop.job(progress=Meddler(lambda: rewrite(100))).score()
    assert shop.score().rows["scored"] == 100
    assert shop.rows()["parcel_id"].to_pylist() == records(100, 100)["parcel_id"].to_pylist()


def test_a_file_that_vanishes_between_plan_and_score(shop: Workshop) -> None:
    shop.write("a.parquet", records(100))
    path = shop.write("b.parquet", records(100, 100))
    with pytest.raises(InputError, match="no longer there"):
        shop.job(progress=Meddler(path.unlink)).score()
    assert shop.score().rows["scored"] == 100


def test_an_error_that_no_retry_mends_ends_the_run_at_once(shop: Workshop) -> None:
    for i in range(8):
        shop.write(f"{i}.parquet", records(50, i * 50))
    shop.write("8.parquet", records(50, 400, weight_kg=None))
    run_ids = shop.store().run_ids()
    with pytest.raises(SchemaMismatchError):
        shop.score(settings={"batch.pack_files": 1})
    [run_id] = set(shop.store().run_ids()) - set(run_ids)
    assert shop.store().status(run_id) == "unfinished"
    shop.write("8.parquet", records(50, 400))
    assert shop.score().rows["scored"] == 450


def test_a_record_that_the_model_cannot_take_names_the_file(shop: Workshop) -> None:
    shop.write("a.parquet", with_values("height_m", {0: -1.0}, 10))  # density divides by height + 1
    run = shop.score(settings={"batch.max_reject_ratio": 1.0})
    assert run.reasons == {"infinite": 1}
    assert shop.rejects()["field"].to_pylist() == ["density"]
