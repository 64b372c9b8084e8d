"""From the messages of a topic of predictions to rows of the archive."""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pyarrow as pa

from jobs.archive.columns import EVENT_DATE, ROW_SHA256, archive_columns
from scoretrail.errors import OutputTableError
from scoretrail.feature.schema import TIMESTAMP
from scoretrail.trail.prediction import class_columns, stored_columns, to_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.stream.record import Record
    from scoretrail.model.manifest import Manifest

_CE_ID: Final = "ce_id"


class _Source(msgspec.Struct):
    cluster: str
    topic: str
    partition: int
    offset: int


class _Trail(msgspec.Struct):
    bundle_sha256: str
    engine: str
    event_sha256: str
    features_sha256: str
    model: str
    model_sha256: str
    onnxruntime: str
    outcome: int
    repeats_bits: bool
    role: str
    score_digest: str
    scoring_version: int
    source: _Source
    version: str


class _Stored(msgspec.Struct):
    age_s: int | None
    outcome: str


class _Prediction(msgspec.Struct):
    """The value of a prediction; fields that are added to it later are ignored."""

    entity_key: str | int
    event_time: datetime
    score: float
    label: str | None
    decision: str | None
    guard: str | None
    stored: dict[str, _Stored]
    store_unavailable: bool
    inputs: str
    inputs_schema: str
    scored_at: datetime
    trail: _Trail
    class_scores: dict[str, float] = {}


_DECODER: Final = msgspec.json.Decoder(_Prediction)


@dataclass(frozen=True)
class Decoded:
    """What records are."""

    rows: pa.RecordBatch
    passed_over: list[Record]
    """Records that are no prediction, or another model's."""


class RowMaker:
    """Makes rows of the predictions of one model."""

    def __init__(self, manifest: Manifest) -> None:
        """Take the columns from a manifest.

        Raises:
            OutputTableError: the view uses a name that the archive needs.
        """
        self.columns = archive_columns(manifest)
        self.schema: Final = pa.schema([pa.field(column.name, column.type) for column in self.columns])
        self.table_schema: Final = to_schema(self.columns)
        self.event_time: Final[str] = manifest.view["event_time"]
        self._model = manifest.name
        self._key: str = manifest.view["entity_key"]["name"]
        classes = manifest.output.classes if manifest.output.task == "multiclass" else ()
        self._classes = dict(zip(classes, class_columns(classes), strict=True))
        self._stored = {stored["name"] for stored in manifest.view.get("stored", ())}

    def decode(self, records: Sequence[Record]) -> Decoded:
        """Return the rows that records are, in their order.

        Raises:
            OutputTableError: a prediction of the model has other classes, stored sets or keys than the archive.
        """
        taken: list[tuple[Record, _Prediction, bytes]] = []
        passed_over = []
        for record in records:
            try:
                found = _DECODER.decode(record.value or b"")
                inputs = binascii.a2b_base64(found.inputs, strict_mode=True)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, binascii.Error):
                passed_over.append(record)
                continue
            if found.trail.model == self._model:
                taken.append((record, found, inputs))
            else:
                passed_over.append(record)
        return Decoded(self._rows(taken), passed_over)

    def _rows(self, taken: Sequence[tuple[Record, _Prediction, bytes]]) -> pa.RecordBatch:
        values: dict[str, list[Any]] = {name: [] for name in self.schema.names if name not in (EVENT_DATE, ROW_SHA256)}
        for record, found, inputs in taken:
            if found.stored.keys() != self._stored or found.class_scores.keys() != self._classes.keys():
                raise self._other_shape(record)
            for name, value in self._row(record, found, inputs).items():
                values[name].append(value)
        try:
            arrays = {name: pa.array(column, self.schema.field(name).type) for name, column in values.items()}
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise self._other_shape(taken[0][0]) from error
        arrays[EVENT_DATE] = arrays[self.event_time].cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
        batch = pa.RecordBatch.from_arrays(list(arrays.values()), list(arrays))
        arrays[ROW_SHA256] = pa.array(row_digests(batch), pa.string())
        return pa.RecordBatch.from_arrays([arrays[name] for name in self.schema.names], schema=self.schema)

    def _row(self, record: Record, found: _Prediction, inputs: bytes) -> dict[str, Any]:
        trail, source = found.trail, found.trail.source
        stored = {
            column: value
            for name, use in found.stored.items()
            for column, value in zip(stored_columns(name), (use.age_s, use.outcome), strict=True)
        }
        return {
            self._key: found.entity_key,
            self.event_time: found.event_time,
            "score": found.score,
            **{column: found.class_scores[label] for label, column in self._classes.items()},
            "label": found.label,
            "decision": found.decision,
            "guard": found.guard,
            "model_name": trail.model,
            "model_version": trail.version,
            "role": trail.role,
            "model_sha256": trail.model_sha256,
            "bundle_sha256": trail.bundle_sha256,
            "scored_at": found.scored_at,
            **stored,
            "ce_id": (dict(record.headers).get(_CE_ID) or b"").decode("latin-1"),
            "outcome": trail.outcome,
            "source_cluster": source.cluster,
            "source_topic": source.topic,
            "source_partition": source.partition,
            "source_offset": source.offset,
            "event_sha256": trail.event_sha256,
            "features_sha256": trail.features_sha256,
            "inputs": inputs,
            "inputs_schema": found.inputs_schema,
            "score_digest": trail.score_digest,
            "scoring_version": trail.scoring_version,
            "engine": trail.engine,
            "onnxruntime": trail.onnxruntime,
            "repeats_bits": trail.repeats_bits,
            "store_unavailable": found.store_unavailable,
            "prediction_partition": record.partition,
            "prediction_offset": record.offset,
        }

    def _other_shape(self, record: Record) -> OutputTableError:
        return OutputTableError(
            f"a prediction of {self._model} has other classes, stored sets or keys than the archive",
            where=f"{record.topic}/{record.partition} from offset {record.offset}",
            fix="let a version with another contract publish to a topic of its own, with an archive of its own",
        )


def row_digests(rows: pa.RecordBatch) -> list[str]:
    """Return the sha256 of each row: of its columns but the digest itself and the date, nulls left out.

    Columns that are added to the archive later, and are null, change no digest.
    """
    columns = [
        [None if text is None else f"{encode_basestring(name)}:{text}" for text in _texts(rows.column(name))]
        for name in sorted(rows.schema.names)
        if name not in (EVENT_DATE, ROW_SHA256)
    ]
    return [
        hashlib.sha256(("{" + ",".join(filter(None, row)) + "}").encode()).hexdigest()
        for row in zip(*columns, strict=True)
    ]


def _texts(column: pa.Array) -> Iterator[str | None]:
    """Yield the JSON of each value."""
    type_ = column.type
    if type_ == TIMESTAMP:
        column = column.cast(pa.int64())
    elif pa.types.is_large_string(type_):
        column = column.cast(pa.string())
    for value in column.to_pylist():
        if value is None:
            yield None
        elif isinstance(value, str):
            yield encode_basestring(value)
        elif isinstance(value, bytes):
            yield f'"{value.hex()}"'
        elif isinstance(value, bool):
            yield "true" if value else "false"
        else:
            yield repr(value)
