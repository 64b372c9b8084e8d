"""What becomes of a stored value against the same rules written row by row in plain Python."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from scoretrail.feature import DEFAULT, REJECT, Field, Stored
from scoretrail.feature.schema import TIMESTAMP
from scoretrail.feature.stored import OUTCOMES, judge

SECOND = 1_000_000
TIMES = st.none() | st.integers(-10, 10).map(lambda s: s * SECOND) | st.integers(-10 * SECOND, 10 * SECOND)
FALLBACK = st.sampled_from([DEFAULT, REJECT])


def expected(
    stored: Stored, at: int | None, event: int | None, known: int | None
) -> tuple[str, int | None, str | None]:
    """Return outcome, age and reason of one row."""
    if at is None or event is None or known is None or known > at:
        outcome = str(stored.when_missing)
        is_future = at is not None and event is not None and known is not None
        reason = "stored_future" if is_future else "stored_missing"
        return outcome, None, reason if outcome == "reject" else None
    age = at - event
    if stored.max_age_s is None or age <= stored.max_age_s * SECOND:
        return "fresh", age // SECOND, None
    if stored.stale_ok_s is not None and age <= stored.stale_ok_s * SECOND:
        return "stale", age // SECOND, None
    outcome = str(stored.when_stale or stored.when_missing)
    return outcome, age // SECOND, "stored_stale" if outcome == "reject" else None


@given(
    rows=st.lists(st.tuples(TIMES, TIMES, TIMES), max_size=40),
    max_age=st.none() | st.integers(1, 5),
    more=st.none() | st.integers(1, 5),
    missing=FALLBACK,
    stale=st.none() | FALLBACK,
    start=st.integers(0, 9),
)
def test_judging(
    rows: list[tuple[int | None, int | None, int | None]],
    max_age: int | None,
    more: int | None,
    start: int,
    missing: Any,
    stale: Any,
) -> None:
    stored = Stored(
        "weather",
        key="place",
        fields=[Field(name="wind", type=pa.float32(), nullable=True)],
        max_age=f"{max_age}s" if max_age else None,
        stale_ok=f"{max_age + more}s" if max_age and more else None,
        when_missing=missing,
        when_stale=stale if max_age else None,
    )
    columns = [pa.array([row[i] for row in rows], TIMESTAMP).slice(start) for i in range(3)]

    got = judge(stored, *columns)

    reasons: dict[int, str] = {}
    for fault in got.faults:
        for row in fault.rows.tolist():
            assert row not in reasons, "one reason is enough"
            reasons[row] = str(fault.code)
    found = [
        (str(OUTCOMES[code]), age if has_value else None, reasons.get(i))
        for i, (code, age, has_value) in enumerate(
            zip(got.outcome.tolist(), got.age_s.tolist(), got.has_value.tolist(), strict=True)
        )
    ]
    assert found == [expected(stored, *row) for row in rows[start:]]
