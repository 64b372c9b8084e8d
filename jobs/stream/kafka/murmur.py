"""Kafka's hash of keys, by which its own clients choose partitions, at half of what its Python client's costs."""

from __future__ import annotations

import struct
from typing import Final

_WORDS: Final = [struct.Struct(f"<{words}I").unpack_from for words in range(33)]
"""Keys of up to 132 bytes find the reader of their words here."""


def murmur2(key: bytes) -> int:
    """Return the 32-bit hash of a key; Java's clients hash alike, so a key meets its like whoever writes it.

    >>> murmur2(b"") & 0x7FFFFFFF, murmur2(b"foobar") == 2**32 - 790332482
    (275646681, True)
    """
    length = len(key)
    found = 0x9747B28C ^ length
    words = length >> 2
    read = _WORDS[words] if words < len(_WORDS) else struct.Struct(f"<{words}I").unpack_from
    for word in read(key):
        mixed = word * 0x5BD1E995 & 0xFFFFFFFF
        found = (found * 0x5BD1E995 ^ (mixed ^ mixed >> 24) * 0x5BD1E995) & 0xFFFFFFFF
    rest = length & 3
    if rest:
        found = (found ^ int.from_bytes(key[-rest:], "little")) * 0x5BD1E995 & 0xFFFFFFFF
    found = (found ^ found >> 13) * 0x5BD1E995 & 0xFFFFFFFF
    return found ^ found >> 15
