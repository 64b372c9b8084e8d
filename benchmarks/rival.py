"""What one would write with Spark alone: ``mapInArrow`` and ``predict_batch_udf``, key and score as Parquet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import SparkSession
from pyspark.sql import functions as sql
from pyspark.sql.types import DoubleType

from benchmarks.bare import BATCH_ROWS, session_of
from benchmarks.material import FEATURES, KEY


def map_in_arrow(spark: SparkSession, model: bytes, source: Path, output: Path) -> float:
    """Return the seconds that reading, scoring in ``mapInArrow`` and writing took."""

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        session = session_of(model)
        (given,) = session.get_inputs()
        name = session.get_outputs()[1].name
        for batch in batches:
            matrix = np.asarray(batch.select(list(FEATURES)).to_tensor(row_major=True))
            scores = session.run([name], {given.name: matrix})[0][:, 1].astype(np.float64)
            yield pa.RecordBatch.from_arrays([batch.column(KEY), pa.array(scores)], [KEY, "score"])

    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(BATCH_ROWS))
    began = time.perf_counter()
    frame = spark.read.parquet(str(source)).select(KEY, *FEATURES)
    frame.mapInArrow(score, f"{KEY} string, score double").write.parquet(str(output))
    return time.perf_counter() - began


def predict_udf(spark: SparkSession, model: bytes, source: Path, output: Path) -> float:
    """Return the seconds that reading, scoring by ``predict_batch_udf`` and writing took."""

    def make() -> Callable[..., Any]:
        session = session_of(model)
        (given,) = session.get_inputs()
        name = session.get_outputs()[1].name

        def predict(*columns: Sequence[float]) -> Any:  # noqa: ANN401  (a numpy array)
            matrix = np.column_stack(columns).astype(np.float32)
            return session.run([name], {given.name: matrix})[0][:, 1].astype(np.float64)

        return predict

    began = time.perf_counter()
    score = predict_batch_udf(make, return_type=DoubleType(), batch_size=BATCH_ROWS)
    frame = spark.read.parquet(str(source))
    frame.select(KEY, score(*(sql.col(name) for name in FEATURES)).alias("score")).write.parquet(str(output))
    return time.perf_counter() - began
