from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest

from jobs.stream.handling.lookup import Found, Lookup, StorePolicy, Wanted
from jobs.stream.message.event import EventType
from jobs.stream.message.refusal import Refusal
from scoretrail.errors import ConfigurationError, StoreUnavailableError
from scoretrail.feature.online import MemoryOnlineStore
from scoretrail.model.bundle import Bundle
from tests.factory.streamed import event, numbers, winds, windy


class Watched(MemoryOnlineStore):
    """Remembers what it was asked for; may be away."""

    def __init__(self, values: dict[str, bytes] | None = None, *, away: bool = False) -> None:
        super().__init__()
        self.values = values or {}
        self.asked: list[list[str]] = []
        self.deadlines_s: list[float] = []
        self.away = away

    def read(self, keys: Sequence[str], deadline_s: float) -> list[bytes | None]:
        self.asked.append(list(keys))
        self.deadlines_s.append(deadline_s)
        if self.away:
            raise StoreUnavailableError("the online store did not answer in time")
        return super().read(keys, deadline_s)


def wanted(bundle: Bundle, *places: str) -> Wanted:
    rows = EventType(bundle.view)
    decoded = [rows.decode(event(i, place=place).value or b"") for i, place in enumerate(places)]
    assert not any(isinstance(row, Refusal) for row in decoded)
    return Wanted(bundle.view, rows.to_batch(decoded))


def fetch(store: MemoryOnlineStore | None, *asked: Wanted, policy: StorePolicy = StorePolicy.PAUSE) -> Found:
    return Lookup(store, policy, deadline_s=0.5).fetch(asked)


def test_each_entity_is_read_once_under_one_deadline() -> None:
    bundle = windy()
    store = Watched(winds(bundle, HERE=1.0, THERE=2.0).values)

    found = fetch(store, wanted(bundle, "here", "THERE", "Here", "there"), wanted(bundle, "HERE", "nowhere"))

    ((key, *_),) = store.asked
    prefix = key.rpartition(":")[0]
    assert prefix.startswith("fs:windy:weather:")
    assert store.asked == [[f"{prefix}:HERE", f"{prefix}:THERE", f"{prefix}:NOWHERE"]]
    assert store.deadlines_s == [0.5]
    assert (found.keys_read, found.damaged, found.unavailable) == (3, 0, False)
    assert [batch.column("wind").to_pylist() for batch in found.batches] == [[1, 2, 1, 2], [1, None]]


def test_a_batch_gets_every_column_of_a_record_in_its_order() -> None:
    bundle = windy()
    for store in (winds(bundle, HERE=1.0), MemoryOnlineStore()):
        (batch,) = fetch(store, wanted(bundle, "HERE")).batches
        assert batch.schema.names == list(bundle.view.record_columns)
        bundle.view.match(batch.schema)


def test_no_rows_ask_for_nothing() -> None:
    bundle = windy()
    store = Watched()
    (batch,) = fetch(store, wanted(bundle)).batches

    assert store.asked == []
    assert batch.schema.names == list(bundle.view.record_columns)


def test_without_stored_sets_there_need_be_no_store() -> None:
    asked = wanted(numbers(), "HERE")

    assert fetch(None, asked) == Found((asked.batch,))
    with pytest.raises(ConfigurationError, match="there is no online store"):
        fetch(None, wanted(windy(), "HERE"))


def test_damaged_values_are_missing_and_counted() -> None:
    bundle = windy()
    values = winds(bundle, HERE=1.0, THERE=2.0).values
    first = next(iter(values))
    values[first] = values[first][:-1] + bytes([values[first][-1] ^ 1])

    found = fetch(Watched(values), wanted(bundle, "HERE", "THERE", "HERE"))

    assert found.damaged == 1
    assert found.batches[0].column("wind").to_pylist() == [None, 2, None]


def test_pause_lets_the_failure_through() -> None:
    with pytest.raises(StoreUnavailableError):
        fetch(Watched(away=True), wanted(windy(), "HERE"))


@pytest.mark.parametrize("policy", [StorePolicy.DEFAULT, StorePolicy.DEAD_LETTER])
def test_the_other_policies_go_on_with_nothing(policy: StorePolicy) -> None:
    found = fetch(Watched(away=True), wanted(windy(), "HERE", "THERE"), policy=policy)

    assert found.unavailable
    assert found.batches[0].column("wind") == pa.nulls(2, pa.float32())
