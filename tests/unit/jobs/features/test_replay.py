"""Lockstep: what is loaded before which events, against the as-of rule said in plain words."""

import random

import pyarrow as pa
import pytest

from jobs.features.materialize import online_values
from jobs.features.replay import Step, lockstep
from scoretrail.feature.online import MemoryOnlineStore, decode_values, online_key
from tests.factory.stored import VIEW, at, loads, parcels

DEPOT = VIEW.stored[0]
Load = tuple[str, float, float, float]


def steps(rows: list[Load], *sent: tuple[str, float]) -> list[Step]:
    events = parcels(*((name, hours, "A", None) for name, hours in sent))
    return list(lockstep({"depot_load": loads(*rows)}, events, "sent_at"))


def shape(found: list[Step]) -> list[tuple[object, list[float], list[str]]]:
    return [
        (
            step.available_at,
            step.values["depot_load"]["waiting"].to_pylist() if step.values else [],
            step.events["parcel_id"].to_pylist(),
        )
        for step in found
    ]


def test_events_follow_the_values_that_they_may_see() -> None:
    rows = [("A", 1.0, 2.0, 5.0), ("A", 3.0, 4.0, 7.0)]
    assert shape(steps(rows, ("late", 4.0), ("first", 1.0), ("on time", 2.0), ("before", 3.99))) == [
        (None, [], ["first"]),
        (at(2), [5.0], ["on time", "before"]),
        (at(4), [7.0], ["late"]),
    ]


def test_times_without_events_are_one_step_with_what_stands() -> None:
    rows = [("A", 1.0, 1.0, 1.0), ("A", 3.0, 3.0, 3.0), ("A", 2.0, 4.0, 2.0), ("B", 2.0, 2.0, 9.0)]
    assert shape(steps(rows, ("only", 5.0))) == [(at(4), [3.0, 9.0], ["only"])]


def test_what_comes_after_the_last_event_is_not_loaded() -> None:
    assert shape(steps([("A", 1.0, 3.0, 5.0)], ("only", 2.0))) == [(None, [], ["only"])]


def test_no_events_are_no_steps_and_no_values_one() -> None:
    assert steps([("A", 1.0, 1.0, 1.0)]) == []
    assert shape(steps([], ("b", 2.0), ("a", 1.0))) == [(None, [], ["a", "b"])]


@pytest.mark.parametrize("seed", range(10))
def test_a_store_loaded_in_lockstep_gives_each_event_what_was_known(seed: int) -> None:
    """The rule, told independently: of the values available by then, the latest described, and of these the last."""
    random_ = random.Random(seed)
    made = {(random_.choice("AB"), random_.randrange(8), random_.randrange(12)) for _ in range(30)}
    rows = [(entity, float(event), float(known), float(n)) for n, (entity, event, known) in enumerate(sorted(made))]
    events = parcels(*((f"p{n}", random_.randrange(24) / 2, random_.choice("AB"), None) for n in range(40)))
    store, seen = MemoryOnlineStore(), {}
    for step in lockstep({"depot_load": loads(*random_.sample(rows, len(rows)))}, events, "sent_at"):
        for values in step.values.values():
            store.write(online_values(VIEW, DEPOT, values))
        for event in step.events.to_pylist():
            key = online_key(VIEW.name, DEPOT.name, DEPOT.layout.schema8, event["depot"])
            (seen[event["parcel_id"]],) = (
                decode_values(DEPOT, store.read([key], 1)).values.column("waiting").to_pylist()
            )
    for event in events.to_pylist():
        known = [row for row in rows if row[0] == event["depot"] and at(row[2]) <= event["sent_at"]]
        wanted = max(known, key=lambda row: row[1:3])[3] if known else None
        assert seen[event["parcel_id"]] == wanted
    assert len(seen) == events.num_rows


def test_each_event_is_sent_once_and_in_order() -> None:
    events = parcels(*((f"p{n}", hours, "A", None) for n, hours in enumerate((3.0, 1.0, 3.0, 2.0))))
    found = pa.concat_tables([step.events for step in lockstep({}, events, "sent_at")])
    assert found["parcel_id"].to_pylist() == ["p1", "p3", "p0", "p2"]
