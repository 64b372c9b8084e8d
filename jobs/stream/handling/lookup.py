"""Stored features of a micro-batch: one read of each entity under one deadline; what is done without an answer."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from scoretrail.errors import ConfigurationError, StoreUnavailableError
from scoretrail.feature.online import decode_values, online_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scoretrail.feature.online import OnlineStore
    from scoretrail.feature.stored import Stored
    from scoretrail.feature.view import FeatureView

DEADLINE_S: Final = 0.05
"""For all of a micro-batch's keys together."""


class StorePolicy(enum.StrEnum):
    """What is done with events while the online store is away."""

    PAUSE = "pause"
    """Wait for it: the micro-batch is given up and read again."""
    DEFAULT = "default"
    """As if the store held nothing, and the prediction says so."""
    DEAD_LETTER = "dead_letter"
    """Refuse the events that need it."""


@dataclass(frozen=True)
class Wanted:
    """Rows of one view that need their stored features."""

    view: FeatureView
    batch: pa.RecordBatch
    """The view's request columns."""


@dataclass(frozen=True)
class Found:
    """The stored features of a micro-batch."""

    batches: tuple[pa.RecordBatch, ...]
    """For each view that asked, its rows with all columns of a record."""
    unavailable: bool = False
    """True where the store did not answer: every stored column is null then."""
    keys_read: int = 0
    damaged: int = 0
    """Values that were not what somebody wrote; each counts as missing."""


@dataclass(frozen=True)
class _Set:
    """One stored set of one view, and which entity each row asks for."""

    stored: Stored
    keys: tuple[str, ...]
    """Key of the store of each entity, once each."""
    place: pa.Array
    """Row -> place in ``keys``; null where the row names no entity."""


class Lookup:
    """Reads stored features for micro-batches."""

    def __init__(self, store: OnlineStore | None, policy: StorePolicy, deadline_s: float = DEADLINE_S) -> None:
        """Take a store; None does for views without stored features."""
        self._store = store
        self.policy = policy
        self._deadline_s = deadline_s

    def fetch(self, wanted: Sequence[Wanted]) -> Found:
        """Return the stored features of a micro-batch, by one read.

        Args:
            wanted: the rows, by view.

        Raises:
            StoreUnavailableError: the store did not answer in time, and the policy is to wait for it.
            ConfigurationError: a view has stored features and there is no store.
        """
        sets = [[_asked(one, stored) for stored in one.view.stored] for one in wanted]
        keys = list(dict.fromkeys(key for several in sets for one in several for key in one.keys))
        if not any(sets):
            return Found(tuple(one.batch for one in wanted))
        try:
            values, unavailable = self._read(keys), False
        except StoreUnavailableError:
            if self.policy is StorePolicy.PAUSE:
                raise
            values, unavailable = {}, True
        batches, damaged = [], 0
        for one, several in zip(wanted, sets, strict=True):
            batch = one.batch
            for asked in several:
                batch, bad = _with_values(batch, asked, values)
                damaged += bad
            batches.append(batch)
        return Found(tuple(batches), unavailable, len(keys), damaged)

    def _read(self, keys: Sequence[str]) -> Mapping[str, bytes | None]:
        if self._store is None:
            raise ConfigurationError(
                "the model has stored features, and there is no online store",
                fix="set online.uri",
            )
        return dict(zip(keys, self._store.read(keys, self._deadline_s), strict=True)) if keys else {}


def _asked(wanted: Wanted, stored: Stored) -> _Set:
    entities = wanted.view.entities(stored, wanted.batch).dictionary_encode()
    schema8 = stored.layout.schema8
    keys = tuple(online_key(wanted.view.name, stored.name, schema8, one) for one in entities.dictionary.to_pylist())
    return _Set(stored, keys, entities.indices)


def _with_values(batch: pa.RecordBatch, asked: _Set, values: Mapping[str, bytes | None]) -> tuple[pa.RecordBatch, int]:
    """Return the rows with the columns of a stored set, and how many of its values were damaged."""
    decoded = decode_values(asked.stored, [values.get(key) for key in asked.keys])
    if asked.keys:
        columns = decoded.values.take(asked.place).columns  # one call: each costs as much as taking a thousand rows
    else:
        columns = [pa.nulls(batch.num_rows, field.type) for field in asked.stored.record_fields]
    fields = [*batch.schema, *(pa.field(field.name, field.type) for field in asked.stored.record_fields)]
    return pa.RecordBatch.from_arrays([*batch.columns, *columns], schema=pa.schema(fields)), len(decoded.damaged)
