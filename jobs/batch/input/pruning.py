"""Leaves out the files of which no row can match ``--where``, by their folders and their footers alone."""

from __future__ import annotations

import posixpath
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import TYPE_CHECKING

import pyarrow.dataset as ds

from jobs.batch.input.listing import NULL_PARTITION, with_partitions
from jobs.batch.input.probe import reading
from scoretrail.storage import filesystem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.batch.input.listing import InputFile, InputRoot
    from jobs.batch.input.predicate import Predicate


def prune(
    root: InputRoot, files: Sequence[InputFile], condition: Predicate, options: Mapping[str, str]
) -> list[InputFile]:
    """Return the files of which a row may match, by partition values and footer statistics.

    Raises:
        PredicateError: the condition does not fit a file's columns.
        InputError: a footer cannot be read.
    """
    place, base = filesystem(root.uri, options)
    kind = ds.ParquetFileFormat()

    def may_match(file: InputFile) -> bool:
        path = posixpath.join(base, file.path)
        with reading(path):
            fragment = kind.make_fragment(path, place, partition_expression=_guarantee(file))
            columns = fragment.physical_schema.names
            if any(key in columns for key, _ in file.partition):
                fragment = kind.make_fragment(path, place, partition_expression=_guarantee(file, columns))
            schema = with_partitions(fragment.physical_schema, file.partition)
            expression = condition.expression(schema)
            return bool(fragment.split_by_row_group(expression, schema))

    with ThreadPoolExecutor(cpu_count() or 1) as pool:
        keep = list(pool.map(may_match, files))
    return [file for file, kept in zip(files, keep, strict=True) if kept]


def _guarantee(file: InputFile, columns: Sequence[str] = ()) -> ds.Expression:
    """Return what a file's folders say of all of its rows; of a key that is a column as well, the column speaks."""
    expression = ds.scalar(True)  # noqa: FBT003
    for key, value in file.partition:
        if key not in columns:
            field = ds.field(key)
            expression = expression & (field.is_null() if value == NULL_PARTITION else field == value)
    return expression
