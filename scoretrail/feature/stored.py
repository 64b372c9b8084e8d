"""Stored features: sets of values that are looked up by a key, how old they may be, and what happens without them."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scoretrail.errors import FeatureViewError
from scoretrail.feature.packed import Layout, bits
from scoretrail.feature.schema import TIMESTAMP, Fault, FaultCode, Field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scoretrail.digest import Json

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_DURATION: Final = re.compile(r"([1-9]\d*)([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MICROS: Final = 1_000_000
_FAR_US: Final = 2**62 - 1
"""Times are moved to within this (146,000 years) before they are subtracted, so that no difference overflows."""


class Fallback(enum.StrEnum):
    """What is done with a record whose stored value is missing or too old."""

    DEFAULT = "default"
    """Each field takes its default, or null where it is nullable."""
    REJECT = "reject"
    """The row is refused."""


class Outcome(enum.StrEnum):
    """What became of one stored set of one record; predictions say it."""

    FRESH = "fresh"
    STALE = "stale"
    """Older than ``max_age``, but within ``stale_ok``: used."""
    DEFAULT = "default"
    REJECT = "reject"


OUTCOMES: Final = tuple(Outcome)
"""An outcome's code is its place here."""
_FRESH, _STALE, _DEFAULT, _REJECT = range(len(OUTCOMES))
_CODE_OF: Final = {Fallback.DEFAULT: _DEFAULT, Fallback.REJECT: _REJECT}


@dataclass(frozen=True)
class Stored:
    """A set of features that is looked up by a key and has one event time.

    >>> weather = Stored(
    ...     "origin_weather",
    ...     key="origin",
    ...     fields=[Field(name="wind_speed", type=pa.float32(), nullable=True)],
    ...     max_age="3h",
    ...     when_missing=Fallback.DEFAULT,
    ... )
    >>> weather.columns
    ('wind_speed', 'origin_weather__event_time', 'origin_weather__available_at')
    """

    name: str
    """Lower-case letters, digits and ``_``: it becomes part of column names and of the online store's keys."""
    _: KW_ONLY
    key: str
    """The request feature, or the entity key, whose checked value says which entity is looked up."""
    fields: Sequence[Field]
    max_age: str | None
    """A number and s, m, h or d, such as ``3h``: an older value is stale. None: it never is."""
    when_missing: Fallback
    """For an entity without a value, a null key, or a value that was not yet available at the record's event time."""
    when_stale: Fallback | None = None
    """None: as ``when_missing``."""
    stale_ok: str | None = None
    """A stale value of up to this age is used all the same."""
    description: str = ""

    def __post_init__(self) -> None:
        """Check the declaration itself.

        Raises:
            FeatureViewError: it contradicts itself.
        """
        object.__setattr__(self, "fields", tuple(self.fields))
        for problem in self._problems():
            raise FeatureViewError(f"stored set {self.name!r} {problem}")
        _ = self.layout

    def _problems(self) -> list[str]:
        found = []
        if not {self.when_missing, self.when_stale or self.when_missing} <= set(Fallback):
            found.append(f"falls back to what is neither of {', '.join(Fallback)}")
        if not _NAME.fullmatch(self.name):
            found.append("needs a name of lower-case letters, digits and _")
        found += [
            f"has an age that is none: {age!r}; write 90s, 30m, 3h or 2d"
            for age in (self.max_age, self.stale_ok)
            if age is not None and not _DURATION.fullmatch(age)
        ]
        if not found and self.max_age is None and (self.stale_ok or self.when_stale):
            found.append("says what to do with stale values and has no max_age")
        if not found and self.stale_ok is not None and (self.stale_ok_s or 0) <= (self.max_age_s or 0):
            found.append("has a stale_ok that is not above its max_age")
        bare = [field.name for field in self.fields if field.default is None and not field.nullable]
        if bare and Fallback.DEFAULT in (self.when_missing, self.when_stale):
            found.append(f"falls back to defaults, and {bare[0]!r} has none and is not nullable")
        return found

    @cached_property
    def layout(self) -> Layout:
        """The packed form of its fields."""
        return Layout(self.fields)

    @property
    def max_age_s(self) -> int | None:
        """The age above which a value is stale, in seconds."""
        return _seconds(self.max_age)

    @property
    def stale_ok_s(self) -> int | None:
        """The age up to which a stale value is used, in seconds."""
        return _seconds(self.stale_ok)

    @property
    def has_fallback(self) -> bool:
        """Whether a record can be scored without any value of this set: the hot path of a store that is away."""
        return self.when_missing == Fallback.DEFAULT

    @property
    def event_time(self) -> str:
        """The column that says what instant a value describes."""
        return f"{self.name}__event_time"

    @property
    def available_at(self) -> str:
        """The column that says from when on a value could be known."""
        return f"{self.name}__available_at"

    @cached_property
    def record_fields(self) -> tuple[Field, ...]:
        """Its columns in a record: the fields, then both times, which are null where there is no value."""
        return (
            *self.fields,
            Field(name=self.event_time, type=TIMESTAMP, nullable=True, description="what the value describes"),
            Field(name=self.available_at, type=TIMESTAMP, nullable=True, description="when the value could be known"),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of :attr:`record_fields`."""
        return tuple(field.name for field in self.record_fields)

    def contract(self) -> dict[str, Json]:
        """Return the declaration as JSON values, as the manifest states it."""
        return {
            "name": self.name,
            "key": self.key,
            "fields": [field.contract() for field in self.fields],
            "max_age_s": self.max_age_s,
            "when_missing": str(self.when_missing),
            "when_stale": str(self.when_stale or self.when_missing),
            "stale_ok_s": self.stale_ok_s,
            "description": self.description,
        }


@dataclass(frozen=True)
class Judged:
    """What became of one stored set in each row of a batch."""

    outcome: NDArray[np.int8]
    """Places in :data:`OUTCOMES`."""
    age_s: NDArray[np.int64]
    """Whole seconds between the record's event time and the value's, rounded down; 0 where there is no value."""
    has_value: NDArray[np.bool_]
    """Where there is a value that was available in time, be it too old."""
    faults: tuple[Fault, ...]

    @property
    def is_used(self) -> NDArray[np.bool_]:
        """Where the value goes into the record; elsewhere the defaults do."""
        return self.outcome <= _STALE


@dataclass(frozen=True)
class StoredUse:
    """What became of one stored set in each scored row, as predictions say it."""

    outcome: pa.Array
    """An :class:`Outcome`, as a dictionary of strings."""
    age_s: pa.Array
    """int64: age in whole seconds; null where there was no value, or none that was available in time."""

    def take(self, rows: NDArray[np.int64]) -> StoredUse:
        """Return the use in some of the rows."""
        return StoredUse(self.outcome.take(pa.array(rows)), self.age_s.take(pa.array(rows)))


def judge(stored: Stored, record_at: pa.Array, event_time: pa.Array, available_at: pa.Array) -> Judged:
    """Return what becomes of a stored set in each row; the wall clock plays no part.

    A value without both times is none. One that became available after the record's event time is *future*: whoever
    scored the record at its time could not have known it, so it counts as missing. A value may describe a later instant
    than the record's (a forecast); its age is then negative, and it is fresh.

    Args:
        stored: the declaration.
        record_at: the records' event times.
        event_time: the values' event times; timestamps in microseconds, UTC, like the other two.
        available_at: when the values could be known.
    """
    (at, dated), (of, described), (known, knowable) = map(_micros, (record_at, event_time, available_at))
    present = dated & described & knowable
    future = present & (known > at)
    has_value = present & ~future
    age_us = np.where(has_value, at - of, 0)
    old = age_us > _limit(stored.max_age_s)
    spared = old & (age_us <= _limit(stored.stale_ok_s, 0))
    outcome = np.where(spared, np.int8(_STALE), np.int8(_FRESH))
    outcome[old & ~spared] = _CODE_OF[stored.when_stale or stored.when_missing]
    outcome[~has_value] = _CODE_OF[stored.when_missing]
    refused = outcome == _REJECT
    reasons = (
        (FaultCode.STORED_MISSING, "a value", ~has_value & ~future),
        (FaultCode.STORED_FUTURE, "a value that was available at the event time", future),
        (FaultCode.STORED_STALE, f"a value of at most {stored.stale_ok or stored.max_age}", old),
    )
    faults = tuple(
        Fault(code, stored.name, expected, np.flatnonzero(refused & where))
        for code, expected, where in reasons
        if (refused & where).any()
    )
    return Judged(outcome, age_us // _MICROS, has_value, faults)


def apply(stored: Stored, batch: pa.RecordBatch, record_at: pa.Array) -> tuple[list[pa.Array], list[Fault]]:
    """Return the set's columns of a checked record, and the rows it refuses.

    Done twice it gives the same: the times stay, whatever became of the value.

    Args:
        stored: the declaration.
        batch: has the set's columns, in types that widen to theirs.
        record_at: the records' event times.

    Raises:
        SchemaMismatchError: a cast would lose something.
    """
    *fields, event, available = stored.record_fields
    times = [field.conform(batch.column(field.name)) for field in (event, available)]
    judged = judge(stored, record_at, *times)
    faults = list(judged.faults)
    refused = np.flatnonzero(judged.outcome == _REJECT)
    used = None if judged.is_used.all() else _to_arrow(judged.is_used)
    columns = []
    for field in fields:
        column = field.conform(batch.column(field.name))
        if used is not None:
            column = pc.if_else(used, column, pa.scalar(None, field.type))
        column, found = field.check(column)
        columns.append(column)
        # A refused row has no value to break the field's contract: one reason is enough.
        kept = [Fault(f.code, f.field, f.expected, np.setdiff1d(f.rows, refused)) for f in found]
        faults += [fault for fault in kept if len(fault.rows)]
    return [*columns, *times], faults


def use(stored: Stored, record: pa.RecordBatch, record_at: pa.Array) -> StoredUse:
    """Return what became of the set in a checked record, as predictions say it.

    Args:
        stored: the declaration.
        record: has the set's two times.
        record_at: the records' event times.
    """
    judged = judge(stored, record_at, record.column(stored.event_time), record.column(stored.available_at))
    ages, valid = pa.py_buffer(judged.age_s), pa.py_buffer(np.packbits(judged.has_value, bitorder="little"))
    codes = pa.Array.from_buffers(pa.int8(), len(judged.outcome), [None, pa.py_buffer(judged.outcome)])
    return StoredUse(
        pa.DictionaryArray.from_arrays(codes, pa.array([str(outcome) for outcome in OUTCOMES], pa.string())),
        pa.Array.from_buffers(pa.int64(), len(judged.age_s), [valid, ages]),
    )


def _seconds(age: str | None) -> int | None:
    found = _DURATION.fullmatch(age or "")
    return int(found[1]) * _SECONDS[found[2]] if found else None


def _limit(age_s: int | None, without: int = 2**63 - 1) -> int:
    return without if age_s is None else min(age_s * _MICROS, 2**63 - 1)


def _micros(times: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return times as microseconds, and where there are any."""
    if not len(times):
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    values = np.frombuffer(times.buffers()[1], np.int64, len(times), times.offset * 8)
    valid = bits(times.is_valid()) if times.null_count else np.ones(len(times), np.bool_)
    return np.clip(values, -_FAR_US, _FAR_US), valid


def _to_arrow(flags: NDArray[np.bool_]) -> pa.BooleanArray:
    return pa.Array.from_buffers(pa.bool_(), len(flags), [None, pa.py_buffer(np.packbits(flags, bitorder="little"))])
