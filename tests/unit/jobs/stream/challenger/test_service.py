"""A challenger has everything of its own, and says when it cannot score what the champion recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.stream.challenger.service import Shadow
from jobs.stream.handling.handler import Handler
from jobs.stream.handling.lookup import Lookup, StorePolicy
from jobs.stream.loop.turn import Outcome, Turn
from jobs.stream.message.envelope import EventPolicy
from jobs.stream.message.identity import Identity, Topics
from jobs.stream.port import Partition
from jobs.stream.record import Record
from jobs.stream.service import ServiceRequest
from scoretrail.clock import SystemClock
from scoretrail.config import load
from scoretrail.errors import ConfigurationError
from scoretrail.model.bundle import open_bundle
from scoretrail.model.registry import Registry
from scoretrail.storage import Storage
from tests.factory import example
from tests.factory.registered import Registered
from tests.factory.workshop import CHALLENGER, CHAMPION, make_registry

LATE_MS = 4_000_000_000_000


@pytest.fixture
def registry(tmp_path: Path, registered_linear: Registered, registered_trees: Registered) -> Registry:
    folder = make_registry(tmp_path / "registry", registered_linear, registered_trees)
    return Registry(Storage(str(folder)), SystemClock())


def published(registry: Registry, n: int) -> list[Record]:
    """Return the champion's predictions of events, as records of their topic."""
    rows = example.parcels(example.ROWS).slice(0, n).to_pylist()
    values = [json.dumps({**row, "sent_at": f"{row['sent_at']:%Y-%m-%dT%H:%M:%SZ}"}).encode() for row in rows]
    events = [Record("events", 0, i, LATE_MS, b"k", value) for i, value in enumerate(values)]
    topics = Topics(predictions="predictions", dead_letters="dead-letters")
    bundle = open_bundle(registry.resolve(CHAMPION).files)
    handler = Handler(bundle, Lookup(None, StorePolicy.PAUSE), topics, Identity(app="scoretrail", cluster="c1"))
    messages = handler.handle(events)
    return [Record(one.topic, 0, i, LATE_MS, one.key, one.value, one.headers) for i, one in enumerate(messages)]


def shadow(registry: Registry, **more: Any) -> Shadow:
    settings = {"stream.model": CHAMPION, "stream.group": "late", "challenger.model": CHALLENGER}
    overrides = settings | {name.replace("__", "."): value for name, value in more.items()}
    return Shadow(load(overrides), registry, ServiceRequest(slot="0"), SystemClock())


def test_it_has_a_group_a_transactional_id_and_topics_of_its_own(registry: Registry) -> None:
    found = shadow(registry)
    stream = found._settings.stream
    assert (stream.group, found._member) == ("late-challenger", "scoretrail-late-challenger-0")
    assert (stream.input, stream.predictions, stream.dead_letters) == (
        ("predictions",),
        "challenger-predictions",
        "challenger-dead-letters",
    )
    assert (stream.model, stream.health_port) == (CHALLENGER, 8322)


def test_events_are_read_where_it_was_asked_for_or_where_the_segment_is_not_recorded(registry: Registry) -> None:
    assert shadow(registry, challenger__source="events")._settings.stream.input == ("events",)
    assert shadow(registry, challenger__segment="parcel_id")._settings.stream.input == ("events",)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"challenger__group": "late"}, "member of the champion's group"),
        ({"challenger__predictions": "predictions"}, "topic of the champion's"),
        ({"challenger__dead_letters": "dead-letters"}, "topic of the champion's"),
        ({"challenger__predictions": "events"}, "topic of the champion's"),
        ({"challenger__model": None}, "no challenger is named"),
        ({"stream__model": None}, "nothing to compare"),
        ({"challenger__source": "recorded", "challenger__segment": "parcel_id"}, "cannot score what the champion"),
    ],
)
def test_what_would_touch_the_champion_or_compare_nothing_is_refused(
    registry: Registry, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        shadow(registry, **settings)


def test_what_was_aborted_is_not_compared_and_what_was_committed_is_compared_once(
    registry: Registry, tmp_path: Path
) -> None:
    found = shadow(registry, challenger__report=str(tmp_path / "report.jsonl"))
    handler = found._served.load().handler
    records = published(registry, 5)
    handler.handle(records)
    found._settle(Turn(Outcome.ABORTED))
    assert found._window.pairs == []
    handler.handle(records)
    found._settle(Turn(Outcome.ABORTED, offsets={Partition("predictions", 0): 3}))  # a part of it was committed before
    assert len(found._window.pairs) == 3
    handler.handle(records[3:])
    found._settle(Turn(Outcome.COMMITTED, offsets={Partition("predictions", 0): 5}, dead_letters=1))
    found._close_window()
    (line,) = (tmp_path / "report.jsonl").read_text(encoding="utf-8").splitlines()
    report = json.loads(line)
    (compared,) = report["comparisons"]
    assert (compared["pairs"], report["refused"], report["pinned"]) == (5, 1, True)
    assert b"scoretrail_stream_challenger_pairs_total 5.0" in found._metrics.text()
    found._close_window()
    assert len((tmp_path / "report.jsonl").read_text(encoding="utf-8").splitlines()) == 1  # nothing new, no line


def test_a_report_that_cannot_be_written_stops_nothing(registry: Registry, tmp_path: Path) -> None:
    found = shadow(registry, challenger__report=str(tmp_path / "nowhere" / "report.jsonl"))
    handler = found._served.load().handler
    handler.handle(published(registry, 1))
    found._settle(Turn(Outcome.COMMITTED, offsets={Partition("predictions", 0): 1}))
    found._close_window()
    assert b"scoretrail_stream_challenger_pairs_total 1.0" in found._metrics.text()


def test_what_an_event_may_be_comes_from_the_settings(registry: Registry) -> None:
    found = shadow(registry, stream__max_event_bytes=10, stream__max_event_headers=2, stream__max_future_s=3)
    assert found._event_policy() == EventPolicy(max_value_bytes=10, max_headers=2, max_future_s=3)
    assert shadow(registry)._event_policy() == EventPolicy()
