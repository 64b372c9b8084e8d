"""The columns of the output tables: their schemas, and the type of a column that parts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from scoretrail.errors import UsageError
from scoretrail.feature.schema import TIMESTAMP
from scoretrail.trail.prediction import prediction_columns, reject_columns, to_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scoretrail.model.manifest import Manifest


def schemas(manifest: Manifest, partition_by: Sequence[tuple[str, pa.DataType]]) -> tuple[pa.Schema, pa.Schema]:
    """Return the schemas of the scored and of the rejects table."""
    return (
        to_schema(prediction_columns(manifest, partition_by)),
        to_schema(reject_columns(manifest, partition_by)),
    )


def partition_type(name: str, given: pa.DataType) -> pa.DataType:
    """Return the type that a table's partition column has for an input's column of a type.

    >>> partition_type("carrier", pa.dictionary(pa.int8(), pa.large_string()))
    DataType(string)

    Raises:
        UsageError: values of the type have no exact text, or none that every reader takes.
    """
    plain = given.value_type if pa.types.is_dictionary(given) else given
    if pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain):
        return pa.string()
    if pa.types.is_timestamp(plain) and plain.tz is not None:
        return TIMESTAMP
    if pa.types.is_boolean(plain) or pa.types.is_date32(plain) or pa.types.is_signed_integer(plain):
        return plain
    raise UsageError(
        f"a table cannot be partitioned by {name!r}",
        expected="text, a date, a time with its zone, a signed integer or a boolean",
        got=str(given),
    )
