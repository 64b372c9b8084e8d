"""The tree kernel, compiled for a type of sums, one of scores and a way to put values together."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from scoretrail.assembly import BYTES, SCALAR, SUFFIX, compile_here, lanes, read_source, strip_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from scoretrail.assembly import Dtype

Combination = Literal["sum", "min", "max"]

_AFTER: Final[dict[Combination, str]] = {
    "sum": "%after = fadd {t} %before, %v",
    "min": "%less = fcmp olt {t} %v, %before\n  %after = select {b} %less, {t} %v, {t} %before",
    "max": "%more = fcmp ogt {t} %v, %before\n  %after = select {b} %more, {t} %v, {t} %before",
}
_FIRST: Final[dict[Combination, str]] = {
    "sum": "0.0",
    "min": "0x7FF0000000000000",
    "max": "0xFFF0000000000000",
}
_MOST_ENTRIES: Final = 8
"""That ``rows`` looks at together: a tree has few, and one gather of 16 takes longer than two of 8."""


@dataclass(frozen=True)
class Kernel:
    """The compiled functions; see kernel.ll. They let go of the interpreter's lock and keep no state."""

    strip_rows: int
    """Rows that ``strips`` scores together."""
    strips: Callable[[int, int, int, int, int], None]
    """(model, columns, n_rows, out, work), addresses but the third; for many rows."""
    rows: Callable[[int, int, int, int, int], None]
    """The same, for few."""


@functools.cache
def compile_kernel(dtype: Dtype, output: Dtype, combination: Combination) -> Kernel:
    """Return the kernel for a type of sums, one of scores and a way to put values together, compiled once a process.

    Raises:
        DependencyError: it cannot be compiled here.
    """
    rows = strip_rows()
    address = compile_here("the tree kernel", _source(dtype, output, combination, rows, min(lanes(), _MOST_ENTRIES)))
    score = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
    return Kernel(rows, score(address("strips")), score(address("rows")))


def _source(dtype: Dtype, output: Dtype, combination: Combination, rows: int, entries: int) -> str:
    scalar = SCALAR[dtype]
    return read_source(
        "scoretrail.model.trees",
        "kernel.ll",
        T=scalar,
        S=SUFFIX[dtype],
        A=BYTES[dtype],
        L=rows,
        G=entries,
        LANES=", ".join(f"i32 {i}" for i in range(entries)),
        O=SCALAR[output],
        T_TO_O=_conversion(dtype, output),
        T_TO_FLOAT=_conversion(dtype, "float32"),
        O_TO_FLOAT=_conversion(output, "float32"),
        FLOAT_TO_O=_conversion("float32", output),
        FIRST=_FIRST[combination],
        COMBINE_STRIP=_AFTER[combination].format(t=f"<{rows} x {scalar}>", b=f"<{rows} x i1>"),
        COMBINE_ROW=_AFTER[combination].format(t=scalar, b="i1"),
    )


def _conversion(given: Dtype, wanted: Dtype) -> str:
    """Return the instruction that turns one type of number into another; it rounds as IEEE 754 says."""
    if given == wanted:
        return "bitcast"
    return "fpext" if wanted == "float64" else "fptrunc"
