"""Published rows whose input is gone: they go only when told to, and only within what the run covers."""

import shutil

import pyarrow.compute as pc
import pytest

from scoretrail.errors import ExitCode, InputError, RemovalLimitError
from tests.factory.workshop import CHALLENGER, Workshop, records

DAYS = ("2013-12-01", "2013-12-02", "2013-12-03")


def test_a_removed_file_is_refused_and_then_allowed(shop: Workshop) -> None:
    shop.write_days(DAYS[:2], files=2)
    shop.score()
    version, live = shop.table().version, shop.live_paths()
    (shop.input / "ds=2013-12-01" / "1.parquet").unlink()
    with pytest.raises(RemovalLimitError) as caught:
        shop.score()
    assert caught.value.exit_code is ExitCode.LIMIT
    assert (caught.value.got, caught.value.expected) == ("40 rows", "at most 0.00% of 160 rows")
    assert (shop.table().version, shop.live_paths()) == (version, live)
    run = shop.score(allow_remove=True)
    assert (run.status, run.rows["removed"], run.rows["scored"]) == ("published", 40, 0)
    assert shop.rows().num_rows == 120
    assert "ds=2013-12-01/1.parquet" not in set(shop.rows()["source_path"].to_pylist())


def test_a_ratio_lets_a_share_of_the_rows_go(shop: Workshop) -> None:
    shop.write_days(DAYS[:2], files=2)
    shop.score()
    (shop.input / "ds=2013-12-01" / "1.parquet").unlink()
    with pytest.raises(RemovalLimitError):
        shop.score(settings={"batch.max_remove_ratio": 0.24})
    assert shop.score(settings={"batch.max_remove_ratio": 0.25}).rows["removed"] == 40


@pytest.mark.parametrize("slices", [(), ("ds=2013-12-02",)], ids=["everything", "its slice"])
def test_a_day_that_vanished_goes_when_told_to(shop: Workshop, slices: tuple[str, ...]) -> None:
    shop.write_days(DAYS)
    shop.score()
    shutil.rmtree(shop.input / "ds=2013-12-02")
    with pytest.raises(RemovalLimitError):
        shop.score(slices=slices)
    run = shop.score(slices=slices, allow_remove=True)
    assert run.rows["removed"] == 40
    assert set(shop.rows()["ds"].to_pylist()) == {"2013-12-01", "2013-12-03"}


def test_every_day_may_vanish(shop: Workshop) -> None:
    shop.write_days(DAYS[:2])
    shop.score()
    for day in DAYS[:2]:
        shutil.rmtree(shop.input / f"ds={day}")
    assert shop.dry_run().rows_to_remove == 80
    with pytest.raises(RemovalLimitError):
        shop.score()
    assert shop.score(allow_remove=True).rows["removed"] == 80
    assert shop.rows().num_rows == 0
    with pytest.raises(InputError):  # the table knows no scope of this input any more
        shop.score()


def test_a_vanished_day_outside_the_slice_is_not_looked_at(shop: Workshop) -> None:
    shop.write_days(DAYS)
    shop.score()
    shutil.rmtree(shop.input / "ds=2013-12-02")
    assert shop.score(slices=("ds=2013-12-03",)).status == "unchanged"
    assert shop.rows().num_rows == 120


def test_a_file_that_vanished_for_one_role_stays_for_the_other(shop: Workshop) -> None:
    shop.write_days(DAYS[:2])
    shop.score()
    shop.score(CHALLENGER)
    shutil.rmtree(shop.input / "ds=2013-12-02")
    shop.score(allow_remove=True)
    rows = shop.rows()
    assert rows.filter(pc.equal(rows["role"], "champion")).num_rows == 40
    assert rows.filter(pc.equal(rows["role"], "challenger")).num_rows == 80


def test_a_file_with_fewer_rows_than_before_is_refused(shop: Workshop) -> None:
    shop.write("a.parquet", records(40))
    shop.score()
    shop.write("a.parquet", records(30))
    with pytest.raises(RemovalLimitError, match="published rows would go") as caught:
        shop.score()
    assert caught.value.got == "10 rows"
    [refused] = [one for one in shop.store().run_ids() if shop.store().status(one) == "refused"]
    assert shop.store().find(refused).rows["scored"] == 30  # type: ignore[union-attr]
    assert shop.rows().num_rows == 40
    assert shop.score(allow_remove=True).rows["scored"] == 30


def test_another_version_replaces_rows_without_being_allowed_to_remove(shop: Workshop) -> None:
    shop.write_days(DAYS[:2])
    shop.score("models:/parcel/1.0.0")
    run = shop.score("models:/parcel/1.1.0")
    assert (run.status, run.rows["removed"]) == ("published", 80)


def test_a_renamed_file_counts_as_removed(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", records(10))
    shop.score()
    (shop.input / "ds=1" / "a.parquet").rename(shop.input / "ds=1" / "b.parquet")
    with pytest.raises(RemovalLimitError):
        shop.score()
    shop.score(allow_remove=True)
    assert set(shop.rows()["source_path"].to_pylist()) == {"ds=1/b.parquet"}
