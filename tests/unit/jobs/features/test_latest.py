"""Which value of an entity stands."""

import random

import pyarrow as pa
import pytest

from jobs.features.latest import known_at, latest, refuse_bad
from jobs.features.materialize import online_values
from jobs.features.table import OfflineTable
from scoretrail.errors import InputError
from scoretrail.feature.online import MemoryOnlineStore
from tests.factory.stored import VIEW, at, loads

DEPOT = VIEW.stored[0]
ROWS = [
    ("A", 1.0, 2.0, 1.0),
    ("A", 3.0, 4.0, 2.0),
    ("A", 2.0, 5.0, 3.0),  # available later, of an earlier time: it came too late to stand
    ("A", 3.0, 6.0, 4.0),  # a correction of the second
    ("B", 2.0, 2.0, 5.0),
    ("B", 1.0, 2.0, 6.0),
]


def standing(rows: list[tuple[str, float, float, float]], until: float) -> dict[str, float]:
    found = latest(known_at(loads(*rows), at(until)))
    return dict(zip(found["entity"].to_pylist(), found["waiting"].to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        (1.9, {}),
        (2.0, {"A": 1.0, "B": 5.0}),
        (4.0, {"A": 2.0, "B": 5.0}),
        (5.0, {"A": 2.0, "B": 5.0}),
        (6.0, {"A": 4.0, "B": 5.0}),
    ],
)
def test_the_latest_event_time_stands_and_of_these_the_last_to_come(until: float, expected: dict[str, float]) -> None:
    assert standing(ROWS, until) == expected


def test_the_online_store_keeps_the_same_in_any_order() -> None:
    random_ = random.Random(1)
    for _ in range(20):
        store = MemoryOnlineStore()
        store.write(online_values(VIEW, DEPOT, loads(*random_.sample(ROWS, len(ROWS)))))
        wanted = MemoryOnlineStore()
        wanted.write(online_values(VIEW, DEPOT, latest(loads(*ROWS))))
        assert store.values == wanted.values
        assert len(wanted.values) == 2


def test_all_times_are_known_without_a_limit() -> None:
    assert known_at(loads(*ROWS), None).num_rows == len(ROWS)
    assert latest(loads()).num_rows == 0


def table_of(values: pa.Table) -> tuple[pa.Table, OfflineTable]:
    return values, OfflineTable(DEPOT, "there", ())


def test_good_values_pass() -> None:
    refuse_bad(*table_of(loads(*ROWS)))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("A", 1.0, 2.0, 1.0), ("A", 1.0, 2.0, 9.0)], "several values"),
        ([(None, 1.0, 2.0, 1.0)], "without an entity or a time"),
        ([("A", None, 2.0, 1.0)], "without an entity or a time"),
        ([("A", 1.0, None, 1.0)], "without an entity or a time"),
    ],
)
def test_values_that_nobody_can_put_in_order_are_refused(
    rows: list[tuple[str | None, float | None, float | None, float]], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        refuse_bad(*table_of(loads(*rows)))
    assert caught.value.where == "there"


def test_the_order_of_rows_plays_no_part() -> None:
    assert standing(ROWS[::-1], 6) == standing(ROWS, 6)
