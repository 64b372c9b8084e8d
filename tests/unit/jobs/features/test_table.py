"""Offline tables: which set is where, whether the columns fit, and which files matter until when."""

from pathlib import Path

import pyarrow as pa
import pytest

from jobs.features.table import digest_of, open_tables
from jobs.features.values import read_table
from jobs.progress import SilentProgress
from scoretrail.errors import FeatureViewError, InputError, SchemaMismatchError, UsageError
from scoretrail.feature.source import load_view
from tests.factory.stored import SOURCE, VIEW, at, loads, times, write

SILENT = SilentProgress()


@pytest.fixture
def depot(tmp_path: Path) -> Path:
    root = tmp_path / "depot_load"
    write(loads(("A", 1, 2, 5.0), ("B", 1, 2, 6.0)), root / "ds=1" / "values.parquet")
    write(loads(("A", 3, 4, 7.0), ("A", 4, 5, 8.0)), root / "ds=2" / "values.parquet")
    return root


def test_tables_come_in_the_views_order(tmp_path: Path, depot: Path) -> None:
    routes = write(times(("7", 1, 1, 30)), tmp_path / "routes" / "values.parquet").parent
    tables = open_tables(VIEW, [f"route_time={routes}", f"depot_load={depot}"], {}, SILENT)
    assert [table.stored.name for table in tables] == ["depot_load", "route_time"]
    assert [table.rows for table in tables] == [4, 1]


def test_a_files_first_availability_says_whether_it_matters(depot: Path) -> None:
    (table,) = open_tables(VIEW, [f"depot_load={depot}"], {}, SILENT)
    assert [(file.first, file.last) for file in table.files] == [(at(2), at(2)), (at(4), at(5))]
    found = {hours: [file.path for file in table.until(at(hours))] for hours in (1.9, 2, 3.9, 4)}
    first, second = "ds=1/values.parquet", "ds=2/values.parquet"
    assert found == {1.9: [], 2: [first], 3.9: [first], 4: [first, second]}
    assert len(table.until(None)) == 2


def test_a_file_without_statistics_always_matters(tmp_path: Path) -> None:
    root = write(loads(("A", 1, 2, 5.0)), tmp_path / "t" / "values.parquet", write_statistics=False).parent
    (table,) = open_tables(VIEW, [f"depot_load={root}"], {}, SILENT)
    assert table.until(at(0)) == table.files


def test_values_are_read_in_the_declared_types(tmp_path: Path) -> None:
    root = write(times(("7", 1, 1, 30)), tmp_path / "t" / "values.parquet").parent
    (table,) = open_tables(VIEW, [f"route_time={root}"], {}, SILENT)
    values = read_table(table, {})
    assert values.schema.field("minutes").type == pa.int32()
    assert values["minutes"].to_pylist() == [30]


def test_a_digest_knows_bytes_and_names(depot: Path) -> None:
    def sha256() -> str:
        return digest_of(open_tables(VIEW, [f"depot_load={depot}"], {}, SILENT)[0].files)

    before = sha256()
    assert sha256() == before
    (depot / "ds=2").rename(depot / "ds=3")
    renamed = sha256()
    write(loads(("A", 3, 4, 7.5), ("A", 4, 5, 8.0)), depot / "ds=3" / "values.parquet")
    assert len({before, renamed, sha256()}) == 3


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (["depot_load"], "cannot be understood"),
        (["depot_load="], "cannot be understood"),
        (["depot_lod=x"], "did you mean depot_load"),
        (["depot_load=x", "depot_load=y"], "given twice"),
    ],
)
def test_a_choice_that_is_none_is_refused(choices: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_tables(VIEW, choices, {}, SILENT)


def test_a_field_with_the_name_of_a_tables_column_is_refused(tmp_path: Path) -> None:
    view = load_view(SOURCE.replace(b'"waiting"', b'"entity"'), "parcel_live")
    with pytest.raises(FeatureViewError, match="'entity'"):
        open_tables(view, [f"depot_load={tmp_path}"], {}, SILENT)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no Parquet files"):
        open_tables(VIEW, [f"depot_load={tmp_path}"], {}, SILENT)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (loads(("A", 1, 1, 1.0)).drop_columns(["available_at"]), "'available_at' is missing"),
        (
            loads(("A", 1, 1, 1.0)).set_column(3, "waiting", pa.array([1.0], pa.float64())),
            "'waiting' has a type that cannot be widened",
        ),
        (
            loads(("A", 1, 1, 1.0)).set_column(1, "event_time", pa.array([at(1)], pa.timestamp("us"))),
            "'event_time' has a type",
        ),
        (
            loads(("A", 1, 1, 1.0)).set_column(1, "event_time", pa.array([at(1)], pa.timestamp("ns", "UTC"))),
            "nanoseconds",
        ),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path, table: pa.Table, message: str) -> None:
    write(table, tmp_path / "values.parquet")
    with pytest.raises(SchemaMismatchError, match=message):
        open_tables(VIEW, [f"depot_load={tmp_path}"], {}, SILENT)
