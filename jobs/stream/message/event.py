"""The value of an event: JSON to rows of a view's request columns, by a type that is generated from the view."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from jobs.stream.message.refusal import Reason, Refusal
from jobs.stream.record import NO_TIMESTAMP
from scoretrail.errors import FeatureViewError
from scoretrail.feature.schema import TIMESTAMP, FaultCode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jobs.stream.record import Record
    from scoretrail.feature.schema import Field
    from scoretrail.feature.view import FeatureView

FIRST_US: Final = -62_135_596_800_000_000
"""0001-01-01T00:00:00Z in microseconds since 1970; RFC 3339 has four digits for the year."""
LAST_US: Final = 253_402_300_799_999_999
"""9999-12-31T23:59:59.999999Z."""
_INTEGER_BITS: Final = {pa.int8(): 8, pa.int16(): 16, pa.int32(): 32, pa.int64(): 64}
_UNSIGNED_BITS: Final = {pa.uint8(): 8, pa.uint16(): 16, pa.uint32(): 32}
_PLAIN: Final[dict[pa.DataType, Any]] = {
    pa.bool_(): bool,
    pa.float32(): float,
    pa.float64(): float,
    pa.string(): str,
    pa.large_string(): str,
    pa.date32(): date,
}
_MISSING: Final = re.compile(r"Object missing required field `(?P<field>.+)`")
_WRONG: Final = re.compile(r"(?P<problem>.+?)(?:, got `(?P<got>\w+)`)? - at `\$\.(?P<field>.+)`")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Row = msgspec.Struct
"""One decoded event: the fields of :attr:`EventType.fields` in their order."""


class EventType:
    """The JSON object that a view's request columns are, and its way into a record batch.

    A field that is nullable or has a default may be null or missing; unknown fields are ignored; of a field that is
    there twice the last one counts. The event time is an RFC 3339 text with an offset, rounded to the microsecond, or
    an integer: microseconds since 1970.
    """

    def __init__(self, view: FeatureView) -> None:
        """Make the type.

        Raises:
            FeatureViewError: a request feature has a type that JSON has no place for.
        """
        self.fields: tuple[Field, ...] = view.request_fields
        self.schema = pa.schema([pa.field(field.name, field.type) for field in self.fields])
        self._decoder = msgspec.json.Decoder(self._struct)

    @cached_property
    def _struct(self) -> type[Row]:
        # Numbered attributes: a column may have any name, also one that Python keeps for itself.
        return msgspec.defstruct(
            "Event",
            [self._attribute(i, field) for i, field in enumerate(self.fields)],
            frozen=True,
            gc=False,
            kw_only=True,
        )

    def _attribute(self, number: int, field: Field) -> tuple[str, Any, Any]:
        wanted = json_type(field)
        if may_be_missing(field):
            return f"f{number}", wanted | None, msgspec.field(name=field.name, default=None)
        return f"f{number}", wanted, msgspec.field(name=field.name)

    def decode(self, value: bytes) -> Row | Refusal:
        """Return the row that an event's value is, or the first rule of its type that it breaks."""
        try:
            row = self._decoder.decode(value)
            # What is ignored is not decoded either, and JSON in another encoding is none.
            if not value.isascii():
                value.decode()
        except msgspec.ValidationError as error:
            return self._refusal(str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Refusal(Reason.NOT_JSON, "JSON in UTF-8")
        return row

    def _refusal(self, message: str) -> Refusal:
        """Return the refusal that a message of msgspec's tells of; its messages name types and bounds, no values."""
        if missing := _MISSING.fullmatch(message):
            return Refusal(Reason.MISSING_FIELD, "a value", missing["field"])
        wrong = _WRONG.fullmatch(message)
        if wrong is None:
            return Refusal(Reason.WRONG_TYPE, "a JSON object")
        if wrong["got"] == "null":
            return Refusal(FaultCode.NULL, "a value", wrong["field"])
        got = f", got {wrong['got']}" if wrong["got"] else ""
        return Refusal(Reason.WRONG_TYPE, wrong["problem"].replace("`", "").lower() + got, wrong["field"])

    def to_batch(self, rows: Sequence[Row]) -> pa.RecordBatch:
        """Return rows as one record batch of the view's request columns, entity key and event time first."""
        columns: Sequence[Sequence[Any]] = list(zip(*map(msgspec.structs.astuple, rows), strict=True)) or [
            () for _ in self.fields
        ]
        arrays = [
            instants(column) if pa.types.is_timestamp(field.type) else pa.array(column, field.type)
            for column, field in zip(columns, self.fields, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def may_be_missing(field: Field) -> bool:
    """Tell whether an event may leave a field out, or say null."""
    return field.nullable or field.default is not None


def json_type(field: Field) -> Any:  # noqa: ANN401  (a type, or an annotated one)
    """Return what msgspec is to decode a field as.

    Raises:
        FeatureViewError: JSON has no place for its type.
    """
    if field.type in _PLAIN:
        return _PLAIN[field.type]
    if field.type in _INTEGER_BITS:
        edge = 1 << (_INTEGER_BITS[field.type] - 1)
        return Annotated[int, msgspec.Meta(ge=-edge, le=edge - 1)]
    if field.type in _UNSIGNED_BITS:
        return Annotated[int, msgspec.Meta(ge=0, le=(1 << _UNSIGNED_BITS[field.type]) - 1)]
    if field.type == TIMESTAMP:
        text = Annotated[datetime, msgspec.Meta(tz=True)]
        return text | Annotated[int, msgspec.Meta(ge=FIRST_US, le=LAST_US)]
    known = [*_PLAIN, *_INTEGER_BITS, *_UNSIGNED_BITS, TIMESTAMP]
    raise FeatureViewError(
        f"field {field.name!r} cannot come with an event",
        expected=", ".join(str(one) for one in known),
        got=str(field.type),
        fix="declare it as one of these, or as a stored feature",
    )


def instants(values: Sequence[datetime | int | None]) -> pa.Array:
    """Return instants, each an aware time or microseconds since 1970, as a column.

    >>> instants([datetime(1970, 1, 2, tzinfo=UTC), 1]).cast(pa.int64()).to_pylist()
    [86400000000, 1]
    """
    kinds = set(map(type, values)) - {type(None)}
    if int not in kinds:
        return pa.array(values, TIMESTAMP)
    if len(kinds) > 1:
        values = [_microseconds(value) if isinstance(value, datetime) else value for value in values]
    return pa.array(values, pa.int64()).cast(TIMESTAMP)


def _microseconds(at: datetime) -> int:
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def untimely_rows(
    event_time: pa.Array, records: Sequence[Record], max_future_s: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows whose event time lies in the future, and those whose event time no text can tell.

    Args:
        event_time: a column without nulls.
        records: the record of each row; one without a timestamp has no future.
        max_future_s: how far the event time may lie behind the record's timestamp.
    """
    at = np.frombuffer(event_time.buffers()[1], np.int64, len(event_time), event_time.offset * 8)
    got_ms = np.array([record.timestamp_ms for record in records], np.int64)
    latest = np.where(got_ms == NO_TIMESTAMP, LAST_US, got_ms * 1000 + round(max_future_s * 1_000_000))
    return np.flatnonzero(at > latest), np.flatnonzero((at < FIRST_US) | (at > LAST_US))
