"""``scoretrail features``: what a command line must say, before anything is started."""

from pathlib import Path

import pytest

from tests.factory.stored import SOURCE, loads, write
from tests.unit.jobs.command.conftest import Call

VIEW = ("--view", "live.py:parcel_live")


@pytest.fixture
def place(tmp_path: Path, call: Call) -> Path:
    (tmp_path / "live.py").write_bytes(SOURCE)
    write(loads(("A", 1, 2, 5.0)), tmp_path / "loads" / "values.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ("live.py", "cannot be understood"),
        ("live.py:", "cannot be understood"),
        ("absent.py:view", "cannot be read"),
    ],
)
def test_a_view_that_is_none_is_refused(place: Path, call: Call, view: str, message: str) -> None:
    answer = call("features", "materialize", "--view", view, "--stored", "a=b", "--store", "redis://127.0.0.1:1/0")
    assert (answer.code, message in answer.err) == (2, True)


@pytest.mark.parametrize("time", ["yesterday", "2013-12-02", "2013-12-02T05:00"])
def test_a_time_without_a_zone_is_refused(place: Path, call: Call, time: str) -> None:
    store = ("--store", "redis://127.0.0.1:1/0")
    answer = call("features", "materialize", *VIEW, "--stored", "depot_load=loads", *store, "--up-to", time)
    assert (answer.code, "--up-to is no time" in answer.err) == (2, True)


def test_a_store_must_be_named(place: Path, call: Call) -> None:
    answer = call("features", "materialize", *VIEW, "--stored", "depot_load=loads")
    assert (answer.code, "no online store is named" in answer.err) == (78, True)


def test_a_store_that_is_away_is_tried_again_later(place: Path, call: Call) -> None:
    answer = call("features", "materialize", *VIEW, "--stored", "depot_load=loads", "--store", "redis://127.0.0.1:1/0")
    assert answer.code == 75


def test_a_build_names_the_tables_that_it_lacks(place: Path, call: Call) -> None:
    answer = call("features", "build", *VIEW, "--records", "x", "--stored", "depot_load=loads", "--output", "y")
    assert (answer.code, "--stored route_time=TABLE" in answer.err) == (2, True)
