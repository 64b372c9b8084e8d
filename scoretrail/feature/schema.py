"""One column's contract: its type, what is normalised on the way in, and which rows are refused."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scoretrail.errors import FeatureViewError, SchemaMismatchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from scoretrail.digest import Json

TIMESTAMP: Final = pa.timestamp("us", tz="UTC")
"""The one time type: Delta's and Spark's."""

Value = bool | int | float | str
_NORMALISATIONS: Final[Mapping[str, Any]] = {
    "strip": pc.utf8_trim_whitespace,
    "upper": pc.utf8_upper,
    "lower": pc.utf8_lower,
}
_EXACT_INTEGER_BITS: Final = {pa.float32(): 24, pa.float64(): 53}
"""Integers of up to this many bits are exact in the float type (IEEE 754 significands)."""
_DTYPES: Final[Mapping[Any, np.dtype[Any]]] = {pa.float32(): np.dtype(np.float32), pa.float64(): np.dtype(np.float64)}


class FaultCode(enum.StrEnum):
    """Why a row is refused; the codes of the rejects table."""

    NULL = "null_not_allowed"
    INFINITE = "infinite"
    RANGE = "out_of_range"
    CATEGORY = "unknown_category"
    STORED_MISSING = "stored_missing"
    STORED_FUTURE = "stored_future"
    STORED_STALE = "stored_stale"
    SCORE_NOT_FINITE = "score_not_finite"
    SCORE_BOUNDS = "score_out_of_bounds"


@dataclass(frozen=True)
class Fault:
    """Rows of one batch that one rule refuses."""

    code: FaultCode
    field: str
    expected: str
    rows: NDArray[np.int64]
    """Positions in the batch that was checked, ascending."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One column's contract.

    What is *normalised*: a type that widens without loss is cast; dictionary and large types are unpacked; strings
    go through ``normalise``; NaN is null; null becomes ``default``; with ``clip`` a value outside the range moves to
    its edge; with ``other`` an unknown category becomes that category. All else that breaks the contract is *refused*.
    """

    name: str
    type: pa.DataType
    nullable: bool = False
    """Null reaches the model as NaN; only float fields may."""
    default: Value | None = None
    """Takes the place of null."""
    minimum: float | None = None
    maximum: float | None = None
    """The range, both ends included."""
    clip: bool = False
    categories: tuple[str, ...] | None = None
    other: str | None = None
    """The category of what ``categories`` does not list; it must be listed itself."""
    normalise: tuple[str, ...] = ()
    """Steps applied to strings in order: strip, upper, lower."""
    description: str = dataclass_field(default="", compare=False)

    def __post_init__(self) -> None:
        """Check the contract itself.

        Raises:
            FeatureViewError: it contradicts itself.
        """
        for problem in chain(self._range_problems(), self._text_problems(), self._default_problems()):
            raise FeatureViewError(f"field {self.name!r} {problem}")

    def _range_problems(self) -> Iterator[str]:
        edges = [edge for edge in (self.minimum, self.maximum) if edge is not None]
        if edges and not _is_number(self.type):
            yield "has a range but is no number"
        elif not all(self._holds(edge) for edge in edges):
            yield f"has a range whose edges {self.type} cannot hold"
        elif sorted(edges) != edges:
            yield "has a minimum above its maximum"
        if self.clip and not edges:
            yield "clips to a range it does not have"

    def _text_problems(self) -> Iterator[str]:
        categories = self.categories or ()
        if (self.categories is not None or self.normalise) and not pa.types.is_string(self.type):
            yield "has categories or normalises text, but is no string"
        elif any(step not in _NORMALISATIONS for step in self.normalise):
            yield f"has an unknown normalisation; there are {', '.join(_NORMALISATIONS)}"
        elif not all(isinstance(category, str) for category in categories):
            yield "has a category that is no text"
        elif categories and not pa.array(categories, pa.string()).equals(
            self.conform(pa.array(categories, pa.string()))
        ):
            yield "has a category that its own normalisation would change, so that no record could have it"
        if len(set(categories)) != len(categories):
            yield "repeats a category"
        if self.other is not None and self.other not in categories:
            yield "names an `other` that is not among its categories"

    def _default_problems(self) -> Iterator[str]:
        if self.default is None:
            return
        if self.nullable:
            yield "is nullable and has a default: choose one"
        if not self._holds(self.default):
            yield f"has a default that {self.type} cannot hold"
        elif self.check(self.conform(pa.array([self.default], self.type)))[1]:
            yield "has a default that breaks its own contract"

    def _holds(self, value: Value) -> bool:
        """Tell whether the type can hold a constant without loss; rounding to the nearest float is none."""
        if isinstance(value, str):
            return bool(pa.types.is_string(self.type))
        if isinstance(value, bool):
            return bool(pa.types.is_boolean(self.type))
        try:
            # Not `pa.scalar(value, type)`: that makes 0 of 0.5.
            return _is_number(self.type) and math.isfinite(pa.scalar(value).cast(self.type).as_py())
        except pa.ArrowInvalid:
            return False

    def contract(self) -> dict[str, Json]:
        """Return the contract as JSON values, as the manifest states it."""
        return {
            "name": self.name,
            "type": str(self.type),
            "nullable": self.nullable,
            "default": self.default,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "clip": self.clip,
            "categories": list(self.categories) if self.categories is not None else None,
            "other": self.other,
            "normalise": list(self.normalise),
            "description": self.description,
        }

    def accepts(self, given: pa.DataType) -> bool:
        """Tell whether a column of type ``given`` can be cast to this field's type without loss.

        >>> field = Field(name="x", type=pa.float32())
        >>> field.accepts(pa.int16()), field.accepts(pa.float64())
        (True, False)
        """
        if pa.types.is_dictionary(given):
            given = given.value_type
        if given == self.type:
            return True
        if pa.types.is_string(self.type):
            return bool(pa.types.is_large_string(given) or pa.types.is_string_view(given))
        if pa.types.is_timestamp(self.type):
            return bool(pa.types.is_timestamp(given) and (given.tz is None) == (self.type.tz is None))
        if pa.types.is_integer(given):
            return _integer_widens(given, self.type)
        both_float = pa.types.is_floating(given) and pa.types.is_floating(self.type)
        return bool(both_float and given.bit_width < self.type.bit_width)

    def conform(self, column: pa.Array) -> pa.Array:
        """Return the column in this field's type and spelling.

        Raises:
            SchemaMismatchError: the cast would lose something, such as nanoseconds.
        """
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if column.type != self.type:
            try:
                column = column.cast(self.type, safe=True)
            except pa.ArrowInvalid as error:
                raise SchemaMismatchError(
                    f"column {self.name!r} cannot be cast without loss",
                    expected=str(self.type),
                    got=str(column.type),
                    fix="write the column in the declared type",
                ) from error
        for step in self.normalise:
            column = _NORMALISATIONS[step](column)
        return column

    def check(self, column: pa.Array) -> tuple[pa.Array, list[Fault]]:
        """Return the column with defaults, clips and `other` applied, and the rows that break the contract.

        Args:
            column: as :meth:`conform` returned it.
        """
        faults: list[Fault] = []
        if self._is_plainly_good(column):
            return column, faults
        if pa.types.is_floating(self.type):
            column = self._check_finite(column, faults)
        if column.null_count:
            if self.default is not None:
                column = pc.fill_null(column, pa.scalar(self.default, self.type))
            elif not self.nullable:
                self._fault(faults, FaultCode.NULL, "a value", column.is_null())
        if self.categories is not None:
            column = self._check_category(column, faults)
        if self.minimum is not None or self.maximum is not None:
            column = self._check_range(column, faults)
        return column, faults

    @cached_property
    def _dtype(self) -> np.dtype[Any] | None:
        return _DTYPES.get(self.type)

    def _is_plainly_good(self, column: pa.Array) -> bool:
        """Tell whether a float column holds finite values in the range and nothing else: what nearly every column does.

        Two passes without a copy, at a third of what the kernels cost that say what is wrong.
        """
        dtype = self._dtype
        if dtype is None or column.null_count or not len(column):
            return False
        values = np.frombuffer(column.buffers()[1], dtype, len(column), column.offset * dtype.itemsize)
        low, high = float(np.minimum.reduce(values)), float(np.maximum.reduce(values))  # NaN anywhere makes both NaN
        return (
            math.isfinite(low)
            and math.isfinite(high)
            and (self.minimum is None or low >= self.minimum)
            and (self.maximum is None or high <= self.maximum)
        )

    def _check_finite(self, column: pa.Array, faults: list[Fault]) -> pa.Array:
        # One vectorised pass tells whether anything is NaN or infinite; only then is it worth asking what.
        total = pc.sum(column).as_py()
        if total is None or math.isfinite(total):
            return column
        nan = pc.is_nan(column)
        if pc.any(nan).as_py():
            column = pc.if_else(pc.fill_null(nan, False), pa.scalar(None, self.type), column)  # noqa: FBT003
        infinite = pc.fill_null(pc.is_inf(column), False)  # noqa: FBT003
        self._fault(faults, FaultCode.INFINITE, "a finite number", infinite)
        return column

    def _check_category(self, column: pa.Array, faults: list[Fault]) -> pa.Array:
        known = pc.is_in(column, value_set=pa.array(self.categories, self.type))
        unknown = pc.and_(pc.invert(known), column.is_valid())
        if not pc.any(unknown).as_py():
            return column
        if self.other is not None:
            return pc.if_else(unknown, pa.scalar(self.other, self.type), column)
        self._fault(faults, FaultCode.CATEGORY, f"one of {len(self.categories or ())} categories", unknown)
        return column

    def _check_range(self, column: pa.Array, faults: list[Fault]) -> pa.Array:
        edges = pc.min_max(column)
        low, high = edges["min"].as_py(), edges["max"].as_py()
        if low is None or (
            (self.minimum is None or low >= self.minimum) and (self.maximum is None or high <= self.maximum)
        ):
            return column
        if self.clip:
            # Not min_element_wise: it may turn -0 to 0, and only where another row has to be clipped.
            for edge, beyond in ((self.minimum, pc.less), (self.maximum, pc.greater)):
                if edge is not None:
                    limit = pa.scalar(edge, self.type)
                    column = pc.if_else(pc.fill_null(beyond(column, limit), False), limit, column)  # noqa: FBT003
            return column
        outside = [
            compare(column, pa.scalar(edge).cast(self.type))
            for edge, compare in ((self.minimum, pc.less), (self.maximum, pc.greater))
            if edge is not None
        ]
        bad = pc.fill_null(outside[0] if len(outside) == 1 else pc.or_(*outside), False)  # noqa: FBT003
        self._fault(faults, FaultCode.RANGE, f"{_edge(self.minimum)} to {_edge(self.maximum)}", bad)
        return column

    def _fault(self, faults: list[Fault], code: FaultCode, expected: str, bad: pa.BooleanArray) -> None:
        rows = positions(bad)
        if len(rows):
            faults.append(Fault(code, self.name, expected, rows))


def positions(mask: pa.BooleanArray) -> NDArray[np.int64]:
    """Return the positions where a mask is true, ascending.

    >>> positions(pa.array([False, True, None, True])).tolist()
    [1, 3]
    """
    found = pc.indices_nonzero(mask)
    return np.frombuffer(found.buffers()[1], np.uint64, len(found), found.offset * 8).astype(np.int64)


def _edge(value: float | None) -> str:
    return "any" if value is None else f"{value:g}"


def _is_number(given: pa.DataType) -> bool:
    return bool(pa.types.is_integer(given) or pa.types.is_floating(given))


def _integer_widens(given: pa.DataType, wanted: pa.DataType) -> bool:
    bits = given.bit_width - (0 if pa.types.is_unsigned_integer(given) else 1)
    if wanted in _EXACT_INTEGER_BITS:
        return bool(bits <= _EXACT_INTEGER_BITS[wanted])
    return bool(pa.types.is_signed_integer(wanted) and bits <= wanted.bit_width - 1)
