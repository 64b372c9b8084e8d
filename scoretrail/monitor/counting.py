"""A column of floats counted in one pass, by compiled code where there is a compiler; its counts are NumPy's."""

from __future__ import annotations

import ctypes
import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from scoretrail import assembly
from scoretrail.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scoretrail.assembly import Dtype

    Counter = Callable[[int, int, int, int, int, int], None]
    """(values, n, edges, n_edges, counts, ends), addresses but the two numbers; see count.ll."""

_COUNTED_FIRST: Final = 3
"""NaN and the two infinities."""
_COMPILED: Final[dict[np.dtype[Any], Dtype]] = {np.dtype("float32"): "float32", np.dtype("float64"): "float64"}


@dataclass(frozen=True)
class Pass:
    """What one pass over some numbers found."""

    nan: int
    infinite: int
    low: int | float | None
    """The smallest finite number; None where there is none."""
    high: int | float | None
    above: Sequence[int]
    """Of each edge, how many finite numbers are above it."""


def count_values(values: NDArray[Any], edges: Sequence[float]) -> Pass:
    """Count numbers.

    Args:
        values: one-dimensional, contiguous, integers or floats; NaN and infinities may be among them.
        edges: exact in the values' type.
    """
    dtype = _COMPILED.get(values.dtype) if len(values) else None
    counter = _counter(dtype) if dtype is not None else None
    return _by_numpy(values, edges) if counter is None else _by_kernel(counter, values, edges)


def _by_numpy(values: NDArray[Any], edges: Sequence[float]) -> Pass:
    """Count by one comparison of the whole column for each edge: a search for each value takes twenty times as long."""
    nan = infinite = 0
    low, high = (values.min().item(), values.max().item()) if len(values) else (0, 0)
    # NaN anywhere makes both ends NaN: two passes tell whether all values are finite, as nearly always.
    if not (math.isfinite(low) and math.isfinite(high)):
        nan = int(np.count_nonzero(np.isnan(values)))
        finite = values[np.isfinite(values)]
        infinite, values = len(values) - len(finite) - nan, finite
        low, high = (values.min().item(), values.max().item()) if len(values) else (0, 0)
    room = np.empty(len(values), np.bool_)
    above = [int(np.count_nonzero(np.greater(values, edge, room))) for edge in edges]
    # 0 for -0: the two are equal, so they must read alike.
    return Pass(nan, infinite, low + 0 if len(values) else None, high + 0 if len(values) else None, above)


def _by_kernel(counter: Counter, values: NDArray[Any], edges: Sequence[float]) -> Pass:
    limits, counts = np.array(edges, values.dtype), np.zeros(_COUNTED_FIRST + len(edges), np.int64)
    ends = np.empty(2, values.dtype)
    at_values, at_limits, at_counts, at_ends = [pa.py_buffer(one).address for one in (values, limits, counts, ends)]
    counter(at_values, len(values), at_limits, len(edges), at_counts, at_ends)
    nan, up, down, *above = counts.tolist()
    low, high = ends.tolist()
    none = nan + up + down == len(values)
    return Pass(nan, up + down, None if none else low + 0, None if none else high + 0, [n - up for n in above])


@functools.cache
def _counter(dtype: Dtype) -> Counter | None:
    """Return the compiled code for a type, once a process; None where there is no compiler."""
    if not assembly.is_installed():
        return None
    try:
        rows = assembly.strip_rows()
        source = assembly.read_source(
            "scoretrail.monitor",
            "count.ll",
            T=assembly.SCALAR[dtype],
            S=assembly.SUFFIX[dtype],
            A=assembly.BYTES[dtype],
            L=rows,
            LANES=", ".join(f"i32 {i}" for i in range(rows)),
            TO_64="bitcast" if rows == 64 else "zext",  # noqa: PLR2004  (an integer of as many bits as rows)
        )
        address = assembly.compile_here("the counter of columns", source)
    except DependencyError:
        return None  # NumPy counts the same, and slower
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    return ctypes.CFUNCTYPE(None, pointer, number, pointer, number, pointer, pointer)(address("count"))
