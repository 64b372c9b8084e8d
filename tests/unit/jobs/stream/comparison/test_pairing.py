"""What two processes made of one event is found by its place, in either order, and not waited for without end."""

from __future__ import annotations

from jobs.stream.comparison.pairing import Pairing, Place
from jobs.stream.comparison.window import Opinion, Pair

OURS, THEIRS = Opinion(0.5, "no", "2.0.0", "b"), Opinion(0.25, "yes", "1.0.0", "a")


def place(offset: int) -> Place:
    return Place("events", 0, offset)


def test_either_may_come_first() -> None:
    pairing = Pairing()
    pairing.champion([(place(1), THEIRS)])
    pairing.challenger([(place(1), OURS, "UA"), (place(2), OURS, None)], 0)
    pairing.champion([(place(2), THEIRS)])
    assert pairing.take(0) == ([Pair(THEIRS, OURS, "UA"), Pair(THEIRS, OURS)], 0)
    assert pairing.take(1000) == ([], 0)


def test_what_waited_too_long_is_counted_and_no_longer_paired() -> None:
    pairing = Pairing(max_wait_s=10)
    pairing.challenger([(place(1), OURS, None)], 0)
    pairing.challenger([(place(2), OURS, None)], 5)
    assert pairing.take(10) == ([], 0)
    assert pairing.take(11) == ([], 1)
    pairing.champion([(place(1), THEIRS), (place(2), THEIRS)])
    assert pairing.take(12) == ([Pair(THEIRS, OURS)], 0)


def test_neither_side_grows_without_bound() -> None:
    pairing = Pairing(max_waiting=2)
    pairing.challenger([(place(i), OURS, None) for i in range(5)], 0)
    pairing.champion([(place(i), THEIRS) for i in range(10, 15)])
    assert pairing.take(0) == ([], 3)
    assert (len(pairing._champions), len(pairing._challengers)) == (2, 2)
