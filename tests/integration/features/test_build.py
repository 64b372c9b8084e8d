"""The as-of join on real flights against the same rule in plain Python; counting, reuse and refusal on small tables."""

import bisect
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from examples.flights.stored import SETS, StoredFlights
from jobs.batch.spark.engine import SparkEngine
from jobs.features.build import BuildOutcome, BuildRequest, build
from jobs.features.partition import MARKER
from jobs.progress import SilentProgress
from scoretrail import digest
from scoretrail.config import SparkSettings
from scoretrail.errors import DataError, InputChangedError, InputError, SchemaMismatchError, UsageError
from scoretrail.feature import Stored, training_inputs
from tests.factory.stored import SOURCE, UTC_US, at, loads, parcels, times, write
from tests.factory.stored import VIEW as PARCELS
from tests.integration.features.conftest import VIEW, build_flights

# --- Real flights -------------------------------------------------------------------------------------------------


def rows_of(root: Path) -> pa.Table:
    files = sorted(path for path in root.rglob("*.parquet") if "_scoretrail" not in path.parts)
    return pa.concat_tables([pq.read_table(path, partitioning=None) for path in files])


@dataclass
class Known:
    """What became known of one entity, in order: the value that stood after each availability."""

    at: list[datetime] = field(default_factory=list)
    standing: list[dict[str, Any]] = field(default_factory=list)


def history(root: Path) -> dict[str, Known]:
    """Return the rule in plain words: by availability; a value stands unless a later event time was known before."""
    found: dict[str, Known] = {}
    values = sorted(rows_of(root).to_pylist(), key=lambda value: (value["available_at"], value["event_time"]))
    for value in values:
        known = found.setdefault(value["entity"], Known())
        if known.standing and known.standing[-1]["event_time"] > value["event_time"]:
            continue
        known.at.append(value["available_at"])
        known.standing.append(value)
    return found


def expected_of(stored: Stored, record: dict[str, Any], known: dict[str, Known]) -> dict[str, Any]:
    key = record[stored.key]
    values = known.get(key.strip().upper()) if key else None
    place = bisect.bisect_right(values.at, record["sched_dep_at"]) if values else 0
    value = values.standing[place - 1] if values and place else {}
    return {
        **{one.name: value.get(one.name) for one in stored.fields},
        stored.event_time: value.get("event_time"),
        stored.available_at: value.get("available_at"),
    }


@pytest.mark.parametrize("part", ["december", "training"])
def test_the_join_gives_what_the_rule_gives(flights: StoredFlights, part: str, request: pytest.FixtureRequest) -> None:
    built = {row["flight_id"]: row for row in rows_of(request.getfixturevalue(part)).to_pylist()}
    records = rows_of(getattr(flights, part)).to_pylist()
    tables = {stored.name: history(flights.table(stored.name)) for stored in VIEW.stored}
    assert len(built) == len(records) > 2000
    for record in records:
        wanted = dict(record)
        for stored in VIEW.stored:
            wanted |= expected_of(stored, record, tables[stored.name])
        assert built[record["flight_id"]] == wanted


def test_nothing_of_the_future_is_there_and_something_of_the_past(december: Path) -> None:
    table = rows_of(december)
    for stored in VIEW.stored:
        known = [
            (known, at)
            for known, at in zip(table[stored.available_at].to_pylist(), table["sched_dep_at"].to_pylist(), strict=True)
            if known is not None
        ]
        assert len(known) > table.num_rows / 2
        assert all(known <= at for known, at in known)
    assert table["plane__event_time"].null_count > 0, "some planes are not in the register"
    assert table["tail_number"].null_count > 0, "cancelled flights have no plane"


def test_the_view_takes_what_was_built_and_batch_scoring_would_find_it(december: Path, flights: StoredFlights) -> None:
    table = rows_of(december)
    assert table.column_names == list(VIEW.record_columns)
    inputs, kept = training_inputs(VIEW, table)
    assert inputs.num_rows == len(kept) == table.num_rows
    weather = table.filter(pc.is_null(table["origin_weather__event_time"]))
    assert weather.num_rows == 0, "after its end the weather is old, not missing"
    folders = sorted(path.name for path in december.iterdir())
    assert folders == ["_scoretrail", *sorted(path.name for path in flights.december.iterdir())]


def test_files_are_in_order_and_repeat_their_bytes(
    december: Path, flights: StoredFlights, engine: SparkEngine, tmp_path: Path
) -> None:
    build_flights(flights, flights.december, tmp_path / "again", engine)
    names = [
        sorted(path.relative_to(root).as_posix() for path in root.rglob("*.parquet"))
        for root in (december, tmp_path / "again")
    ]
    assert names[0] == names[1], "a name holds the digest of its bytes"
    for name in names[0]:
        table = pq.read_table(december / name, partitioning=None)
        keys = list(zip(table["sched_dep_at"].to_pylist(), table["flight_id"].to_pylist(), strict=True))
        assert keys == sorted(keys)


def test_what_is_there_is_reused_without_spark(december: Path, flights: StoredFlights) -> None:
    idle = SparkEngine(SparkSettings(master="local[2]"), "idle")
    outcome = build_flights(flights, flights.december, december, idle)
    assert not idle.has_started
    assert (outcome.partitions_built, outcome.partitions_reused) == (0, 3)
    assert outcome.rows_reused == rows_of(flights.december).num_rows
    assert set(outcome.found) == set(SETS)


# --- Small tables -------------------------------------------------------------------------------------------------


@dataclass
class Shop:
    """Records, two tables and an output."""

    folder: Path
    engine: SparkEngine

    def write(self, name: str, table: pa.Table, **options: Any) -> Path:
        return write(table, self.folder / name, **options)

    def build(self, *slices: str, stored: tuple[str, ...] = ("depot_load", "route_time")) -> BuildOutcome:
        request = BuildRequest(
            view=PARCELS,
            features_sha256=digest.of_bytes(SOURCE),
            records=str(self.folder / "records"),
            stored=tuple(f"{name}={self.folder / name}" for name in stored),
            output=str(self.folder / "built"),
            slices=slices,
        )
        return build(request, {}, self.engine, SilentProgress())

    def built(self, column: str) -> dict[str, Any]:
        table = rows_of(self.folder / "built")
        ids = table["parcel_id"].to_pylist()
        assert len(set(ids)) == len(ids)
        return dict(zip(ids, table[column].to_pylist(), strict=True))


@pytest.fixture
def shop(tmp_path: Path, engine: SparkEngine) -> Iterator[Shop]:
    shop = Shop(tmp_path, engine)
    shop.write("depot_load/ds=1/v.parquet", loads(("A", 1, 2, 1.0), ("B", 1, 2, 2.0)))
    shop.write("depot_load/ds=2/v.parquet", loads(("A", 26, 27, 3.0)))
    shop.write("route_time/v.parquet", times(("7", 0, 0, 30)))
    shop.write("records/ds=1/r.parquet", parcels(("a", 1.5, "A", 7), ("b", 3, " b ", 8), ("c", 3, "A", None)))
    shop.write("records/ds=2/r.parquet", parcels(("d", 30, "A", 7)))
    yield shop
    assert not list((tmp_path / "built" / "_scoretrail").glob("attempt-*")), "nothing is left behind"


def test_keys_are_spelt_as_the_view_spells_them_and_integers_are_keys_too(shop: Shop) -> None:
    shop.build()
    assert shop.built("waiting") == {"a": None, "b": 2.0, "c": 1.0, "d": 3.0}
    assert shop.built("shift") == {"a": None, "b": "shift 2", "c": "shift 1", "d": "shift 3"}
    assert shop.built("minutes") == {"a": 30, "b": None, "c": None, "d": 30}
    assert shop.built("depot") == {"a": "A", "b": " b ", "c": "A", "d": "A"}, "the record stays as it came"


def test_ties_and_late_comers_end_as_in_the_store(shop: Shop) -> None:
    shop.write(
        "depot_load/ds=1/v.parquet",
        loads(
            ("A", 1, 2, 1.0),
            ("A", 1.5, 2, 2.0),  # of one availability: the later event time
            ("A", 0.5, 2.5, 3.0),  # comes later, describes an earlier time
            ("A", 1.5, 2.75, 4.0),  # a correction
        ),
    )
    shop.write("records/ds=1/r.parquet", parcels(*((f"{t}", t, "A", 7) for t in (1.99, 2, 2.5, 2.75))))
    shop.build()
    assert shop.built("waiting") == {"1.99": None, "2": 2.0, "2.5": 2.0, "2.75": 4.0, "d": 3.0}


def test_a_changed_input_is_joined_again_and_only_that(shop: Shop) -> None:
    first = shop.build()
    assert (first.partitions_built, first.rows_built, first.found) == (2, 4, {"depot_load": 3, "route_time": 2})
    shop.write("depot_load/ds=2/v.parquet", loads(("A", 26, 27, 4.0)))
    second = shop.build()
    assert (second.partitions_built, second.partitions_reused) == (1, 1), "day 1 is over before the change"
    assert shop.built("waiting")["d"] == 4.0
    assert first.build != second.build
    third = shop.build()
    assert (third.partitions_built, third.partitions_reused, third.build) == (0, 2, second.build)


def test_a_new_day_does_not_touch_the_days_before(shop: Shop) -> None:
    shop.build()
    shop.write("depot_load/ds=3/v.parquet", loads(("A", 50, 51, 5.0)))
    shop.write("records/ds=3/r.parquet", parcels(("e", 52, "A", 7)))
    outcome = shop.build()
    assert (outcome.partitions_built, outcome.partitions_reused) == (1, 2)
    assert shop.built("waiting")["e"] == 5.0


def test_a_table_whose_values_all_come_later_gives_none(shop: Shop) -> None:
    shop.write("route_time/v.parquet", times(("7", 60, 60, 30)))
    shop.build()
    assert set(shop.built("minutes").values()) == {None}


def test_an_input_that_changes_meanwhile_is_not_published(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.features import join

    right = join.write_joined

    def slow(*arguments: Any) -> Any:
        found = right(*arguments)
        shop.write("depot_load/ds=1/v.parquet", loads(("A", 1, 2, 1.5)))
        return found

    monkeypatch.setattr(join, "write_joined", slow)
    with pytest.raises(InputChangedError):
        shop.build()
    assert not list((shop.folder / "built").rglob("*.parquet"))


def test_slices_are_built_alone(shop: Shop) -> None:
    assert shop.build("ds=2").rows_built == 1
    assert set(shop.built("waiting")) == {"d"}


def test_the_trail_names_every_input(shop: Shop) -> None:
    outcome = shop.build()
    trail = json.loads((shop.folder / "built" / "_scoretrail" / "builds" / f"{outcome.build}.json").read_bytes())
    assert digest.of_json(trail) == outcome.build
    for files, name in ((trail["records"], "records"), *((one, key) for key, one in trail["tables"].items())):
        there = {
            path.relative_to(shop.folder / name).as_posix(): path for path in (shop.folder / name).rglob("*.parquet")
        }
        assert {path: sha256 for path, sha256, _ in files["files"]} == {
            path: digest.of_bytes(file.read_bytes()) for path, file in there.items()
        }
    marker = json.loads((shop.folder / "built" / "ds=1" / MARKER).read_bytes())
    assert (marker["build"], marker["rows"]) == (outcome.build, 3)
    assert marker["inputs"]["tables"]["depot_load"]["files"] == 1, "of day 2 nothing was available"


def test_a_root_without_partitions_and_rows_without_any(shop: Shop) -> None:
    (shop.folder / "records" / "ds=1" / "r.parquet").rename(shop.folder / "records" / "r.parquet")
    (shop.folder / "records" / "ds=2" / "r.parquet").unlink()
    shop.write("records/empty.parquet", parcels())
    outcome = shop.build()
    assert (outcome.partitions_built, outcome.rows_built) == (1, 3)
    assert shop.built("waiting") == {"a": None, "b": 2.0, "c": 1.0}


def test_columns_of_several_widths_are_one(shop: Shop) -> None:
    wide = parcels(("e", 30, "A", 7))
    at_ = wide.schema.get_field_index("route")
    shop.write("records/ds=2/wide.parquet", wide.set_column(at_, "route", wide["route"].cast(pa.int32())))
    assert shop.build().rows_built == 5
    assert shop.built("minutes")["e"] == 30


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("A", 1, 2, 1.0), ("A", 1, 2, 2.0)], "several values"),
        ([("A", None, 2, 1.0)], "without an entity or a time"),
        ([(None, 1, 2, 1.0)], "without an entity or a time"),
    ],
)
def test_a_table_without_an_order_is_refused(shop: Shop, rows: list[Any], message: str) -> None:
    shop.write("depot_load/ds=1/v.parquet", loads(*rows))
    with pytest.raises(InputError, match=message):
        shop.build()
    assert not list((shop.folder / "built").rglob("*.parquet"))


def test_what_is_missing_is_named(shop: Shop) -> None:
    with pytest.raises(UsageError, match="--stored route_time=TABLE"):
        shop.build(stored=("depot_load",))
    table = parcels(("d", 30, "A", 7)).drop_columns(["weight"])
    shop.write("records/ds=2/r.parquet", table)
    with pytest.raises(SchemaMismatchError, match="'weight' is missing"):
        shop.build()
    nanoseconds = parcels(("d", 30, "A", 7)).set_column(
        1, "sent_at", pa.array([at(30)], UTC_US).cast(pa.timestamp("ns", "UTC"))
    )
    shop.write("records/ds=2/r.parquet", nanoseconds)
    with pytest.raises(SchemaMismatchError, match="nanoseconds"):
        shop.build()


def test_the_output_lies_elsewhere_than_the_records(shop: Shop) -> None:
    request = BuildRequest(
        view=PARCELS,
        features_sha256=digest.of_bytes(SOURCE),
        records=str(shop.folder / "records"),
        stored=(),
        output=str(shop.folder / "records" / "built"),
    )
    with pytest.raises(UsageError, match="one folder"):
        build(request, {}, shop.engine, SilentProgress())


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT * FROM ({joined}) WHERE parcel_id <> 'b'", "2 rows"),
        ("SELECT * FROM ({joined}) UNION ALL SELECT * FROM ({joined}) WHERE parcel_id = 'b'", "4 rows"),
    ],
)
def test_a_join_that_loses_or_doubles_rows_is_refused(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, sql: str, message: str
) -> None:
    """The negative control of the count: the join is spoilt on purpose."""
    from jobs.features import join

    right = join._joined

    def wrong(records: Any, *rest: Any) -> Any:
        session = records.sparkSession
        right(records, *rest).createOrReplaceTempView("spoilt")
        return session.sql(sql.format(joined="SELECT * FROM spoilt"))

    monkeypatch.setattr(join, "_joined", wrong)
    with pytest.raises(DataError, match="did not give each record once") as caught:
        shop.build()
    assert message in str(caught.value)
    assert not list((shop.folder / "built").rglob("*.parquet"))


def test_as_many_rows_but_not_the_same_ones_are_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.features import join

    right = join._joined

    def wrong(records: Any, *rest: Any) -> Any:
        session = records.sparkSession
        right(records, *rest).createOrReplaceTempView("spoilt")
        return session.sql(
            "SELECT * FROM spoilt WHERE parcel_id <> 'b' UNION ALL SELECT * FROM spoilt WHERE parcel_id = 'c'"
        )

    monkeypatch.setattr(join, "_joined", wrong)
    with pytest.raises(DataError, match="not the same ones"):
        shop.build()
