from __future__ import annotations

import re

from jobs.stream.message.identity import EventSource, Identity

BASE = Identity(app="my parcels", cluster="c1")


def test_an_id_follows_from_the_position_and_nothing_else() -> None:
    ids = {
        EventSource(identity, topic).outcome_id(partition, offset, outcome)
        for identity in (BASE, Identity(app="x", cluster="c2"), Identity(app="x", cluster="c1", role="challenger"))
        for topic in ("events", "events.redrive")
        for partition, offset, outcome in ((0, 11, 0), (0, 1, 10), (1, 1, 0), (11, 0, 0), (0, 11, 1))
    }
    assert len(ids) == 3 * 2 * 5
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)
    again = EventSource(Identity(app="another name", cluster="c1"), "events")
    assert again.outcome_id(0, 11, 0) == EventSource(BASE, "events").outcome_id(0, 11, 0)


def test_an_id_is_the_same_for_ever() -> None:
    """Readers keep ids: what changes this breaks every one of them."""
    assert EventSource(BASE, "events").outcome_id(3, 7, 0) == "e906e24911421921a5a18a7ea618cc60"


def test_a_source_is_a_relative_uri() -> None:
    assert EventSource(BASE, "a.b_c-d").uri == "/my%20parcels/c1/a.b_c-d"
