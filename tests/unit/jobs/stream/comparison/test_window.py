"""A window adds up what both made of the same events, by bundles and by segment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from jobs.stream.comparison.window import ComparisonPolicy, Counts, Opinion, Pair, Window, figures

BEGAN = datetime(2013, 12, 1, tzinfo=UTC)
ENDED = datetime(2013, 12, 1, 0, 1, tzinfo=UTC)


def opinion(score: float, decision: str | None = "yes", version: str = "1.0.0") -> Opinion:
    return Opinion(score, decision, version, f"digest of {version}")


def pair(a: float, b: float, x: str | None = "yes", y: str | None = "yes", segment: str | None = None) -> Pair:
    return Pair(opinion(a, x), opinion(b, y, "2.0.0"), segment)


def test_distances_and_agreement() -> None:
    found = figures([pair(0.5, 0.5 + i / 100, y="yes" if i < 90 else "no") for i in range(100)])
    assert (found.pairs, found.agreement) == (100, 0.9)
    assert found.mean == pytest.approx(0.495)
    assert found.p95 == pytest.approx(0.9405)
    assert found.maximum == pytest.approx(0.99)


def test_where_nothing_is_decided_nothing_agrees() -> None:
    assert figures([pair(1, 2, None, None)]).agreement is None
    assert figures([pair(1, 2, None, "yes"), pair(1, 2, None, None)]).agreement == 0.0


def test_segments_are_told_apart_up_to_a_limit() -> None:
    policy = ComparisonPolicy(source="recorded", segment="carrier", max_segments=2)
    pairs = [pair(0, 1, segment=name) for name in ["UA", "UA", "UA", "AA", "AA", "DL", "B6"]] + [pair(0, 1)]
    report = Window(policy, BEGAN, pairs).report(ENDED)
    assert [(one["segment"], one["pairs"]) for one in entries(report)] == [
        (None, 8),
        ({"column": "carrier", "value": "UA"}, 3),
        ({"column": "carrier", "value": "AA"}, 2),
        ({"column": "carrier", "others": 3}, 3),
    ]


def test_bundles_are_told_apart() -> None:
    pairs = [pair(0, 1), Pair(opinion(0, version="1.1.0"), opinion(3, version="2.0.0"))]
    found = entries(Window(ComparisonPolicy(source="events"), BEGAN, pairs).report(ENDED))
    assert [(one["champion"]["version"], one["distance"]["max"]) for one in found] == [("1.0.0", 1.0), ("1.1.0", 3.0)]


def test_a_report_says_what_was_not_compared_and_how_it_was() -> None:
    window = Window(ComparisonPolicy(source="events"), BEGAN, [], Counts(unmatched=1, refused=2, skipped=3))
    assert window.report(ENDED) == {
        "began_at": "2013-12-01T00:00:00.000000Z",
        "comparisons": [],
        "ended_at": "2013-12-01T00:01:00.000000Z",
        "pinned": False,
        "refused": 2,
        "skipped": 3,
        "source": "events",
        "unmatched": 1,
    }
    assert Window(ComparisonPolicy(source="recorded"), BEGAN).report(ENDED)["pinned"] is True


def entries(report: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = report["comparisons"]
    return found
