"""``--where``: what is left out, what is not even read, and what a changed condition does to published rows."""

import pyarrow as pa
import pytest

from scoretrail.errors import ExitCode, PredicateError, RemovalLimitError
from tests.factory.workshop import Workshop, bits_by_key, records, with_values


def parcels(shop: Workshop) -> list[str]:
    return [str(parcel) for parcel in shop.rows()["parcel_id"].to_pylist()]


def test_rows_for_which_it_is_true_are_scored_with_their_physical_numbers(shop: Workshop) -> None:
    shop.write("a.parquet", records(200), row_group_size=50)
    shop.score()
    everything = bits_by_key(shop.rows())
    other = shop.copy("some")
    run = other.score(where="carrier in ('AIR', 'SEA') and n_items > 3")
    table = records(200)
    expected = [
        i
        for i, carrier, items in zip(
            range(table.num_rows), table["carrier"].to_pylist(), table["n_items"].to_pylist(), strict=True
        )
        if carrier in ("AIR", "SEA") and items > 3
    ]
    assert 0 < len(expected) < 100
    assert other.rows()["source_row"].to_pylist() == expected
    assert (run.rows["in"], run.rows["filtered"], run.rows["scored"]) == (200, 200 - len(expected), len(expected))
    chosen = bits_by_key(other.rows())
    assert chosen == {key: everything[key] for key in chosen}
    assert run.input["where"] == "carrier IN ('AIR', 'SEA') AND n_items > 3"


def test_files_that_cannot_match_are_not_opened(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", records(20))
    shop.write("ds=2/a.parquet", records(20, 20))
    shop.write("ds=2/b.parquet", with_values("n_items", dict.fromkeys(range(20), 100), 20, 40))
    run = shop.score(where="ds = '2' AND n_items < 50")
    assert run.input["files"] == 1
    assert set(shop.rows()["source_path"].to_pylist()) == {"ds=2/a.parquet"}


@pytest.mark.parametrize(
    ("where", "paths"),
    [
        ("ds IS NULL", {"ds=__HIVE_DEFAULT_PARTITION__/a.parquet"}),
        ("ds = '1'", {"ds=1/a.parquet"}),
        ("NOT ds = '1'", {"ds=2/a.parquet"}),
        ("ds <> '1' OR ds IS NULL", {"ds=2/a.parquet", "ds=__HIVE_DEFAULT_PARTITION__/a.parquet"}),
    ],
)
def test_a_partition_may_be_null(shop: Workshop, where: str, paths: set[str]) -> None:
    for i, value in enumerate(("1", "2", "__HIVE_DEFAULT_PARTITION__")):
        shop.write(f"ds={value}/a.parquet", records(5, i * 5))
    shop.score(where=where)
    assert set(shop.rows()["source_path"].to_pylist()) == paths
    assert set(shop.rows()["ds"].to_pylist()) == {None if "HIVE" in path else path[3] for path in paths}


def test_of_a_key_in_folder_and_file_the_file_speaks(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", records(10, ds=pa.array([1] * 5 + [2] * 5, pa.int32())))
    shop.score(where="ds = 2")
    assert shop.rows()["source_row"].to_pylist() == [5, 6, 7, 8, 9]
    assert set(shop.rows()["ds"].to_pylist()) == {"1"}


def test_no_row_left_makes_a_file_without_rows(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", records(20))
    # The range of the file's values reaches over the condition, so only reading tells.
    run = shop.score(where="n_items > 1 AND n_items < 8 AND distance_km = 123.0")
    assert (run.status, run.rows["in"], run.rows["filtered"], run.rows["scored"]) == ("published", 20, 20, 0)
    [live] = shop.table().live_files()
    assert (live.rows, live.partition) == (0, {"ds": "1"})
    assert shop.rows().num_rows == 0
    assert shop.score(where="n_items > 1 AND n_items < 8 AND distance_km = 123.0").status == "unchanged"


def test_nothing_can_match(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", records(20))
    run = shop.score(where="n_items > 1000")
    assert (run.status, run.rows["in"], run.input["files"]) == ("unchanged", 0, 0)
    assert not shop.table().exists


def test_a_changed_condition_scores_again_and_removes_only_when_told_to(shop: Workshop) -> None:
    shop.write("a.parquet", records(100))
    shop.score(where="n_items > 2")
    wide = set(parcels(shop))
    with pytest.raises(RemovalLimitError):
        shop.score(where="n_items > 4")
    assert set(parcels(shop)) == wide
    run = shop.score(where="n_items > 4", allow_remove=True)
    assert run.rows["scored"] == sum(items > 4 for items in records(100)["n_items"].to_pylist())
    assert set(parcels(shop)) < wide
    run = shop.score(where="n_items > 2")  # a wider condition takes nothing away
    assert run.status == "published"
    assert set(parcels(shop)) == wide


def test_a_condition_that_prunes_published_files_is_refused_before_anything_is_scored(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", records(20))
    shop.write("ds=2/a.parquet", records(20, 20))
    shop.score()
    with pytest.raises(RemovalLimitError) as caught:
        shop.score(where="ds = '1'")
    assert caught.value.got == "20 rows"
    assert shop.rows().num_rows == 40


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("n_itms > 2", "did you mean n_items"),
        ("n_items > 'many'", "another type"),
        ("n_items > 2 LIMIT 5", "does not parse"),
        ("length(carrier) = 3", "compares columns with values"),
    ],
)
def test_a_bad_condition_is_a_usage_error(shop: Workshop, where: str, message: str) -> None:
    shop.write("a.parquet", records(5))
    with pytest.raises(PredicateError, match=message) as caught:
        shop.score(where=where)
    assert caught.value.exit_code is ExitCode.USAGE
    assert shop.store().run_ids() == []


def test_null_is_neither_in_a_list_nor_out_of_it(shop: Workshop) -> None:
    shop.write("a.parquet", with_values("carrier", {0: None, 1: "AIR", 2: "SEA"}, 3))
    shop.score(where="NOT carrier IN ('AIR')")
    assert shop.rows()["source_row"].to_pylist() == [2]
