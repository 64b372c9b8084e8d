from __future__ import annotations

from typing import Any

import pytest

from jobs.stream.handling import poison
from jobs.stream.handling.poison import Parted, score_apart
from jobs.stream.message.event import EventType
from jobs.stream.message.refusal import Reason, Refusal
from scoretrail.model.bundle import Bundle
from scoretrail.scoring import score_batch
from tests.factory.streamed import event, numbers, picky


def apart(bundle: Bundle, xs: list[float]) -> Parted:
    rows = EventType(bundle.view)
    decoded = [rows.decode(event(i, x=x).value or b"") for i, x in enumerate(xs)]
    assert not any(isinstance(row, Refusal) for row in decoded)
    return score_apart(bundle, rows.to_batch(decoded))


def scores(parted: Parted) -> dict[int, float]:
    return {
        row + part.start: score
        for part in parted.parts
        for row, score in zip(part.scored.rows.tolist(), part.scored.score.to_pylist(), strict=True)
    }


def test_without_poison_there_is_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    parted = apart(picky(), [0, 1, 2])

    assert [(part.start, len(part.scored.rows)) for part in parted.parts] == [(0, 3)]
    assert parted.poison == {}


@pytest.mark.parametrize("bad", [{0}, {6}, {2, 3}, {0, 1, 2, 3, 4, 5, 6}])
def test_poison_rows_stand_alone_and_the_others_are_scored(bad: set[int]) -> None:
    parted = apart(picky(), [9 if i in bad else i % 3 for i in range(7)])

    assert set(parted.poison) == bad
    assert {refusal.reason for refusal in parted.poison.values()} == {Reason.SCORE_FAILED}
    assert scores(parted) == {i: 10.0 + i % 3 for i in range(7) if i not in bad}


def test_a_failing_feature_is_told_apart_and_tells_no_value() -> None:
    parted = apart(numbers(), [1, -7, 2])

    assert scores(parted) == {0: 1.0, 2: 2.0}
    (refusal,) = parted.poison.values()
    assert refusal.reason == Reason.FEATURE_FAILED
    assert "ratio" in refusal.detail
    assert "secret" not in str(refusal)


def test_rejected_rows_keep_their_place() -> None:
    parted = apart(picky(), [0, 1, 101, 9, 102, 2])

    rejected = [row + part.start for part in parted.parts for row in part.rejected.rows.tolist()]
    assert sorted(rejected) == [2, 4]
    assert set(parted.poison) == {3}


def test_one_poison_row_costs_a_logarithm(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(bundle: Bundle, batch: Any) -> Any:
        calls.append(batch.num_rows)
        return score_batch(bundle, batch)

    monkeypatch.setattr(poison, "score_batch", counted)
    apart(picky(), [9 if i == 300 else 1 for i in range(512)])

    assert len(calls) == 1 + 2 * 9


def test_no_rows_are_no_parts() -> None:
    assert apart(picky(), []) == Parted()
