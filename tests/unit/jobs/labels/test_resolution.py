"""Which of several labels counts: the latest, unless others say otherwise; whatever order they came in."""

from __future__ import annotations

from datetime import datetime
from itertools import permutations

import pytest

from jobs.labels.resolution import Label, Resolution, from_text, resolve, to_text
from tests.factory.labelled import at

ONE, TWO, THREE = (at(day) for day in (1, 2, 3))


@pytest.mark.parametrize(
    ("labels", "outcome", "known_at", "replaced", "repeated"),
    [
        pytest.param([("1", ONE)], "1", ONE, 0, 0, id="one"),
        pytest.param([("1", ONE), ("1", TWO)], "1", ONE, 0, 1, id="said again"),
        pytest.param([("0", ONE), ("1", TWO)], "1", TWO, 1, 0, id="corrected"),
        pytest.param([("0", ONE), ("1", TWO), ("1", THREE)], "1", TWO, 1, 1, id="corrected, said again"),
        pytest.param([("0", ONE), ("1", TWO), ("0", THREE)], "0", THREE, 1, 1, id="corrected back"),
        pytest.param([("1", ONE), ("0", ONE)], None, ONE, 0, 0, id="conflict"),
        pytest.param([("1", ONE), ("0", ONE), ("0", TWO)], "0", TWO, 1, 1, id="conflict that was settled"),
        pytest.param([("1", None)], "1", None, 0, 0, id="no time"),
        pytest.param([("1", None), ("0", None)], None, None, 0, 0, id="conflict without a time"),
        pytest.param([("1", None), ("0", ONE)], None, ONE, 0, 0, id="one without a time disagrees"),
        pytest.param([("1", None), ("1", ONE)], "1", ONE, 0, 1, id="one without a time agrees"),
    ],
)
def test_what_labels_come_to(
    labels: list[Label], outcome: str | None, known_at: datetime | None, replaced: int, repeated: int
) -> None:
    for order in permutations(labels):
        found = resolve([*order, *order])
        assert found == Resolution(outcome, known_at, len(labels), replaced)
        assert found.repeated == repeated


def test_labels_as_text_are_in_order_of_time_and_read_back() -> None:
    labels = [("late", TWO), ("on time", None), ("late", ONE), ("early", ONE)]
    text = to_text(labels)
    assert text == (
        '[["on time", null], ["early", "2013-12-03T12:00:00.000000Z"], '
        '["late", "2013-12-03T12:00:00.000000Z"], ["late", "2013-12-04T12:00:00.000000Z"]]'
    )
    assert sorted(from_text(text), key=str) == sorted(labels, key=str)
