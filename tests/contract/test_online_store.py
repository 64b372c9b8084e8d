"""One suite for every online store: the twin in memory, and a real Valkey."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from scoretrail.feature import DEFAULT, Field, Stored
from scoretrail.feature.online import (
    MemoryOnlineStore,
    OnlineStore,
    OnlineValue,
    WriteResult,
    decode_values,
    encode_value,
    encode_values,
    online_key,
)
from scoretrail.feature.online_redis import PIPELINE_VALUES, READ_KEYS, SCRIPT_VALUES, RedisOnlineStore
from scoretrail.feature.schema import TIMESTAMP
from tests.factory import valkey_server
from tests.factory.valkey_server import ValkeyServer

DEADLINE_S = 10.0
"""For answers, not for their speed: a busy machine is no fault."""
KEY = "fs:trips:weather:00000000:EWR"


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with valkey_server.running(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(params=["memory", pytest.param("valkey", marks=pytest.mark.integration)])
def store(request: pytest.FixtureRequest) -> Iterator[OnlineStore]:
    made: OnlineStore = MemoryOnlineStore()
    if request.param == "valkey":
        server: ValkeyServer = request.getfixturevalue("valkey")
        server.flush()
        made = RedisOnlineStore(server.address)
    yield made
    made.close()


def value(event_time_us: int, available_at_us: int = 0, row: bytes = b"row", key: str = KEY) -> OnlineValue:
    return OnlineValue(key, event_time_us, encode_value(event_time_us, available_at_us, row))


def standing(store: OnlineStore) -> bytes | None:
    (found,) = store.read([KEY], DEADLINE_S)
    return found


# --- Reading ----------------------------------------------------------------------------------------------------------


def test_a_store_that_is_there_answers(store: OnlineStore) -> None:
    store.ping()


def test_values_are_read_in_the_order_of_the_keys_and_none_where_there_is_none(store: OnlineStore) -> None:
    store.write([value(1, row=b"a", key="a"), value(1, row=b"b", key="b")])

    found = store.read(["b", "nothing", "a", "b"], DEADLINE_S)

    assert found == [value(1, row=b"b").payload, None, value(1, row=b"a").payload, value(1, row=b"b").payload]
    assert store.read([], DEADLINE_S) == []


@pytest.mark.parametrize("keys", [READ_KEYS - 1, READ_KEYS, READ_KEYS + 1, 3 * READ_KEYS])
def test_any_number_of_keys_is_one_read(store: OnlineStore, keys: int) -> None:
    store.write(value(i, row=str(i).encode(), key=f"key {i}") for i in range(0, keys, 2))

    found = store.read([f"key {i}" for i in range(keys)], DEADLINE_S)

    assert found == [None if i % 2 else value(i, row=str(i).encode()).payload for i in range(keys)]


@pytest.mark.parametrize("entity", ["EWR", "Zürich", "a b:c\r\nGET x", "{tag}", "x" * 5000])
def test_an_entity_may_be_any_text(store: OnlineStore, entity: str) -> None:
    key = online_key("trips", "weather", "00000000", entity)
    store.write([value(1, key=key)])
    assert store.read([key, key + "!"], DEADLINE_S) == [value(1).payload, None]


def test_any_bytes_come_back(store: OnlineStore) -> None:
    row = bytes(range(256)) + b"\r\n$-1\r\n"
    store.write([value(1, row=row)])
    assert standing(store) == value(1, row=row).payload


def test_a_closed_store_can_be_used_again(store: OnlineStore) -> None:
    store.write([value(1)])
    store.close()
    store.close()
    assert standing(store) == value(1).payload


# --- Writing ----------------------------------------------------------------------------------------------------------


def test_a_newer_value_takes_the_place_of_an_older_one_and_never_the_other_way_round(store: OnlineStore) -> None:
    assert store.write([value(10)]) == WriteResult(1, 0)
    assert store.write([value(9)]) == WriteResult(0, 1)
    assert standing(store) == value(10).payload
    assert store.write([value(11), value(10)]) == WriteResult(1, 1)
    assert standing(store) == value(11).payload


def test_what_became_known_later_wins_among_values_of_one_instant(store: OnlineStore) -> None:
    store.write([value(10, 20, b"first")])

    assert store.write([value(10, 19, b"before")]) == WriteResult(0, 1)
    assert store.write([value(10, 21, b"corrected")]) == WriteResult(1, 0)
    assert standing(store) == value(10, 21, b"corrected").payload


def test_writing_again_changes_nothing(store: OnlineStore) -> None:
    values = [value(i, key=f"key {i}") for i in range(10)]

    assert store.write(values) == WriteResult(10, 0)
    before = store.read([one.key for one in values], DEADLINE_S)
    assert store.write(values) == WriteResult(10, 0)

    assert store.read([one.key for one in values], DEADLINE_S) == before
    assert store.write([]) == WriteResult(0, 0)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (-(2**63), -(2**63) + 1),
        (-1, 0),
        (0, 1),
        (255, 256),
        (2**31, 2**32),
        (2**53, 2**53 + 1),
        (2**62, 2**63 - 1),
    ],
)
def test_every_microsecond_counts(store: OnlineStore, older: int, newer: int) -> None:
    """Beyond 2**53 a script's numbers could not tell two of them apart."""
    store.write([value(newer)])
    assert store.write([value(older)]) == WriteResult(0, 1)
    assert standing(store) == value(newer).payload


def test_the_newest_of_many_stays_whatever_the_order(store: OnlineStore) -> None:
    """Also within one pipeline, and across them."""
    n = PIPELINE_VALUES + SCRIPT_VALUES + 1
    values = [value(i // 7, i % 7, str(i).encode(), key=f"key {i % 50}") for i in range(n)]
    newest = {one.key: one for one in values}
    random.Random(1).shuffle(values)

    result = store.write(iter(values))

    assert result.written + result.older == n
    assert result.older > 0
    assert store.read(list(newest), DEADLINE_S) == [one.payload for one in newest.values()]


def test_rows_come_back_as_columns(store: OnlineStore) -> None:
    weather = Stored(
        "weather",
        key="place",
        fields=[
            Field(name="wind", type=pa.float32(), nullable=True),
            Field(name="sky", type=pa.string(), default="clear"),
        ],
        max_age="3h",
        when_missing=DEFAULT,
    )
    batch = pa.record_batch(
        {
            "wind": pa.array([1.5, None], pa.float32()),
            "sky": pa.array(["grey", "blue"]),
            "weather__event_time": pa.array([1, 2], TIMESTAMP),
            "weather__available_at": pa.array([3, 4], TIMESTAMP),
        }
    )
    values = encode_values("trips", weather, ["EWR", "JFK"], batch)
    store.write(values)

    found = decode_values(weather, store.read([values[1].key, "fs:nobody", values[0].key], DEADLINE_S))

    assert found.damaged == ()
    assert found.values.equals(batch.take(pa.array([1, None, 0])))


# --- What only a server can do ----------------------------------------------------------------------------------------


@pytest.mark.integration
def test_a_server_that_forgot_its_scripts_is_told_again(valkey: ValkeyServer) -> None:
    valkey.flush()
    store = RedisOnlineStore(valkey.address)
    store.write([value(2)])
    assert valkey.command(b"SCRIPT FLUSH\r\n") == b"+OK\r\n"

    assert store.write([value(1), value(3)]) == WriteResult(1, 1)

    store.close()


@pytest.mark.integration
def test_writers_at_the_same_time_leave_the_newest(valkey: ValkeyServer) -> None:
    valkey.flush()
    stores = [RedisOnlineStore(valkey.address) for _ in range(2)]
    for i in range(200):
        stores[i % 2].write([value(199 - i if i % 3 else i)])
    assert standing(stores[0]) == value(max(199 - i if i % 3 else i for i in range(200))).payload
    for store in stores:
        store.close()


@pytest.mark.integration
def test_a_memory_of_its_own_is_what_a_restarted_server_lacks(tmp_path: Path) -> None:
    """The store finds a restarted server again by itself; what was there must be loaded again."""
    with valkey_server.running(tmp_path) as server:
        store = RedisOnlineStore(server.address)
        store.write([value(1)])
        server.stop()
        server.start()

        assert standing(store) is None, "the closed connection was made anew within the read"

        server.stop()
        server.start()
        assert store.write([value(1)]) == WriteResult(1, 0)
        assert standing(store) == value(1).payload
        store.close()


@pytest.mark.integration
def test_many_values_are_written_fast(valkey: ValkeyServer) -> None:
    """Far below what was measured (57 k values/s): this finds a round trip a value, not a slow machine."""
    valkey.flush()
    store = RedisOnlineStore(valkey.address)
    values = [value(i, row=bytes(200), key=f"key {i}") for i in range(10_000)]
    started = time.monotonic()

    assert store.write(values) == WriteResult(10_000, 0)

    assert time.monotonic() - started < 5
    store.close()


# --- Erasing ----------------------------------------------------------------------------------------------------------


def test_every_value_of_an_erased_entity_goes_and_no_other(store: OnlineStore) -> None:
    assert isinstance(store, MemoryOnlineStore | RedisOnlineStore)
    special = "E*?[W]\\R^:2"
    gone = [online_key(view, name, "00000000", special) for view in ("a", "b") for name in ("x", "y")]
    gone.append(online_key("a", "x", "11111111", special))
    kept = [online_key("a", "x", "00000000", one) for one in ("EWR", "2", f"1:{special}", "E", "Exyz[W]\\R^:2", "W")]
    store.write([value(1, key=key) for key in (*gone, *kept)])

    assert store.erase(special) == len(gone)
    assert store.read(gone, DEADLINE_S) == [None] * len(gone)
    assert None not in store.read(kept, DEADLINE_S)
    assert store.erase(special) == 0


def test_an_entity_to_be_erased_is_found_among_many(store: OnlineStore) -> None:
    assert isinstance(store, MemoryOnlineStore | RedisOnlineStore)
    many = [online_key("a", "x", "00000000", str(i)) for i in range(2 * PIPELINE_VALUES)]
    store.write([value(1, key=key) for key in many])

    assert [store.erase(str(i)) for i in (0, 7, len(many) - 1, len(many))] == [1, 1, 1, 0]
