"""Loading the online store: what stands is written, once and for all, and never over something newer."""

from pathlib import Path

import pytest

from jobs.features.materialize import Materialized, materialize, online_values
from jobs.features.table import open_tables
from jobs.features.values import read_table
from jobs.progress import SilentProgress
from scoretrail.clock import utc_text
from scoretrail.errors import InputError
from scoretrail.feature.online import MemoryOnlineStore, decode_values, online_key
from tests.factory.stored import VIEW, at, loads, times, write

DEPOT, ROUTE = VIEW.stored


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(loads(("A", 1, 2, 5.0), ("B", 1, 2, 6.0)), tmp_path / "t" / "ds=1" / "values.parquet")
    write(loads(("A", 3, 4, 7.0), ("C", 3, 4, None)), tmp_path / "t" / "ds=2" / "values.parquet")
    return tmp_path / "t"


def load(root: Path, store: MemoryOnlineStore, hours: float | None = None) -> Materialized:
    (table,) = open_tables(VIEW, [f"depot_load={root}"], {}, SilentProgress())
    until = None if hours is None else at(hours)
    return materialize(VIEW, table, store, {}, SilentProgress(), until)


def waiting(store: MemoryOnlineStore, *entities: str) -> list[float | None]:
    keys = [online_key("parcel_live", "depot_load", DEPOT.layout.schema8, entity) for entity in entities]
    decoded = decode_values(DEPOT, store.read(keys, 1))
    assert not decoded.damaged
    found: list[float | None] = decoded.values.column("waiting").to_pylist()
    return found


def test_the_latest_value_of_each_entity_is_written(root: Path) -> None:
    store = MemoryOnlineStore()
    done = load(root, store)
    assert (done.values, done.entities, done.written, done.older, done.up_to) == (4, 3, 3, 0, None)
    assert waiting(store, "A", "B", "C", "D") == [7.0, 6.0, None, None]
    assert len(store.values) == 3, "C has a value, which is null; D has none"


def test_nothing_of_after_the_time_is_written(root: Path) -> None:
    store = MemoryOnlineStore()
    done = load(root, store, 3.9)
    assert (done.values, done.entities, done.up_to) == (2, 2, utc_text(at(3.9)))
    assert waiting(store, "A", "B", "C") == [5.0, 6.0, None]


def test_doing_it_again_changes_nothing(root: Path) -> None:
    store = MemoryOnlineStore()
    first = load(root, store)
    before = dict(store.values)
    assert load(root, store) == first
    assert store.values == before


def test_an_older_state_never_takes_the_newers_place(root: Path) -> None:
    store = MemoryOnlineStore()
    load(root, store)
    before = dict(store.values)
    done = load(root, store, 2)
    assert (done.written, done.older) == (1, 1), "B has no newer value"
    assert store.values == before


def test_the_digest_tells_what_the_store_was_given(root: Path) -> None:
    whole = load(root, MemoryOnlineStore())
    early = load(root, MemoryOnlineStore(), 2)
    assert whole.values_sha256 != early.values_sha256
    assert whole.table_sha256 == early.table_sha256
    write(loads(("A", 3, 4, 7.0), ("C", 3, 4, 1.0)), root / "ds=2" / "values.parquet")
    changed = load(root, MemoryOnlineStore())
    assert changed.values_sha256 != whole.values_sha256
    assert changed.table_sha256 != whole.table_sha256


def test_rows_in_another_order_and_other_files_give_the_same_values(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    rows = (("C", 3, 4, None), ("B", 1, 2, 6.0), ("A", 3, 4, 7.0), ("A", 1, 2, 5.0))
    write(loads(*rows), other / "values.parquet")
    assert load(other, MemoryOnlineStore()).values_sha256 == load(root, MemoryOnlineStore()).values_sha256


def test_a_repeated_value_is_found_across_files(root: Path) -> None:
    write(loads(("C", 3, 4, 9.0)), root / "ds=3" / "values.parquet")
    with pytest.raises(InputError, match="several values"):
        load(root, MemoryOnlineStore())


def test_layouts_lie_side_by_side(root: Path, tmp_path: Path) -> None:
    store = MemoryOnlineStore()
    load(root, store)
    folder = write(times(("7", 1, 1, 30)), tmp_path / "routes" / "values.parquet").parent
    (table,) = open_tables(VIEW, [f"route_time={folder}"], {}, SilentProgress())
    (value,) = online_values(VIEW, ROUTE, read_table(table, {}))
    assert value.key == f"fs:parcel_live:route_time:{ROUTE.layout.schema8}:7"
    assert value.key not in store.values
    assert ROUTE.layout.schema8 != DEPOT.layout.schema8
