"""Outcomes: Parquet files with the entity key, the event time, what came true and when that became known."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from jobs.batch.input.listing import NULL_PARTITION, InputFile, InputRoot, list_files, with_partitions
from jobs.batch.input.probe import reading
from jobs.labels.day import dates_of, within
from jobs.progress import Progress
from scoretrail import digest
from scoretrail.errors import InputChangedError, InputError, SchemaMismatchError
from scoretrail.feature.schema import TIMESTAMP
from scoretrail.storage import filesystem, join, normalise_uri

_BATCH_ROWS: Final = 65_536
_SHOWN: Final = 5
"""Values that an error names."""


@dataclass(frozen=True)
class OutcomeColumns:
    """What the columns of outcomes are called."""

    key: str
    key_type: pa.DataType
    event_time: str
    outcome: str
    known_at: str
    segments: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """The columns of :meth:`Outcomes.on`, in order."""
        return pa.schema(
            [
                (self.key, self.key_type),
                (self.event_time, TIMESTAMP),
                ("outcome", pa.string()),
                ("known_at", TIMESTAMP),
                *((name, pa.string()) for name in self.segments),
            ]
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """The same columns as the files call them."""
        return (self.key, self.event_time, self.outcome, self.known_at, *self.segments)


@dataclass
class Outcomes:
    """The outcomes below a root, after a look at every file."""

    root: str
    slices: tuple[str, ...]
    columns: OutcomeColumns
    options: Mapping[str, str]
    files: dict[str, InputFile] = field(default_factory=dict)
    """Path -> what the listing says of it."""
    hashes: dict[str, str] = field(default_factory=dict)
    """Path -> sha256."""
    by_date: dict[date, list[str]] = field(default_factory=dict)
    """Event date -> paths of the files that have outcomes of it."""

    def survey(self, classes: Sequence[str], progress: Progress) -> None:
        """Hash every file, learn which event dates it has, and look at every outcome in it.

        Args:
            classes: what an outcome may be.
            progress: is told of rows and files.

        Raises:
            InputError: there are no files, or one cannot be read.
            SchemaMismatchError: a column is missing or has a type that it cannot have, an outcome is no class, or a
                label does not say what it belongs to.
        """
        self._list()
        labels = 0
        progress.start(None, len(self.files), "outcomes")
        try:
            for done, (path, file) in enumerate(self.files.items(), 1):
                with reading(join(self.root, path)), self._place.open_input_file(self._full(path)) as opened:
                    self.hashes[path] = digest.of_stream(opened)[0]
                dates: set[date] = set()
                for rows in self._read(file):
                    self._check(path, rows, classes)
                    dates |= dates_of(rows[self.columns.event_time])
                    labels += rows.num_rows
                for day in dates:
                    self.by_date.setdefault(day, []).append(path)
                progress.update(labels, done)
        finally:
            progress.stop()

    def on(self, day: date) -> pa.Table:
        """Return the labels of an event date that are known; columns as ``columns.schema`` has them.

        Raises:
            InputError: a file cannot be read.
        """
        parts = [
            rows
            for path in self.by_date.get(day, ())
            for rows in self._read(self.files[path], within(self.columns.event_time, day))
        ]
        return pa.concat_tables([self.columns.schema.empty_table(), *parts]).combine_chunks()

    def refuse_change(self) -> None:
        """Look whether the files are still those that were hashed.

        Raises:
            InputChangedError: one changed while it was read.
        """
        for path, file in self.files.items():
            info = self._place.get_file_info(self._full(path))
            if (info.size, info.mtime_ns or 0) != (file.size_bytes, file.mtime_ns):
                raise InputChangedError("outcomes changed while they were read", where=join(self.root, path))

    def to_json(self) -> dict[str, Any]:
        """Return what a record tells of the outcomes."""
        pairs = [list(pair) for pair in sorted(self.hashes.items())]
        return {
            "root": self.root,
            "slices": list(self.slices),
            "files": len(self.files),
            "data_sha256": digest.of_json(pairs),
        }

    def _list(self) -> None:
        self.root = normalise_uri(self.root)
        self._place, base = filesystem(self.root, self.options)
        try:
            info = self._place.get_file_info(base)
        except OSError as error:
            raise InputError("the outcomes cannot be reached", where=self.root, got=str(error)[:300]) from error
        if info.is_file:
            self.root, name = posixpath.split(self.root)
            found = [InputFile.of(info, name)]
        else:
            found = list_files(InputRoot(self.root, self.root), self.slices, self.options)
        self._base = filesystem(self.root, self.options)[1]
        if not found:
            raise InputError("there are no outcomes", where=self.root, expected="*.parquet, in folders or not")
        self.files = {file.path: file for file in found}

    def _full(self, path: str) -> str:
        return posixpath.join(self._base, path)

    def _read(self, file: InputFile, chosen: pc.Expression | None = None) -> Iterator[pa.Table]:
        """Yield the labels of a file that are known, as ``columns.schema`` has them.

        Raises:
            SchemaMismatchError: a column is missing, or cannot be what it must be.
        """
        path = join(self.root, file.path)
        with reading(path):
            schema = pq.read_schema(self._full(file.path), filesystem=self._place)
            self._refuse_schema(path, with_partitions(schema, file.partition))
            sources = self.columns.sources
            from_path = {key: value for key, value in file.partition if key in sources and key not in schema.names}
            in_file = list(dict.fromkeys(name for name in sources if name not in from_path))
            data = ds.dataset(self._full(file.path), filesystem=self._place, format="parquet")
            timed = None if chosen is None else _widened(chosen, schema, self.columns.event_time)
            for batch in data.to_batches(columns=in_file, filter=timed, batch_size=_BATCH_ROWS):
                rows = pa.Table.from_batches([batch])
                for name, value in from_path.items():
                    text = pa.scalar(None if value == NULL_PARTITION else value, pa.string())
                    rows = rows.append_column(name, pa.repeat(text, rows.num_rows))
                if chosen is None or rows.num_rows:
                    made = self._conformed(path, rows)
                    yield made if chosen is None else made.filter(chosen)

    def _refuse_schema(self, path: str, schema: pa.Schema) -> None:
        missing = [name for name in self.columns.sources if name not in schema.names]
        if missing:
            raise SchemaMismatchError(
                "the outcomes lack a column", where=path, expected=", ".join(missing), got=", ".join(schema.names)
            )
        for name in (self.columns.event_time, self.columns.known_at):
            type_ = schema.field(name).type
            if not pa.types.is_timestamp(type_) or type_.tz is None:
                raise SchemaMismatchError(
                    f"column {name!r} of the outcomes is no instant",
                    where=path,
                    expected="a timestamp with its time zone",
                    got=str(type_),
                )

    def _conformed(self, path: str, rows: pa.Table) -> pa.Table:
        columns = self.columns
        try:
            made = [
                rows[columns.key].cast(columns.key_type),
                rows[columns.event_time].cast(TIMESTAMP, safe=False),
                _as_text(rows[columns.outcome]),
                rows[columns.known_at].cast(TIMESTAMP, safe=False),
                *(rows[name].cast(pa.string()) for name in columns.segments),
            ]
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:  # its text may quote a key
            raise SchemaMismatchError(
                "the outcomes do not fit the predictions",
                where=path,
                expected=f"{columns.key}: {columns.key_type}; outcome and segments as text, integers or booleans",
                got=", ".join(f"{name}: {rows.schema.field(name).type}" for name in columns.sources),
            ) from error
        table = pa.table(made, schema=columns.schema)
        return table.filter(table["outcome"].is_valid())

    def _check(self, path: str, rows: pa.Table, classes: Sequence[str]) -> None:
        columns = self.columns
        lacking = pc.or_(rows[columns.key].is_null(), rows[columns.event_time].is_null())
        if pc.any(lacking, min_count=0).as_py():
            raise SchemaMismatchError(
                "an outcome does not say what it belongs to",
                where=join(self.root, path),
                expected=f"{columns.key} and {columns.event_time}",
                got=f"{pc.sum(lacking).as_py()} labels without one of them",
            )
        other = sorted(set(pc.unique(rows["outcome"]).to_pylist()) - set(classes))
        if other:
            raise SchemaMismatchError(
                "an outcome is none of the model's classes",
                where=f"{join(self.root, path)}, column {columns.outcome!r}",
                expected=" or ".join(classes),
                got=", ".join(repr(one) for one in other[:_SHOWN]),
                fix="write outcomes as the model's classes are called: `scoretrail model show` lists them",
            )


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return outcomes as text; a float that is whole is an integer, and NaN is null, as pandas writes them."""
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column).cast(pa.int64())
    return column.cast(pa.string())


def _widened(chosen: pc.Expression, schema: pa.Schema, name: str) -> pc.Expression | None:
    """Return the filter for the file's own type of time; None where it has another unit, and is filtered later."""
    return chosen if schema.field(name).type == TIMESTAMP else None
