"""How many published rows go without others in their place, seen on real tables."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs.batch.output.maintain import compact
from jobs.batch.plan.plan import Plan
from jobs.batch.plan.removal import check_removal
from jobs.batch.run import open_registry
from scoretrail.errors import RemovalLimitError
from tests.factory.workshop import Workshop, records, with_values


def plan_of(shop: Workshop, **request: Any) -> Plan:
    job = shop.job(**request)
    bundle, root = job._planner.resolve(open_registry(shop.resolved().settings))
    return job._planner.plan(bundle, root).plan


def going(shop: Workshop, limit: float = 1.0, **request: Any) -> int:
    return check_removal(plan_of(shop, **request), shop.table(), limit, None, {})


@pytest.fixture
def published(shop: Workshop) -> Workshop:
    for i in range(3):
        shop.write(f"ds=1/{i}.parquet", records(10, i * 10))
    shop.score()
    return shop


def test_nothing_goes_where_nothing_changed(published: Workshop) -> None:
    assert going(published, 0.0) == 0


def test_rows_of_a_vanished_file_go(published: Workshop) -> None:
    (published.input / "ds=1" / "1.parquet").unlink()
    assert going(published, 1 / 3) == 10
    with pytest.raises(RemovalLimitError) as caught:
        going(published, 0.33)
    assert (caught.value.got, caught.value.expected) == ("10 rows", "at most 33.00% of 30 rows")


def test_rows_that_are_scored_again_do_not_go(published: Workshop) -> None:
    published.write("ds=1/1.parquet", records(10, 500))
    assert going(published, 0.0) == 0
    assert going(published, 0.0, model="models:/parcel/1.1.0") == 0


@pytest.mark.parametrize("row_group_rows", [1000, 7])
def test_of_a_merged_file_each_row_counts_for_its_source(published: Workshop, row_group_rows: int) -> None:
    compact(published.table(), target_bytes=2**20, row_group_rows=row_group_rows, options={})
    published.write("ds=1/1.parquet", records(10, 500))
    assert going(published, 0.0) == 0
    (published.input / "ds=1" / "2.parquet").unlink()
    assert going(published) == 10


def test_after_scoring_rejected_rows_are_recorded_and_not_lost(published: Workshop) -> None:
    published.write("ds=1/1.parquet", with_values("weight_kg", {0: -1.0, 1: -1.0}, 10, 10))
    run = published.score(settings={"batch.max_reject_ratio": 1.0})
    assert (run.rows["rejected"], run.rows["removed"]) == (2, 10)


def test_a_table_without_statistics_is_counted_by_its_column(published: Workshop) -> None:
    for path in Path(published.output).rglob("part-*.parquet"):
        pq.write_table(pq.read_table(path, partitioning=None), path, write_statistics=False)
    (published.input / "ds=1" / "1.parquet").unlink()
    assert going(published) == 10
