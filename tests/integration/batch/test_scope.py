"""What a run may touch: the slices it was asked for, of its own input, model and role."""

import shutil

import pytest

from scoretrail.errors import ExitCode, InputError, OutputTableError, UsageError
from tests.factory.registered import open_registry
from tests.factory.workshop import CHALLENGER, CHAMPION, Workshop, bits_by_key, records

DAYS = ("2013-12-01", "2013-12-02", "2013-12-03")


def days(shop: Workshop) -> set[str]:
    return set(shop.rows()["ds"].to_pylist())


def test_two_days_one_after_the_other_do_not_touch_each_other(shop: Workshop) -> None:
    shop.write_days(DAYS[:2])
    first = shop.score(slices=("ds=2013-12-01",))
    live = shop.live_paths()
    assert days(shop) == {"2013-12-01"}
    second = shop.score(slices=("ds=2013-12-02",))
    assert live < shop.live_paths()
    assert not first.scopes.keys() & second.scopes.keys()
    alone = bits_by_key(shop.rows())
    together = shop.copy("together")
    together.score()
    assert bits_by_key(together.rows()) == alone
    assert shop.score().status == "unchanged"  # scored one by one is scored


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        (("ds=1",), {("1", "0"), ("1", "1")}),
        (("hour=1",), {("1", "1"), ("2", "1")}),
        (("ds=2/hour=0",), {("2", "0")}),
        (("ds=1", "hour=0"), {("1", "0")}),
        (("ds=1", "ds=2"), {("1", "0"), ("1", "1"), ("2", "0"), ("2", "1")}),
    ],
)
def test_a_slice_selects_all_leaves_below_it(
    shop: Workshop, slices: tuple[str, ...], expected: set[tuple[str, str]]
) -> None:
    for i in range(4):
        shop.write(f"ds={i // 2 + 1}/hour={i % 2}/a.parquet", records(5, i * 5))
    shop.score(slices=slices)
    rows = shop.rows()
    assert set(zip(rows["ds"].to_pylist(), rows["hour"].to_pylist(), strict=True)) == expected


@pytest.mark.parametrize(
    ("slices", "error", "message"),
    [
        (("month=12",), UsageError, "not partitioned by 'month'"),
        (("2013-12-01",), UsageError, "is no slice"),
        (("ds=2013-12-24",), InputError, "no Parquet files"),
    ],
)
def test_a_slice_that_is_not_there(shop: Workshop, slices: tuple[str, ...], error: type, message: str) -> None:
    shop.write_days(DAYS)
    with pytest.raises(error, match=message):
        shop.score(slices=slices)


def test_a_slice_is_found_by_its_value_however_its_folder_spells_it(shop: Workshop) -> None:
    shop.write("at=05%3A00/a.parquet", records(5))
    shop.write("at=06%3A00/a.parquet", records(5, 5))
    shop.score()
    shutil.rmtree(shop.input / "at=05%3A00")
    assert shop.score(slices=("at=06%3A00",)).rows["skipped"] == 5
    assert shop.score(slices=("at=05:00",), allow_remove=True).rows["removed"] == 5


def test_a_root_inside_a_partition_is_refused(shop: Workshop) -> None:
    shop.write_days(DAYS)
    with pytest.raises(UsageError, match="inside a partition") as caught:
        shop.score(input=str(shop.input / "ds=2013-12-01"))
    assert "--slice ds=2013-12-01" in str(caught.value.fix)


def test_files_at_different_depths_are_refused(shop: Workshop) -> None:
    shop.write("a.parquet", records(5))
    shop.write("ds=1/a.parquet", records(5))
    with pytest.raises(InputError, match="partitioned in different ways"):
        shop.score()


def test_a_named_dataset_may_move(shop: Workshop) -> None:
    shop.write_days(DAYS)
    shop.score(dataset="parcels")
    moved = shop.folder / "elsewhere"
    shop.input.rename(moved)
    assert shop.score(dataset="parcels", input=str(moved)).status == "unchanged"
    assert shop.score(dataset="others", input=str(moved)).rows["scored"] == 120


def test_an_input_without_a_name_is_another_one_where_it_lies(shop: Workshop) -> None:
    shop.write_days(DAYS[:1])
    shop.score()
    other = shop.folder / "elsewhere"
    shutil.copytree(shop.input, other)
    run = shop.score(input=str(other))
    assert (run.rows["scored"], run.files["removed"]) == (40, 0)
    assert shop.rows().num_rows == 80


def test_roots_are_known_by_one_spelling(shop: Workshop) -> None:
    shop.write_days(DAYS[:1])
    shop.score()
    for spelling in (f"{shop.input}/", f"file://{shop.input}", f"{shop.folder}/../{shop.folder.name}/input"):
        assert shop.score(input=spelling, output=f"{shop.output}/").status == "unchanged"


def test_the_role_is_the_alias_else_what_was_asked_for(shop: Workshop) -> None:
    shop.write_days(DAYS[:1])
    for model, role, expected in (
        (CHALLENGER, None, "challenger"),
        (CHALLENGER, "challenger", "challenger"),
        ("models:/parcel/1.0.0", None, "champion"),
        ("models:/parcel/1.0.0", "shadow", "shadow"),
    ):
        assert shop.score(model, role=role).model["role"] == expected
    with pytest.raises(UsageError, match="contradicts"):
        shop.score(CHAMPION, role="challenger")
    assert sorted(set(shop.rows()["role"].to_pylist())) == ["challenger", "champion", "shadow"]
    assert shop.rows().num_rows == 120


def test_an_alias_that_moved_replaces_the_rows_of_its_role(shop: Workshop, tmp_path: object) -> None:
    registry = shop.folder / "registry"
    shutil.copytree(shop.registry, registry)
    shop.registry = registry
    shop.write_days(DAYS[:2])
    shop.score()
    open_registry(registry).move_alias("parcel", "champion", "2.0.0")
    run = shop.score()
    assert (run.rows["scored"], run.files["removed"]) == (80, 2)
    assert set(shop.rows()["model_version"].to_pylist()) == {"2.0.0"}


def test_the_model_may_be_a_folder(shop: Workshop) -> None:
    shop.write_days(DAYS[:1])
    run = shop.score(str(shop.registry / "parcel" / "1.0.0"))
    assert (run.model["role"], run.model["location"]) == ("champion", str(shop.registry / "parcel" / "1.0.0"))
    assert shop.score("models:/parcel/1.0.0").status == "unchanged"


@pytest.mark.parametrize("column", ["carrier", "n_items"])
def test_a_table_may_be_partitioned_by_a_column_of_the_record(shop: Workshop, column: str) -> None:
    shop.write_days(DAYS[:2], rows=60)
    shop.score()
    plain = shop.copy(column)
    run = plain.score(partition_by=(column,))
    values = set(records(120)[column].to_pylist())
    rows = plain.rows()
    assert set(rows[column].to_pylist()) == values
    assert rows[column].to_pylist() == records(120)[column].to_pylist()
    assert run.output["files_added"] == sum(len(set(records(60, i * 60)[column].to_pylist())) for i in range(2))
    assert bits_by_key(rows) == bits_by_key(shop.rows())
    assert plain.score(partition_by=(column,)).status == "unchanged"
    shutil.rmtree(plain.input / "ds=2013-12-01")
    assert plain.score(partition_by=(column,), allow_remove=True).rows["removed"] == 60


def test_a_table_may_be_partitioned_by_some_of_the_input_s_keys_and_by_both(shop: Workshop) -> None:
    for i in range(4):
        shop.write(f"ds={i // 2}/hour={i % 2}/a.parquet", records(20, i * 20))
    shop.score(partition_by=("hour",))
    assert [name for name, _ in shop.table().partitions] == ["hour"]
    both = shop.copy("both")
    both.score(partition_by=("ds", "carrier"))
    assert [name for name, _ in both.table().partitions] == ["ds", "carrier"]
    assert bits_by_key(both.rows()) == bits_by_key(shop.rows())


def test_partitions_do_not_change_under_a_table(shop: Workshop) -> None:
    shop.write_days(DAYS[:1])
    shop.score()
    with pytest.raises(OutputTableError, match="partitioned in another way"):
        shop.score(partition_by=("carrier",))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("carier", "did you mean carrier"),
        ("sent_at", "a value of its own"),
        ("parcel_id", "a value of its own"),
        ("weight_kg", "cannot be partitioned by 'weight_kg'"),
    ],
)
def test_a_partition_column_that_will_not_do(shop: Workshop, column: str, message: str) -> None:
    shop.write_days(DAYS[:1])
    with pytest.raises(UsageError, match=message) as caught:
        shop.score(partition_by=(column,))
    assert caught.value.exit_code is ExitCode.USAGE
