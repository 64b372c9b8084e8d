"""What one would write with Spark alone: ``mapInArrow`` and ``predict_batch_udf``, key and score as Parquet."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import SparkSession
from pyspark.sql import functions as sql
from pyspark.sql.types import DoubleType

from benchmarks.bare import BATCH_ROWS, session_of
from benchmarks.material import FEATURES, KEY


def session(cores: int) -> SparkSession:
    """Return a session as Spark starts it, without the settings that Scoretrail gives its own."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(f"local[{cores}]").appName("benchmark")
    spark: SparkSession = builder.config("spark.ui.enabled", "false").getOrCreate()
    return spark


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

        def predict(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
            scores: NDArray[np.float32] = session.run([name], {given.name: matrix.astype(np.float32)})[0]
            return scores[:, 1].astype(np.float64)

        return predict

    began = time.perf_counter()
    shapes = [[len(FEATURES)]]
    score = predict_batch_udf(make, return_type=DoubleType(), batch_size=BATCH_ROWS, input_tensor_shapes=shapes)
    frame = spark.read.parquet(str(source))
    inputs = sql.array(*FEATURES)
    frame.select(KEY, score(inputs).alias("score")).write.parquet(str(output))
    return time.perf_counter() - began
