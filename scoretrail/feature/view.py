"""A feature view: the declaration of what goes into a model, and its application to record batches."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scoretrail.errors import FeatureViewError, SchemaMismatchError, nearest
from scoretrail.feature import stored as stored_sets
from scoretrail.feature.schema import TIMESTAMP, Fault, Field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from scoretrail.digest import Json
    from scoretrail.feature.stored import Stored, StoredUse

_INPUT_TYPES: Final = (pa.float32(), pa.float64(), pa.int32(), pa.int64(), pa.bool_(), pa.string())


class Request(Field):
    """A feature that comes with the record.

    >>> Request("distance", pa.float32(), minimum=0, maximum=6000).nullable
    False
    """

    def __init__(self, name: str, type: pa.DataType, **contract: Any) -> None:  # noqa: A002, ANN401
        """Declare a request feature; ``contract`` takes the fields of :class:`~scoretrail.feature.schema.Field`."""
        super().__init__(name=name, type=type, **contract)


class Derived(Field):
    """A feature that a pure function makes from the record, row by row."""

    of: Callable[[pa.RecordBatch], pa.Array]

    def __init__(
        self,
        name: str,
        type: pa.DataType,  # noqa: A002
        *,
        of: Callable[[pa.RecordBatch], pa.Array],
        **contract: Any,  # noqa: ANN401
    ) -> None:
        """Declare a derived feature.

        Args:
            name: the feature's name.
            type: its Arrow type; what ``of`` returns must have it, or widen to it.
            of: takes the checked record (entity key, event time, request, stored and earlier derived features) and
                returns one value per row. It may look at one row at a time only: registration checks that company
                changes nothing.
            contract: the fields of :class:`~scoretrail.feature.schema.Field`.
        """
        super().__init__(name=name, type=type, **contract)
        object.__setattr__(self, "of", of)

    def compute(self, record: pa.RecordBatch) -> pa.Array:
        """Return the feature's column.

        Raises:
            FeatureViewError: the function failed, or returned another type or number of rows.
        """
        try:
            column = self.of(record)
        except Exception as error:
            raise FeatureViewError(
                f"the function of derived feature {self.name!r} failed",
                got=f"{type(error).__name__}: {error}",
            ) from error
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        if not isinstance(column, pa.Array) or len(column) != record.num_rows or not self.accepts(column.type):
            got = f"{column.type}, {len(column)} rows" if isinstance(column, pa.Array) else f"a {type(column).__name__}"
            raise FeatureViewError(
                f"derived feature {self.name!r} has the wrong shape or type",
                expected=f"{self.type}, {record.num_rows} rows",
                got=got,
            )
        return self.conform(column)


@dataclass(frozen=True, kw_only=True)
class FeatureView:
    """What goes into a model, in which order, and what a record must look like."""

    name: str
    entity_key: str
    event_time: str
    request: Sequence[Request]
    stored: Sequence[Stored] = ()
    derived: Sequence[Derived] = ()
    inputs: Sequence[str]
    """What the model sees, in this order."""
    entity_key_type: pa.DataType = dataclass_field(default_factory=pa.string)
    description: str = ""

    def __post_init__(self) -> None:
        """Check the view itself.

        Raises:
            FeatureViewError: it contradicts itself.
        """
        for part in ("request", "stored", "derived", "inputs"):
            object.__setattr__(self, part, tuple(getattr(self, part)))
        sets = [one.name for one in self.stored]
        for names in ([*self.record_columns, *(field.name for field in self.derived)], sets):
            repeated = {name for name in names if names.count(name) > 1}
            if repeated:
                raise FeatureViewError(f"view {self.name!r} uses a name twice", got=", ".join(sorted(repeated)))
        for problem in self._key_problems():
            raise problem
        if len(set(self.inputs)) != len(self.inputs) or not self.inputs:
            raise FeatureViewError(f"view {self.name!r} needs inputs, each once", got=", ".join(self.inputs))
        for name in self.inputs:
            if name not in self._fields:
                raise FeatureViewError(
                    f"view {self.name!r} has an input that is no feature",
                    got=name,
                    fix=f"did you mean {near}?" if (near := nearest(name, self._fields)) else "declare the feature",
                )
            self._refuse_input(self._fields[name])

    def _key_problems(self) -> Iterator[FeatureViewError]:
        for one in self.stored:
            key = self._keys.get(one.key)
            if key is None:
                near = nearest(one.key, self._keys)
                yield FeatureViewError(
                    f"stored set {one.name!r} has a key that is neither a request feature nor the entity key",
                    got=one.key,
                    fix=f"did you mean {near}?" if near else "declare the request feature",
                )
            elif not (pa.types.is_string(key.type) or pa.types.is_integer(key.type)):
                yield FeatureViewError(
                    f"stored set {one.name!r} has a key of a type that names no entity",
                    expected="text or an integer",
                    got=str(key.type),
                )
        if self.stored and ":" in self.name:
            yield FeatureViewError(f"view {self.name!r} has stored sets, and a colon in its name parts their keys")

    def _refuse_input(self, field: Field) -> None:
        if field.type not in _INPUT_TYPES:
            raise FeatureViewError(
                f"input {field.name!r} has a type no model takes",
                expected=", ".join(str(known) for known in _INPUT_TYPES),
                got=str(field.type),
            )
        if field.nullable and not pa.types.is_floating(field.type):
            raise FeatureViewError(
                f"input {field.name!r} may be null, and only floats have a NaN to say so",
                fix="give it a default",
            )

    @cached_property
    def _fields(self) -> dict[str, Field]:
        kept = (field for one in self.stored for field in one.fields)
        return {field.name: field for field in (*self.request, *kept, *self.derived)}

    @cached_property
    def _keys(self) -> dict[str, Field]:
        """The fields that a stored set may be looked up by."""
        key, _, *request = self.request_fields
        return {field.name: field for field in (key, *request)}

    @cached_property
    def request_fields(self) -> tuple[Field, ...]:
        """The columns that come with a record: entity key, event time, request features, in this order."""
        return (
            Field(name=self.entity_key, type=self.entity_key_type, description="entity key"),
            Field(name=self.event_time, type=TIMESTAMP, description="event time"),
            *self.request,
        )

    @cached_property
    def record_fields(self) -> tuple[Field, ...]:
        """The columns a record must have: those that come with it, and those of each stored set, in this order."""
        return (*self.request_fields, *(field for one in self.stored for field in one.record_fields))

    @cached_property
    def record_columns(self) -> tuple[str, ...]:
        """The names of :attr:`record_fields`."""
        return tuple(field.name for field in self.record_fields)

    @cached_property
    def _record_schema(self) -> pa.Schema:
        return pa.schema([pa.field(field.name, field.type) for field in self.record_fields])

    @cached_property
    def input_fields(self) -> tuple[Field, ...]:
        """The model's inputs, in order."""
        return tuple(self._fields[name] for name in self.inputs)

    def contract(self) -> dict[str, Json]:
        """Return the view as JSON values, as the manifest states it; functions are known by the source's digest."""
        # Without stored sets there is no such key: score digests from before there were any stay as they are.
        kept: dict[str, Json] = {"stored": [one.contract() for one in self.stored]} if self.stored else {}
        return {
            "name": self.name,
            "entity_key": {"name": self.entity_key, "type": str(self.entity_key_type)},
            "event_time": self.event_time,
            "request": [field.contract() for field in self.request],
            **kept,
            "derived": [field.contract() for field in self.derived],
            "inputs": list(self.inputs),
        }

    def match(self, schema: pa.Schema, where: str | None = None) -> None:
        """Refuse a schema whose columns cannot become the record's without loss; further columns are ignored.

        Raises:
            SchemaMismatchError: a column is missing (the nearest is named), there twice, or of a narrowing type.
        """
        for field in self.record_fields:
            found = schema.get_all_field_indices(field.name)
            if len(found) != 1:
                near = nearest(field.name, schema.names)
                raise SchemaMismatchError(
                    f"column {field.name!r} is {'missing' if not found else 'there more than once'}",
                    where=where,
                    expected=f"{field.name} {field.type}",
                    got=", ".join(schema.names[:20]) or "no columns",
                    fix=f"did you mean {near!r}?" if near and not found else "write the column once, under this name",
                )
            given = schema.field(found[0]).type
            if not field.accepts(given):
                raise SchemaMismatchError(
                    f"column {field.name!r} has a type that cannot be widened to the declared one",
                    where=where,
                    expected=str(field.type),
                    got=str(given),
                    fix="cast it where the data is written, or change the view",
                )

    def prepare(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[Fault]]:
        """Return the checked record, all rows and declared columns in order, and the rows that break the contract.

        Args:
            batch: a batch whose schema :meth:`match` accepted.

        Raises:
            SchemaMismatchError: a cast would lose something.
        """
        columns, faults = [], []
        for field in self.request_fields:
            column, found = field.check(field.conform(batch.column(field.name)))
            columns.append(column)
            faults += found
        for one in self.stored:
            kept, found = stored_sets.apply(one, batch, columns[1])
            columns += kept
            faults += found
        return pa.RecordBatch.from_arrays(columns, schema=self._record_schema), faults

    def entities(self, stored: Stored, batch: pa.RecordBatch) -> pa.Array:
        """Return which entity each row looks up in a stored set, as text; null where there is none.

        Args:
            stored: one of the view's sets.
            batch: has the column that is the set's key.

        Raises:
            SchemaMismatchError: a cast would lose something.
        """
        field = self._keys[stored.key]
        column, _ = field.check(field.conform(batch.column(field.name)))
        return column if pa.types.is_string(column.type) else pc.cast(column, pa.string())

    def stored_use(self, record: pa.RecordBatch) -> dict[str, StoredUse]:
        """Return what became of each stored set in each row of a checked record, by the set's name."""
        return {one.name: stored_sets.use(one, record, record.column(self.event_time)) for one in self.stored}

    def derive(self, record: pa.RecordBatch) -> tuple[pa.RecordBatch, list[Fault]]:
        """Return the model's inputs in order, all rows, and the rows whose derived features break their contract.

        Args:
            record: rows that :meth:`prepare` found no fault with.

        Raises:
            FeatureViewError: a derived feature failed, or has the wrong shape or type.
        """
        faults: list[Fault] = []
        for field in self.derived:
            column, found = field.check(field.compute(record))
            record = record.append_column(field.name, column)
            faults += found
        return record.select(list(self.inputs)), faults


def faulty_rows(faults: Sequence[Fault]) -> NDArray[np.int64]:
    """Return the rows that have at least one fault, ascending, each once."""
    if not faults:
        return np.empty(0, np.int64)
    return np.unique(np.concatenate([fault.rows for fault in faults]))


def training_inputs(view: FeatureView, table: pa.Table) -> tuple[pa.Table, NDArray[np.int64]]:
    """Return the model's inputs for training, made by the very code that scores, and the rows they came from.

    Args:
        view: the feature view.
        table: records; further columns (the label) are ignored.

    Returns:
        The inputs in the view's order without the refused rows, and the positions of the kept rows in ``table``,
        ascending, by which labels are taken.

    Raises:
        SchemaMismatchError: the table does not fit the view.
        FeatureViewError: a derived feature failed.
    """
    view.match(table.schema, "training data")
    parts, kept, start = [], [], 0
    for batch in table.to_batches():
        record, faults = view.prepare(batch)
        rows = np.setdiff1d(np.arange(batch.num_rows), faulty_rows(faults))
        features, faults = view.derive(record.take(pa.array(rows)))
        good = np.setdiff1d(np.arange(len(rows)), faulty_rows(faults))
        parts.append(features.take(pa.array(good)))
        kept.append(rows[good] + start)
        start += batch.num_rows
    schema = pa.schema([pa.field(field.name, field.type) for field in view.input_fields])
    return pa.Table.from_batches(parts, schema), np.concatenate([np.empty(0, np.int64), *kept])
