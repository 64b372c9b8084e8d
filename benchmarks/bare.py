"""The bare loop that every other way of scoring is measured against: pyarrow, ONNX Runtime, and nothing else.

It proves nothing of what it reads, checks no value, calls the model with whole batches, keeps no record and publishes
nothing. With ``full`` it writes the columns, row groups, encodings and compression that a scored table has; without,
the key and the score. Its reading and writing are set as they were found fastest on this data.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS: Final = 10_000
GROUP_ROWS: Final = 131_072
_THRESHOLD: Final = 0.5
_UTC: Final = pa.timestamp("us", tz="UTC")
_NULLABLE: Final = ("label", "decision", "guard")


@dataclass(frozen=True)
class BareTask:
    """What one process scores on its own."""

    files: tuple[str, ...]
    folder: str
    """Where the outputs go."""
    model: bytes
    inputs: tuple[str, ...]
    """Features in the model's order."""
    key: str
    time: str
    full: bool
    """Whether the columns of a scored table are written, or two."""


def score_files(task: BareTask) -> int:
    """Return how many rows were scored; the session is loaded once per process."""
    session = session_of(task.model)
    rows = 0
    for file in task.files:
        target = Path(task.folder, f"{Path(file).stem}-{os.getpid()}.parquet")
        with pq.ParquetFile(file, pre_buffer=False) as source:
            rows += _write(target, _scored(source, session, file, task))
    return rows


_SESSIONS: dict[int, onnxruntime.InferenceSession] = {}


def session_of(model: bytes) -> onnxruntime.InferenceSession:
    """Return the session of a model, loaded once per process, with one thread as every task has one core."""
    if hash(model) not in _SESSIONS:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        _SESSIONS[hash(model)] = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return _SESSIONS[hash(model)]


def _scored(
    source: pq.ParquetFile, session: onnxruntime.InferenceSession, file: str, task: BareTask
) -> Iterator[pa.RecordBatch]:
    columns = [task.key, *([task.time] if task.full else []), *task.inputs]
    (given,) = session.get_inputs()
    output = session.get_outputs()[1].name
    row = 0
    for batch in source.iter_batches(BATCH_ROWS, columns=columns, use_threads=False):
        matrix = np.asarray(batch.select(list(task.inputs)).to_tensor(row_major=True))
        score = session.run([output], {given.name: matrix})[0][:, 1].astype(np.float64)
        if task.full:
            yield _full(batch, score, row, file, task)
        else:
            yield pa.RecordBatch.from_arrays([batch.column(task.key), pa.array(score)], [task.key, "score"])
        row += batch.num_rows


def _full(batch: pa.RecordBatch, score: Any, row: int, file: str, task: BareTask) -> pa.RecordBatch:  # noqa: ANN401
    rows = batch.num_rows
    classes = pa.array(["0", "1"])
    label = pa.DictionaryArray.from_arrays(pa.array((score >= _THRESHOLD).astype(np.int8)), classes)
    columns: dict[str, pa.Array] = {
        task.key: batch.column(task.key),
        task.time: batch.column(task.time),
        "score": pa.array(score),
        "label": label,
        "decision": label,
        "guard": pa.DictionaryArray.from_arrays(pa.nulls(rows, pa.int8()), pa.array(["capped"])),
        **{name: _constant(value, rows, _type(name)) for name, value in _trail(file).items()},
    }
    columns["source_row"] = pa.array(np.arange(row, row + rows))
    fields = [pa.field(name, column.type, nullable=name in _NULLABLE) for name, column in columns.items()]
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=pa.schema(fields))


def _trail(file: str) -> dict[str, Any]:
    """Return values as long as the real ones; a bare loop knows no digest, so these are made up."""
    digest = "0123456789abcdef" * 4
    return {
        "model_name": "orders",
        "model_version": "1.0.0",
        "role": "champion",
        "model_sha256": digest,
        "bundle_sha256": digest,
        "data_sha256": digest,
        "source_path": Path(file).name,
        "work_key": digest,
        "run_id": "20131201T000000-00000000",
        "scored_at": 1_385_856_000_000_000,
    }


def _type(name: str) -> pa.DataType:
    return _UTC if name == "scored_at" else pa.string()


def _constant(value: Any, rows: int, type_: pa.DataType) -> pa.DictionaryArray:  # noqa: ANN401
    zeros = pa.Array.from_buffers(pa.int8(), rows, [None, pa.py_buffer(bytes(rows))])
    return pa.DictionaryArray.from_arrays(zeros, pa.array([value], type_))


def _write(target: Path, batches: Iterator[pa.RecordBatch]) -> int:
    rows, gathered, writer = 0, [], None
    for batch in batches:
        if writer is None:
            writer = _writer(target, batch.schema)
        gathered.append(batch)
        rows += batch.num_rows
        if sum(one.num_rows for one in gathered) >= GROUP_ROWS:
            writer.write_table(pa.Table.from_batches(gathered), row_group_size=rows)
            gathered = []
    if writer is not None:
        if gathered:
            writer.write_table(pa.Table.from_batches(gathered), row_group_size=rows)
        writer.close()
    return rows


def _writer(target: Path, schema: pa.Schema) -> pq.ParquetWriter:
    dictionary = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    ascending = [field.name for field in schema if field.name == "source_row" or field.type == _UTC]
    return pq.ParquetWriter(
        target,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=dictionary or False,
        column_encoding=dict.fromkeys(ascending, "DELTA_BINARY_PACKED") or None,
        write_batch_size=65_536,
        store_schema=False,
    )
