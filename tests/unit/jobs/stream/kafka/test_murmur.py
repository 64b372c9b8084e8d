"""Our hash of keys is Kafka's: a key lies in the partition where the client's own default puts it."""

from __future__ import annotations

import random

import pytest
from kafka.partitioner.default import murmur2 as of_the_client

from jobs.stream.kafka.murmur import murmur2


@pytest.mark.parametrize("length", [*range(12), 22, 131, 132, 133, 136, 1000])
def test_it_is_the_hash_of_the_client(length: int) -> None:
    draw = random.Random(length)
    for _ in range(20):
        key = draw.randbytes(length)
        assert murmur2(key) == of_the_client(key)


@pytest.mark.parametrize(
    ("key", "expected"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)],
)
def test_it_is_the_hash_of_javas_clients(key: bytes, expected: int) -> None:
    assert murmur2(key) - 2**32 == expected
