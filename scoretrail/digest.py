"""sha256 digests of bytes, files and canonical JSON; the names by which a trail knows things."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, NewType, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Digest = NewType("Digest", str)
"""A sha256 as 64 lower-case hexadecimal digits."""

CHUNK_BYTES = 4 * 1024 * 1024
"""Read size when a file is hashed: large enough that hashing, not calls, is the cost (1.0 GiB/s/core)."""

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


class Readable(Protocol):
    """What is hashed piece by piece: an open binary file of any library."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, empty at the end."""
        ...


def of_bytes(data: bytes | memoryview) -> Digest:
    """Return the digest of bytes.

    >>> of_bytes(b"")[:8]
    'e3b0c442'
    """
    return Digest(hashlib.sha256(data).hexdigest())


def of_stream(stream: Readable) -> tuple[Digest, int]:
    """Return the digest of what is left in a stream, and how many bytes that was."""
    hasher = hashlib.sha256()
    size = 0
    while chunk := stream.read(CHUNK_BYTES):
        hasher.update(chunk)
        size += len(chunk)
    return Digest(hasher.hexdigest()), size


def canonical_json(value: Json) -> bytes:
    """Return the one JSON text of a value: keys sorted, no spaces, UTF-8, no NaN or infinity.

    Floats are written as Python's ``repr`` does: the shortest text that reads back to the same bits.

    >>> canonical_json({"b": 1, "a": [True, None, 0.1]})
    b'{"a":[true,null,0.1],"b":1}'
    """
    return json.dumps(
        value,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
        default=_refuse,
    ).encode()


def of_json(value: Json) -> Digest:
    """Return the digest of a value's canonical JSON.

    >>> of_json({"a": 1, "b": 2}) == of_json({"b": 2, "a": 1})
    True
    """
    return of_bytes(canonical_json(value))


def json_number(value: float) -> float | None:
    """Return the value, or None where JSON has no word for it (NaN and the infinities)."""
    return value if math.isfinite(value) else None


def _refuse(value: object) -> str:
    msg = f"{type(value).__name__} has no canonical JSON: convert it where it is made"
    raise TypeError(msg)
