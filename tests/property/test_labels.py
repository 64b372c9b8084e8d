"""Labels in any order and in any batches: what the labelled table says of an event does not depend on how they came."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from jobs.labels.columns import PREDICTED, labelled_columns
from jobs.labels.matching import Counts, Day, match
from jobs.labels.outcomes import OutcomeColumns
from scoretrail.trail.prediction import to_schema
from tests.factory.labelled import at

NAMES = OutcomeColumns("key", pa.string(), "sent_at", "came", "came_at", ("place",))
COLUMNS = labelled_columns("key", pa.string(), "sent_at", NAMES.segments)
KEYS = ("a", "b")
PREDICTIONS = pa.table(
    {"key": pa.array(KEYS), "sent_at": pa.array([at()] * 2, NAMES.schema.field("sent_at").type)}
    | {one.name: pa.array([None] * 2, one.type) for one in PREDICTED}
)

labels = st.fixed_dictionaries(
    {
        "key": st.sampled_from(KEYS),
        "sent_at": st.just(at()),
        "outcome": st.sampled_from(["0", "1"]),
        # Before the event, at it, and after; and none.
        "known_at": st.one_of(st.none(), st.integers(-1, 3).map(lambda hours: at() + timedelta(hours=hours))),
        "place": st.sampled_from([None, "HERE", "THERE"]),
    }
)


def table_after(*batches: list[dict[str, Any]]) -> pa.Table:
    """Return the labelled table after joins, each of which reads one batch."""
    rows = to_schema(COLUMNS).empty_table()
    for batch in batches:
        received = pa.Table.from_pylist(batch, schema=NAMES.schema)
        rows = match(Day(at().date(), PREDICTIONS, received, rows), NAMES, COLUMNS, Counts())
    return rows


@given(st.lists(labels, max_size=8), st.randoms(use_true_random=False), st.integers(0, 8), st.integers(0, 8))
def test_order_and_batches_of_labels_do_not_change_the_table(
    received: list[dict[str, Any]], random: Any, first: int, second: int
) -> None:
    together = table_after(received)
    shuffled = list(received)
    random.shuffle(shuffled)
    low, high = sorted((first, second))
    assert table_after(shuffled).equals(together)
    assert table_after(shuffled[:low], shuffled[low:high], shuffled[high:]).equals(together)
    # What was received before may come again beside what is new.
    assert table_after(shuffled[:high], shuffled[low:]).equals(together)
    assert table_after(received, received).equals(together)
    assert set(together["key"].to_pylist()) == {row["key"] for row in received}
