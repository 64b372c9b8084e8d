"""The kernel compiled for this processor, in this process; the only import of llvmlite."""

from __future__ import annotations

import ctypes
import functools
import importlib.resources
import string
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import llvmlite.binding as llvm

from scoretrail.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Callable

Dtype = Literal["float32", "float64"]
Combination = Literal["sum", "min", "max"]

_SCALAR: Final[dict[Dtype, str]] = {"float32": "float", "float64": "double"}
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
_REGISTERS_PER_STRIP: Final = 4
"""Vector registers that hold the words of a strip: chains enough to hide a comparison's latency."""
_MOST_ENTRIES: Final = 8
"""That ``rows`` looks at together: a tree has few, and one gather of 16 takes longer than two of 8."""
_compiling = threading.Lock()
_engines: list[llvm.ExecutionEngine] = []
"""They own the code: none may go while the process lives."""


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

    It takes some hundredths of a second, so nothing is kept on disk that could be stale, shared or written by others.

    Raises:
        DependencyError: it cannot be compiled here.
    """
    with _compiling:
        try:
            engine, strip_rows = _compile(dtype, output, combination)
        except (RuntimeError, OSError) as error:
            raise DependencyError(
                "the tree kernel cannot be compiled on this machine",
                got=(str(error).strip().splitlines() or [type(error).__name__])[0][:300],
                fix="set model.engine: onnxruntime, which needs no compiled code",
            ) from error
    score = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
    return Kernel(
        strip_rows,
        score(engine.get_function_address("strips")),
        score(engine.get_function_address("rows")),
    )


def _compile(dtype: Dtype, output: Dtype, combination: Combination) -> tuple[llvm.ExecutionEngine, int]:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = _host()
    lanes = _lanes(features)
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=cpu, features=features.flatten(), opt=3, jit=True
    )
    module = llvm.parse_assembly(_source(dtype, output, combination, lanes))
    module.verify()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    _engines.append(engine)
    return engine, lanes * _REGISTERS_PER_STRIP


def _host() -> tuple[str, llvm.FeatureMap]:
    """Return the processor's name, and what it can."""
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features()


def _lanes(features: llvm.FeatureMap) -> int:
    """Return how many values of 32 bits a vector register holds; the compiler splits what is wider."""
    return (512 if features.get("avx512f") else 256 if features.get("avx2") else 128) // 32


def _source(dtype: Dtype, output: Dtype, combination: Combination, lanes: int) -> str:
    strip_rows, entries = lanes * _REGISTERS_PER_STRIP, min(lanes, _MOST_ENTRIES)
    scalar = _SCALAR[dtype]
    vector = f"<{strip_rows} x {scalar}>"
    text = (importlib.resources.files("scoretrail.model.trees") / "kernel.ll").read_text(encoding="utf-8")
    return string.Template(text).substitute(
        T=scalar,
        S="f32" if dtype == "float32" else "f64",
        A=4 if dtype == "float32" else 8,
        L=strip_rows,
        G=entries,
        LANES=", ".join(f"i32 {i}" for i in range(entries)),
        O=_SCALAR[output],
        T_TO_O=_conversion(dtype, output),
        T_TO_FLOAT=_conversion(dtype, "float32"),
        O_TO_FLOAT=_conversion(output, "float32"),
        FLOAT_TO_O=_conversion("float32", output),
        FIRST=_FIRST[combination],
        COMBINE_STRIP=_AFTER[combination].format(t=vector, b=f"<{strip_rows} x i1>"),
        COMBINE_ROW=_AFTER[combination].format(t=scalar, b="i1"),
    )


def _conversion(given: Dtype, wanted: Dtype) -> str:
    """Return the instruction that turns one type of number into another; it rounds as IEEE 754 says."""
    if given == wanted:
        return "bitcast"
    return "fpext" if wanted == "float64" else "fptrunc"
