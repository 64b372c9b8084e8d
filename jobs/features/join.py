"""The as-of join in Spark SQL: each record with the value of each stored set that was available at its event time.

Records and values of an entity are put in one order of time, and a running maximum goes through it: one sort and one
pass. Spark's own ``LEFT ASOF JOIN`` compares each record with every value of its entity (docs/decisions/0012).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import Window
from pyspark.sql import functions as F  # noqa: N812  (as everybody calls it)

from jobs.batch.input.listing import NULL_PARTITION
from jobs.batch.spark.failure import raise_of_task
from jobs.features.table import AVAILABLE_AT, ENTITY, EVENT_TIME, columns, refuse_repeats
from scoretrail.errors import FeatureViewError
from scoretrail.storage import join as place
from scoretrail.storage import normalise_uri

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame, SparkSession

    from jobs.features.file import SourceFile
    from jobs.features.table import OfflineTable
    from jobs.progress import Progress
    from scoretrail.feature import FeatureView, Stored
    from scoretrail.feature.schema import Field

FILE_ROWS: Final = 1_000_000
"""A larger partition is written as several files; one is what a batch task scores at a time."""
_MAX_TASKS: Final = 4096

_CONF: Final = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",  # the default is a type that Arrow reads as another
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    "spark.sql.files.openCostInBytes": "65536",  # tables are often many small files: several to a task
}
_TYPES: Final[Mapping[Any, str]] = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INT",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.string(): "STRING",
    pa.date32(): "DATE",
    pa.timestamp("us", "UTC"): "TIMESTAMP",
}
_SHARE: Final = "__share"
_AT: Final = "__at"
_IS_RECORD: Final = "__is_record"
_VALUE: Final = "__value"
Partition = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Census:
    """What one partition holds, in a form that tells lost and doubled rows."""

    rows: int
    fingerprint: int
    """Sum over the rows of a hash of entity key and event time: the order of rows plays no part."""


@dataclass(frozen=True)
class Joining:
    """What is joined, and where the result is written."""

    view: FeatureView
    root: str
    records: Sequence[SourceFile]
    tables: Sequence[OfflineTable]
    """Every stored set of the view, in its order, with the files that matter."""
    target: str
    """A folder of its own, which is not there."""


def write_joined(
    session: SparkSession, joining: Joining, progress: Progress
) -> tuple[dict[Partition, Census], dict[Partition, Census]]:
    """Write the joined records and return what the input held and what was written, by partition.

    Args:
        session: Spark's; its settings stay as they are.
        joining: what is joined.
        progress: is told of the steps.

    Raises:
        InputError: a table repeats a value, or has one without an entity or a time.
        FeatureViewError: the view has a type that Spark has no word for.
        RetryLaterError: Spark gave up.
    """
    session = session.newSession()
    for name, value in _CONF.items():
        session.conf.set(name, value)
    keys = [key for key, _ in joining.records[0].partition]
    try:
        records = _records(session, joining, keys)
        values = [_values(session, table) for table in joining.tables]
        for table, rows in zip(joining.tables, values, strict=True):
            progress.step(f"checking table {table.stored.name}")
            _refuse_bad(rows, table)
        progress.step(f"joining {sum(file.rows for file in joining.records):,} records")
        joined = _joined(records, values, joining)
        _write(joined, joining, keys)
        progress.step("counting what was written")
        written = session.read.schema(joined.schema).parquet(_spark_path(joining.target))
        return _census(records, joining.view, keys), _census(written, joining.view, keys)
    except (Py4JError, PySparkException) as error:
        raise_of_task(error)


def _records(session: SparkSession, joining: Joining, keys: Sequence[str]) -> DataFrame:
    """Return the records in the declared types, with the partition keys that are no column of theirs."""
    more = [key for key in keys if key not in joining.view.record_columns]
    return _read(session, joining.root, joining.records, joining.view.request_fields, more)


def _values(session: SparkSession, table: OfflineTable) -> DataFrame:
    """Return a table's values under the names that they have in a record, and their entity."""
    stored = table.stored
    names = {ENTITY: _entity(stored), EVENT_TIME: stored.event_time, AVAILABLE_AT: stored.available_at}
    return _read(session, table.uri, table.files, columns(stored)).withColumnsRenamed(names)


def _read(
    session: SparkSession, root: str, files: Sequence[SourceFile], fields: Sequence[Field], more: Sequence[str] = ()
) -> DataFrame:
    """Return the fields' columns of files in their declared types; Spark reads files of one width at a time."""
    typed = [_quoted(field.name).cast(_type(field)).alias(field.name) for field in fields]
    if not files:
        nothing = session.range(0).select(*(F.lit(None).alias(field.name) for field in fields))
        return nothing.select(*typed)
    by_types: dict[tuple[str, ...], list[str]] = {}
    for file in files:
        types = tuple(str(file.schema.field(field.name).type) for field in fields)
        by_types.setdefault(types, []).append(_spark_path(place(root, file.path)))
    frames = [
        session.read.option("basePath", _spark_path(root)).parquet(*paths).select(*typed, *map(_quoted, more))
        for paths in by_types.values()
    ]
    return functools.reduce(lambda one, other: one.unionByName(other), frames)


def _refuse_bad(values: DataFrame, table: OfflineTable) -> None:
    stored = table.stored
    identity = [_entity(stored), stored.event_time, stored.available_at]
    nulls = functools.reduce(lambda one, other: one | other, (F.col(name).isNull() for name in identity))
    counts = values.groupBy(*identity).agg(F.count("*").alias("n"), F.max(nulls).alias("bad"))
    found = counts.agg(
        F.sum(F.col("n") - 1).alias("repeats"), F.sum(F.when(F.col("bad"), F.col("n")).otherwise(0)).alias("nulls")
    ).first()
    repeats, lacking = (found["repeats"], found["nulls"]) if found else (0, 0)
    refuse_repeats(0 if lacking else int(repeats or 0), int(lacking or 0), table)


def _joined(records: DataFrame, values: Sequence[DataFrame], joining: Joining) -> DataFrame:
    """Return the records with the values that stood at their event times, by :func:`jobs.features.latest.latest`."""
    view = joining.view
    # All at once: spelling is Python's, and each pass of rows through Python costs as much as a sort.
    records = records.withColumns({_entity(table.stored): _lookup(view, table.stored) for table in joining.tables})
    for table, rows in zip(joining.tables, values, strict=True):
        stored, entity = table.stored, _entity(table.stored)
        # Structs are compared field by field: the later event time, then what became available later.
        names = (stored.event_time, stored.available_at, *(field.name for field in stored.fields))
        known = rows.select(
            entity,
            F.col(stored.available_at).alias(_AT),
            F.lit(0).alias(_IS_RECORD),
            F.struct(*map(_quoted, names)).alias(_VALUE),
        )
        asked = records.withColumns({_AT: _quoted(view.event_time), _IS_RECORD: F.lit(1)})
        # Records without a key see no value; parted by their own keys, they are not all one task's.
        alone = F.when(F.col(entity).isNull(), F.xxhash64(_quoted(view.entity_key)))
        until = Window.partitionBy(entity, alone).orderBy(_AT, _IS_RECORD)
        standing = F.max(_VALUE).over(until.rowsBetween(Window.unboundedPreceding, Window.currentRow))
        both = asked.unionByName(known, allowMissingColumns=True).withColumn(_VALUE, standing)
        found = (F.col(_VALUE).getField(name).alias(name) for name in names)
        records = both.where(F.col(_IS_RECORD) == 1).select(*map(_quoted, records.columns), *found)
    return records


def _lookup(view: FeatureView, stored: Stored) -> Column:
    """Return the entity that a record looks up, spelt by the view's own code, as the stream spells it."""
    key = next(field for field in view.request_fields if field.name == stored.key)
    if key.normalise or key.other or key.default is not None or key.clip:
        spelt: Any = F.arrow_udf  # type: ignore[attr-defined]  # pyspark's own stubs leave it out
        return cast("Column", spelt(_conforming(key), returnType="STRING")(_quoted(key.name)))
    return _quoted(key.name).cast("STRING")


def _conforming(key: Field) -> Any:  # noqa: ANN401  (a function that Spark pickles)
    def conform(column: pa.Array) -> pa.Array:
        return key.check(key.conform(column))[0].cast(pa.string())

    return conform


def _write(joined: DataFrame, joining: Joining, keys: Sequence[str]) -> None:
    """Write one file per partition, or several of a large one; the same rows give the same files on any cluster."""
    view = joining.view
    rows: dict[str, int] = {}
    for file in joining.records:
        rows[file.slice] = rows.get(file.slice, 0) + file.rows
    shares = max(math.ceil(max(rows.values(), default=0) / FILE_ROWS), 1)
    share = F.pmod(F.xxhash64(_quoted(view.entity_key)), F.lit(shares))
    parts = [_quoted(key) for key in keys]
    order = [_quoted(view.event_time), _quoted(view.entity_key)]
    (
        joined.withColumn(_SHARE, share)
        .repartition(min(len(rows) * shares, _MAX_TASKS), *parts, _SHARE)
        .sortWithinPartitions(*parts, _SHARE, *order)
        .select(*(_quoted(name) for name in dict.fromkeys((*view.record_columns, *keys))))
        .write.option("maxRecordsPerFile", 2 * FILE_ROWS)
        .partitionBy(*keys)
        .parquet(_spark_path(joining.target))
    )


def _census(frame: DataFrame, view: FeatureView, keys: Sequence[str]) -> dict[Partition, Census]:
    hashed = F.xxhash64(_quoted(view.entity_key), _quoted(view.event_time)).cast("DECIMAL(38,0)")
    counted = frame.groupBy(*(_quoted(key) for key in keys)).agg(
        F.count("*").alias("__rows"), F.sum(hashed).alias("__sum")
    )
    return {
        tuple((key, NULL_PARTITION if row[key] is None else str(row[key])) for key in keys): Census(
            row["__rows"], int(row["__sum"] or 0)
        )
        for row in counted.collect()
        if row["__rows"]
    }


def _type(field: Field) -> str:
    """Return the field's type as Spark names it.

    Raises:
        FeatureViewError: Spark has no such type.
    """
    known = _TYPES.get(field.type)
    if known is None:
        raise FeatureViewError(
            f"field {field.name!r} has a type that Spark has no word for",
            expected=", ".join(map(str, _TYPES)),
            got=str(field.type),
        )
    return known


def _entity(stored: Stored) -> str:
    return f"__entity_{stored.key}"


def _name(text: str) -> str:
    escaped = text.replace("`", "``")
    return f"`{escaped}`"


def _quoted(name: str) -> Column:
    return F.col(_name(name))


def _spark_path(uri: str) -> str:
    """Return a place as Hadoop's file systems spell it."""
    if uri.startswith("s3://"):
        return f"s3a://{uri.removeprefix('s3://')}"
    return uri if "://" in uri else f"file://{normalise_uri(uri)}"
