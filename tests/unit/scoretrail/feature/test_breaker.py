from __future__ import annotations

from scoretrail.feature.breaker import BreakerPolicy, BreakerState, Circuit

POLICY = BreakerPolicy(failures=3, pause_s=10.0)


def opened(at: float = 0.0) -> BreakerState:
    breaker = BreakerState(POLICY)
    for _ in range(POLICY.failures):
        breaker.failed(at)
    return breaker


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    breaker = BreakerState(POLICY)
    for _ in range(2):
        breaker.failed(0)
        breaker.failed(0)
        assert breaker.allows(0)
        breaker.succeeded()
    assert breaker.circuit(0) is Circuit.CLOSED

    for _ in range(3):
        breaker.failed(0)
    assert breaker.circuit(0) is Circuit.OPEN
    assert not breaker.allows(0)


def test_after_the_pause_one_probe_goes_through() -> None:
    breaker = opened()

    assert not breaker.allows(9.9)
    assert breaker.circuit(10) is Circuit.HALF_OPEN
    assert [breaker.allows(10), breaker.allows(10), breaker.allows(15)] == [True, False, False]


def test_a_probe_that_is_answered_closes_it() -> None:
    breaker = opened()
    assert breaker.allows(10)

    breaker.succeeded()

    assert breaker.circuit(10) is Circuit.CLOSED
    breaker.failed(11)
    assert breaker.allows(11), "the count begins anew"


def test_a_probe_that_fails_begins_another_pause() -> None:
    breaker = opened()
    assert breaker.allows(12)

    breaker.failed(13)

    assert [breaker.allows(22), breaker.allows(23)] == [False, True]


def test_a_probe_without_a_result_does_not_close_the_way_for_ever() -> None:
    breaker = opened()
    assert breaker.allows(10)
    assert [breaker.allows(19.9), breaker.allows(20)] == [False, True]
