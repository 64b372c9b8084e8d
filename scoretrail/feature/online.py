"""The online store of features: what is asked of one, the form of its keys and values, and a twin in memory."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import pyarrow as pa

from scoretrail.errors import PackedError
from scoretrail.feature.schema import TIMESTAMP

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from scoretrail.feature.packed import Layout
    from scoretrail.feature.stored import Stored

VALUE_VERSION: Final = 1
"""The first byte of every value; raised when the form of values changes."""
_HEAD: Final = struct.Struct(">BQQ")
"""Version and both times, moved by 2**63: compared as bytes, a later time is greater, as the server's step does it."""
_SUM: Final = struct.Struct("<I")
_RIGHT_SUM: Final = 0x2144DF1C
"""The CRC-32 of any bytes that end in their own CRC-32, the low byte first: it checks a value without cutting it."""
_BIAS: Final = 2**63
_ROW: Final = slice(_HEAD.size, -_SUM.size)
ORDER: Final = slice(1, _HEAD.size)
"""The bytes of a value that say which of two is newer: its event time, then when it became available."""


@dataclass(frozen=True, slots=True)
class OnlineValue:
    """A value to be written."""

    key: str
    event_time_us: int
    """The same as in the payload, in microseconds since 1970."""
    payload: bytes
    """As :func:`encode_value` made it."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of the values of one write."""

    written: int
    """Now in the store, also where they were there already."""
    older: int
    """Not written: the store holds a newer one."""


class OnlineStore(Protocol):
    """Keeps the newest value of each entity. One thread owns an object of this kind.

    Every method may raise :class:`~scoretrail.errors.StoreUnavailableError`, after which the object can be used again.
    """

    def read(self, keys: Sequence[str], deadline_s: float) -> list[bytes | None]:
        """Return the value of each key, in order; None where there is none.

        Args:
            keys: as :func:`online_key` made them; repeated ones cost as much as others.
            deadline_s: the whole answer is here within so many seconds, connecting included, or there is an error.
        """
        ...

    def write(self, values: Iterable[OnlineValue]) -> WriteResult:
        """Write values, each only where the store holds no newer one, decided in one step with the writing.

        Newer is the later event time and, where these are equal, what became available later. Writing a value again
        changes nothing, so whatever failed can be repeated from its start.
        """
        ...

    def ping(self) -> None:
        """Return if the store answers."""
        ...

    def close(self) -> None:
        """Give up the connection; the next call would make a new one."""
        ...


class MemoryOnlineStore:
    """Keeps values in this process."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def read(self, keys: Sequence[str], deadline_s: float) -> list[bytes | None]:
        """Return the value of each key, in order; None where there is none."""
        del deadline_s
        return [self.values.get(key) for key in keys]

    def write(self, values: Iterable[OnlineValue]) -> WriteResult:
        """Write values, each only where there is no newer one."""
        written = older = 0
        for value in values:
            there = self.values.get(value.key)
            if there is not None and there[ORDER] > value.payload[ORDER]:
                older += 1
                continue
            self.values[value.key] = value.payload
            written += 1
        return WriteResult(written, older)

    def erase(self, entity: str) -> int:
        """Remove every value of an entity, of all views, sets and layouts; return how many there were."""
        gone = [key for key in self.values if entity_of(key) == entity]
        for key in gone:
            del self.values[key]
        return len(gone)

    def ping(self) -> None:
        """Return: memory always answers."""

    def close(self) -> None:
        """Keep the values: what closes is a connection, and there is none."""


def online_key(view: str, stored: str, schema8: str, entity: str) -> str:
    """Return the key of an entity's value; another layout has other keys, so both can be served side by side.

    >>> online_key("flight_delay", "origin_weather", "0a1b2c3d", "EWR")
    'fs:flight_delay:origin_weather:0a1b2c3d:EWR'
    """
    return f"fs:{view}:{stored}:{schema8}:{entity}"


def entity_of(key: str) -> str:
    """Return whose value a key leads to.

    >>> entity_of("fs:flight_delay:origin_weather:0a1b2c3d:EWR:2")
    'EWR:2'
    """
    return key.split(":", 4)[4]


def encode_value(event_time_us: int, available_at_us: int, row: bytes) -> bytes:
    """Return the stored form of one packed row: version, both times, row, CRC-32 over all of it.

    Args:
        event_time_us: what instant the value describes, microseconds since 1970.
        available_at_us: from when on it could be known.
        row: as :meth:`~scoretrail.feature.packed.Layout.pack` made it.
    """
    body = _HEAD.pack(VALUE_VERSION, event_time_us + _BIAS, available_at_us + _BIAS) + row
    return body + _SUM.pack(zlib.crc32(body))


def encode_values(view: str, stored: Stored, entities: Sequence[str], values: pa.RecordBatch) -> list[OnlineValue]:
    """Return the values of entities as they are written, in order; rows without both times are no values.

    Args:
        view: the view's name.
        stored: the set they belong to.
        entities: whose values these are.
        values: the columns of :attr:`Stored.columns`, in exactly their types; the fields checked.

    Raises:
        SchemaMismatchError: a column is missing or has another type.
    """
    layout = stored.layout
    events, available = (
        values.column(name).cast(pa.int64()).to_pylist() for name in (stored.event_time, stored.available_at)
    )
    return [
        OnlineValue(online_key(view, stored.name, layout.schema8, entity), event, encode_value(event, known, row))
        for entity, event, known, row in zip(entities, events, available, layout.pack(values), strict=True)
        if event is not None and known is not None
    ]


@dataclass(frozen=True)
class Decoded:
    """Values that were read."""

    values: pa.RecordBatch
    """The columns of :attr:`Stored.columns`, a row for each value asked for, in order; null where there is none."""
    damaged: tuple[int, ...]
    """Positions whose bytes are not what somebody wrote; they count as having no value, and whoever reads says so."""


def decode_values(stored: Stored, values: Sequence[bytes | None]) -> Decoded:
    """Return stored values as columns of a record.

    Args:
        stored: the set they belong to.
        values: as :meth:`OnlineStore.read` returned them.
    """
    good: list[int] = []
    kept: list[bytes] = []
    damaged: list[int] = []
    for position, value in enumerate(values):
        if value is None:
            continue
        if zlib.crc32(value) == _RIGHT_SUM and value[0] == VALUE_VERSION:
            good.append(position)
            kept.append(value)
        else:
            damaged.append(position)
    try:
        rows = stored.layout.unpack([value[_ROW] for value in kept])
    except PackedError:
        # Their checksums are right, so somebody wrote them so; the others must not suffer for it.
        bad = {at for at, value in zip(good, kept, strict=True) if not _unpacks(stored.layout, value[_ROW])}
        again = decode_values(stored, [None if at in bad else value for at, value in enumerate(values)])
        return Decoded(again.values, tuple(sorted({*damaged, *bad})))
    heads = np.frombuffer(b"".join([value[ORDER] for value in kept]), ">u8").reshape(-1, 2)
    times = (heads.astype(np.uint64) ^ np.uint64(_BIAS)).view(np.int64)
    columns = [*rows.columns, *(_timestamps(np.ascontiguousarray(times[:, i])) for i in range(2))]
    found = pa.RecordBatch.from_arrays(columns, list(stored.columns))
    if len(good) < len(values):
        found = found.take(_places(good, len(values)))
    return Decoded(found, tuple(damaged))


def _unpacks(layout: Layout, row: bytes) -> bool:
    try:
        layout.unpack([row])
    except PackedError:
        return False
    return True


def _timestamps(micros: NDArray[np.int64]) -> pa.Array:
    return pa.Array.from_buffers(TIMESTAMP, len(micros), [None, pa.py_buffer(micros)])


def _places(good: Sequence[int], rows: int) -> pa.Array:
    """Return where each row's value is among the good ones; null where it has none."""
    there = np.zeros(rows, np.bool_)
    there[good] = True
    places, valid = np.cumsum(there) - 1, np.packbits(there, bitorder="little")
    return pa.Array.from_buffers(pa.int64(), rows, [pa.py_buffer(valid), pa.py_buffer(places.astype(np.int64))])
