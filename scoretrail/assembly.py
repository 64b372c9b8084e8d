"""Code in LLVM's own language, compiled for this processor in this process; the only import of llvmlite.

It takes some hundredths of a second, so nothing is kept on disk that could be stale, shared or written by others; see
docs/decisions/0020.
"""

from __future__ import annotations

import importlib.resources
import importlib.util
import string
import threading
from typing import TYPE_CHECKING, Any, Final, Literal

from scoretrail.errors import DependencyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from llvmlite import binding

Dtype = Literal["float32", "float64"]

SCALAR: Final[dict[Dtype, str]] = {"float32": "float", "float64": "double"}
"""LLVM's name of a type of number."""
SUFFIX: Final[dict[Dtype, str]] = {"float32": "f32", "float64": "f64"}
"""What stands for it in the name of an intrinsic function."""
BYTES: Final[dict[Dtype, int]] = {"float32": 4, "float64": 8}
_REGISTERS_PER_STRIP: Final = 4
"""Vector registers that hold a strip: chains enough to hide a comparison's latency."""
_compiling = threading.Lock()
_engines: list[binding.ExecutionEngine] = []
"""They own the code: none may go while the process lives."""


def is_installed() -> bool:
    """Tell whether there is a compiler at all: llvmlite, the extra ``trees``."""
    return importlib.util.find_spec("llvmlite") is not None


def read_source(package: str, file: str, **values: Any) -> str:  # noqa: ANN401
    """Return a file of a package with its ``$names`` replaced by values."""
    text = (importlib.resources.files(package) / file).read_text(encoding="utf-8")
    return string.Template(text).substitute(values)


def lanes() -> int:
    """Return how many values of 32 bits a vector register holds; the compiler splits what is wider.

    Raises:
        DependencyError: there is no compiler.
    """
    _, features = _host()
    return (512 if features.get("avx512f") else 256 if features.get("avx2") else 128) // 32


def strip_rows() -> int:
    """Return how many values are best worked on together.

    Raises:
        DependencyError: there is no compiler.
    """
    return lanes() * _REGISTERS_PER_STRIP


def compile_here(what: str, source: str) -> Callable[[str], int]:
    """Return the addresses of functions by their names; the code stays as long as the process.

    Args:
        what: it is, for a message.
        source: in LLVM's language.

    Raises:
        DependencyError: it cannot be compiled here.
    """
    with _compiling:
        try:
            engine = _compile(source)
        except (RuntimeError, OSError) as error:
            raise DependencyError(
                f"{what} cannot be compiled on this machine",
                got=(str(error).strip().splitlines() or [type(error).__name__])[0][:300],
                fix="set model.engine: onnxruntime, which needs no compiled code",
            ) from error
        _engines.append(engine)
    address: Callable[[str], int] = engine.get_function_address
    return address


def _compile(source: str) -> binding.ExecutionEngine:
    llvm = _llvm()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = _host()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=cpu, features=features.flatten(), opt=3, jit=True
    )
    module = llvm.parse_assembly(source)
    module.verify()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine


def _host() -> tuple[str, binding.FeatureMap]:
    """Return the processor's name, and what it can."""
    llvm = _llvm()
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features()


def _llvm() -> Any:  # noqa: ANN401  (a module)
    """Return the compiler; its import takes 0.1 s, and it is not in every installation.

    Raises:
        DependencyError: it is not installed, or does not load.
    """
    try:
        from llvmlite import binding  # noqa: PLC0415
    except (ImportError, OSError) as error:
        raise DependencyError("llvmlite is not installed, or does not load", got=str(error)[:300]) from error
    return binding
