"""Rounds are interleaved in turning order, and ratios are made round by round."""

from __future__ import annotations

import pytest

from benchmarks.figure import at_least, at_most, figures_table
from benchmarks.pairing import Ratio, run_rounds, speed_ratio


def test_each_round_runs_every_way_and_turns_the_order() -> None:
    order: list[str] = []

    def way(name: str, seconds: float) -> float:
        order.append(name)
        return seconds

    found = run_rounds({"a": lambda: way("a", 1.0), "b": lambda: way("b", 2.0)}, 3, lambda _: None)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": [1.0, 1.0, 1.0], "b": [2.0, 2.0, 2.0]}


def test_a_machine_that_slows_down_favours_nobody() -> None:
    clock = iter(range(1, 100))
    found = run_rounds({name: lambda: float(next(clock)) for name in "ab"}, 4, lambda _: None)
    assert sum(found["a"]) == sum(found["b"])


def test_a_ratio_is_of_speeds_within_one_round() -> None:
    ratio = speed_ratio([2.0, 10.0, 1.0], [1.0, 10.0, 4.0])
    assert ratio == Ratio((0.5, 1.0, 4.0))
    assert ratio.text() == "1.00 (0.50–4.00)"


def test_rounds_of_different_number_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="shorter"):
        speed_ratio([1.0, 2.0], [1.0])


def test_a_figure_knows_whether_it_was_reached() -> None:
    figures = [
        at_least("speed", 0.9, "0.90", 0.9),
        at_least("speed", 0.89, "0.89", 0.9),
        at_most("time", 5.1, "5.1", 5),
    ]
    assert [figure.reached for figure in figures] == [True, False, False]
    assert figures_table(figures).splitlines()[2:] == [
        "| speed | 0.90 | ≥ 0.9 | yes |",
        "| speed | 0.89 | ≥ 0.9 | **no** |",
        "| time | 5.1 | ≤ 5 | **no** |",
    ]
