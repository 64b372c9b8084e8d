"""Any slice or choice of rows becomes the same rows of the tensors."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from scoretrail.feature.tensor import TensorSpec, to_tensors

ROWS = 64
RANDOM = np.random.default_rng(3)
BATCH = pa.record_batch(
    {
        "a": pa.array(RANDOM.normal(size=ROWS).astype(np.float32), mask=RANDOM.random(ROWS) < 0.2),
        "b": pa.array(RANDOM.normal(size=ROWS).astype(np.float32)),
        "n": pa.array(RANDOM.integers(-(2**60), 2**60, ROWS)),
        "f": pa.array(RANDOM.random(ROWS) < 0.5),
        "s": pa.array([f"text {i}" for i in range(ROWS)]),
    }
)
SPECS = (
    TensorSpec("matrix", "float32", ("a", "b", "f")),
    TensorSpec("wide", "float64", ("b", "a")),
    TensorSpec("whole", "int64", ("n",)),
    TensorSpec("flag", "bool", ("f",), 1),
    TensorSpec("text", "string", ("s",)),
)
WHOLE = to_tensors(BATCH, SPECS)


@given(start=st.integers(0, ROWS), length=st.integers(0, ROWS), inner=st.integers(0, ROWS))
def test_a_slice_of_a_slice(start: int, length: int, inner: int) -> None:
    made = to_tensors(BATCH.slice(start, length).slice(inner), SPECS)

    for name, tensor in made.items():
        np.testing.assert_array_equal(tensor, WHOLE[name][start : start + length][inner:])
        assert tensor.flags.c_contiguous


@given(rows=st.lists(st.integers(0, ROWS - 1), max_size=2 * ROWS))
def test_a_choice_of_rows(rows: list[int]) -> None:
    made = to_tensors(BATCH.take(pa.array(rows, pa.int64())), SPECS)

    for name, tensor in made.items():
        np.testing.assert_array_equal(tensor, WHOLE[name][rows])
