from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from scoretrail.feature.tensor import ARROW_OF_DTYPE, TensorSpec, to_tensors

BATCH = pa.record_batch(
    {
        "a": pa.array([1, None, 3, 4, 5], pa.float32()),
        "b": pa.array([6, 7, 8, 9, 10], pa.float32()),
        "i": pa.array([1, 2, 3, 4, 5], pa.int32()),
        "n": pa.array([2**53 + 1, -1, 0, 1, 2], pa.int64()),
        "f": pa.array([True, False, True, True, False]),
        "s": pa.array(["p", "", "ß", "q", "r"]),
    }
)


def tensor(dtype: str, columns: tuple[str, ...], rank: int = 2, batch: pa.RecordBatch = BATCH) -> np.ndarray[Any, Any]:
    return to_tensors(batch, [TensorSpec("x", dtype, columns, rank)])["x"]


def test_columns_become_one_matrix_in_the_order_of_the_spec_with_nan_for_null() -> None:
    matrix = tensor("float32", ("b", "a"))

    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    np.testing.assert_array_equal(matrix, [[6, 1], [7, np.nan], [8, 3], [9, 4], [10, 5]])


@pytest.mark.parametrize(
    ("dtype", "columns", "kind"),
    [
        ("float32", ("a",), np.float32),
        ("float64", ("a", "i"), np.float64),
        ("int32", ("i",), np.int32),
        ("int64", ("n", "i"), np.int64),
        ("float32", ("f", "b"), np.float32),
        ("int64", ("f",), np.int64),
        ("bool", ("f",), np.bool_),
        ("string", ("s",), np.object_),
    ],
)
def test_every_type_keeps_its_values_in_any_slice(dtype: str, columns: tuple[str, ...], kind: type) -> None:
    expected = np.array([BATCH.column(name).to_pylist() for name in columns], dtype=object).T

    for start, length in ((0, 5), (1, 3), (2, 1), (4, 1), (5, 0), (0, 0)):
        matrix = tensor(dtype, columns, batch=BATCH.slice(start, length))
        assert matrix.shape == (length, len(columns))
        assert matrix.dtype == kind
        assert matrix.flags.c_contiguous
        got = [
            [None if isinstance(value, float) and math.isnan(value) else value for value in row]
            for row in matrix.tolist()
        ]
        assert got == expected[start : start + length].tolist()


@pytest.mark.parametrize(("dtype", "name"), [("float32", "b"), ("int64", "n"), ("string", "s"), ("bool", "f")])
def test_a_tensor_of_one_dimension_is_one_column(dtype: str, name: str) -> None:
    assert tensor(dtype, (name,), rank=1).tolist() == BATCH.column(name).to_pylist()
    assert tensor(dtype, (name,), rank=1, batch=BATCH.slice(3, 2)).tolist() == BATCH.column(name).to_pylist()[3:]


def test_integers_beyond_the_reach_of_floats_keep_their_value() -> None:
    assert tensor("int64", ("n",))[0, 0] == 2**53 + 1


def test_a_boolean_slice_that_does_not_begin_at_a_byte_is_read_bit_by_bit() -> None:
    flags = [i % 3 == 0 for i in range(40)]
    batch = pa.record_batch({"f": flags})

    assert tensor("bool", ("f",), batch=batch.slice(11, 20))[:, 0].tolist() == flags[11:31]


def test_several_inputs_of_several_types_come_by_name() -> None:
    made = to_tensors(BATCH, [TensorSpec("s", "string", ("s",)), TensorSpec("m", "float32", ("a", "b"))])

    assert {name: array.shape for name, array in made.items()} == {"s": (5, 1), "m": (5, 2)}
    assert [type(value) for value in made["s"][:, 0]] == [str] * 5


def test_every_type_a_graph_may_ask_for_has_an_arrow_type() -> None:
    assert set(ARROW_OF_DTYPE) == {"float32", "float64", "int32", "int64", "bool", "string"}


def test_making_tensors_imports_no_pandas() -> None:
    """The import costs each worker process about a second; Arrow's own conversions to numpy make it."""
    program = """
import sys
import numpy as np, pyarrow as pa
from scoretrail.feature.tensor import TensorSpec, to_tensors
def column(values, type): return pa.Array.from_buffers(type, len(values), [None, pa.py_buffer(values)])
batch = pa.RecordBatch.from_arrays(
    [column(np.arange(3, dtype=np.float32), pa.float32()), column(np.arange(3), pa.int64())], ["a", "n"]
)
made = to_tensors(batch, [TensorSpec("m", "float32", ("a",)), TensorSpec("n", "int64", ("n",))])
assert made["n"].tolist() == [[0], [1], [2]]
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
