from pathlib import Path

import pytest

from jobs.batch.input.listing import InputRoot, input_root, list_files, matches, partition_values, slices_of
from scoretrail.errors import InputError, UsageError


def root_with(tmp_path: Path, *paths: str) -> InputRoot:
    for path in paths:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.encode())
    return input_root(str(tmp_path))


def listed(root: InputRoot, *slices: str) -> list[str]:
    return [file.path for file in list_files(root, slices, {})]


def test_files_are_listed_by_path_with_what_the_listing_tells(tmp_path: Path) -> None:
    root = root_with(tmp_path, "ds=2/b.parquet", "ds=1/c.parquet", "ds=1/a.parquet")
    files = list_files(root, (), {})
    assert [file.path for file in files] == ["ds=1/a.parquet", "ds=1/c.parquet", "ds=2/b.parquet"]
    stat = (tmp_path / "ds=1" / "a.parquet").stat()
    assert (files[0].size_bytes, files[0].mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert (files[0].slice, files[0].partition) == ("ds=1", (("ds", "1"),))
    assert slices_of(files) == ["ds=1", "ds=2"]


def test_hidden_temporary_and_other_files_are_no_data(tmp_path: Path) -> None:
    hidden = ("_SUCCESS", "_tmp/a.parquet", ".hidden/a.parquet", "ds=1/.a.parquet", "ds=1/_a.parquet", "ds=1/a.csv")
    assert listed(root_with(tmp_path, "ds=1/a.parquet", *hidden)) == ["ds=1/a.parquet"]


def test_a_folder_called_like_a_file_is_no_file(tmp_path: Path) -> None:
    root = root_with(tmp_path, "a.parquet")
    (tmp_path / "b.parquet").mkdir()
    assert listed(root) == ["a.parquet"]


def test_folders_without_a_key_are_part_of_the_path_only(tmp_path: Path) -> None:
    [file] = list_files(root_with(tmp_path, "year/ds=1/part/a.parquet"), (), {})
    assert (file.slice, file.partition) == ("ds=1", (("ds", "1"),))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.parquet", ()),
        ("a=b.parquet", ()),
        ("ds=1/a.parquet", (("ds", "1"),)),
        ("ds=1/ds=2/a.parquet", (("ds", "1"), ("ds", "2"))),
        ("k=a%20b%2Fc=d/a.parquet", (("k", "a b/c=d"),)),
        ("k=/a.parquet", (("k", ""),)),
    ],
)
def test_partition_values(path: str, expected: tuple[tuple[str, str], ...]) -> None:
    assert partition_values(path) == expected


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        (("ds=1",), {"ds=1/h=0/a.parquet", "ds=1/h=1/a.parquet"}),
        (("ds=1/h=1/",), {"ds=1/h=1/a.parquet"}),
        (("h=0",), {"ds=1/h=0/a.parquet", "ds=2/h=0/a.parquet"}),
        (("ds=1", "ds=2", "h=0"), {"ds=1/h=0/a.parquet", "ds=2/h=0/a.parquet"}),
        (("ds=3",), set()),
    ],
)
def test_slices_choose_leaves_and_matches_says_the_same(
    tmp_path: Path, slices: tuple[str, ...], expected: set[str]
) -> None:
    paths = [f"ds={day}/h={hour}/a.parquet" for day in (1, 2) for hour in (0, 1)]
    assert set(listed(root_with(tmp_path, *paths), *slices)) == expected
    assert {path for path in paths if matches(path.rpartition("/")[0], slices)} == expected


@pytest.mark.parametrize("slice_", ["2013", "=1", "", "ds=1//h=1"])
def test_a_slice_without_key_or_value_is_refused(tmp_path: Path, slice_: str) -> None:
    with pytest.raises(UsageError, match="is no slice"):
        listed(root_with(tmp_path, "ds=1/a.parquet"), slice_)


def test_a_slice_by_a_key_that_is_no_partition_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not partitioned by 'day'") as caught:
        listed(root_with(tmp_path, "ds=1/a.parquet"), "day=1")
    assert caught.value.got == "ds"
    assert not matches("ds=1", ["day=1"])


def test_files_at_different_depths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="different ways") as caught:
        listed(root_with(tmp_path, "ds=1/a.parquet", "a.parquet", "h=1/a.parquet"))
    assert caught.value.got == "none; ds; h"


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be listed"):
        listed(input_root(str(tmp_path / "nowhere")))


def test_a_root_has_its_uri_for_a_name_unless_it_is_given_one(tmp_path: Path) -> None:
    assert input_root("/data/flights").name == "/data/flights"
    assert input_root("/data/flights", "flights").name == "flights"


def test_a_root_within_a_partition_is_refused() -> None:
    with pytest.raises(UsageError, match="inside a partition") as caught:
        input_root("/data/flights/ds=1")
    assert caught.value.got == "ds=1"
