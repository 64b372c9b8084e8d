"""Models of any number of trees, leaves and features, and each engine that can score them on one core."""

from __future__ import annotations

import importlib.util
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self
from unittest.mock import patch

import lightgbm
import llvmlite.binding as llvm
import numpy as np
import onnxmltools
import onnxruntime
import pyarrow as pa
from numpy.typing import NDArray
from onnxmltools.convert.common.data_types import FloatTensorType

from scoretrail import assembly
from scoretrail.feature.tensor import TensorSpec
from scoretrail.model.manifest import Output
from scoretrail.model.scorer import OnnxScorer
from scoretrail.model.trees import jit
from scoretrail.model.trees.planning import make_plan
from scoretrail.model.trees.scorer import TreeScorer

OUTPUT = Output(task="binary", name="probabilities", form="matrix", classes=("0", "1"))
_TRAINED_ROWS = 20_000

_COMPILED_LEAVES = 16_000
"""Larger models are not given to TL2cgen and lleaves: they compile each model, at 1 ms and more for a leaf."""
_PIECES = 16
"""Small batches are taken from so many places in turn: a branch predictor learns one batch by heart."""

Score = Callable[[int], object]
"""Scores batch number i."""
Timer = Callable[[int], float]
"""Scores so many batches, and returns the seconds."""


@dataclass(frozen=True)
class Shape:
    """How large a model is."""

    trees: int
    leaves: int
    features: int

    def __str__(self) -> str:
        return f"{self.trees} × {self.leaves} × {self.features}"


def booster(shape: Shape, known: dict[tuple[int, int], lightgbm.Booster]) -> lightgbm.Booster:
    """Return a boosted ensemble of this shape: the first trees of a large one, trained once."""
    key = (shape.leaves, shape.features)
    if key not in known or known[key].num_trees() < shape.trees:
        random = np.random.default_rng(6)
        matrix = random.standard_normal((_TRAINED_ROWS, shape.features)).astype(np.float32)
        signal = matrix[:, 0] + matrix[:, 1] * matrix[:, 2] + np.sin(3 * matrix[:, 3])
        late = (signal + random.standard_normal(len(matrix)) > 0).astype(int)
        parameters = {
            "objective": "binary", "num_leaves": shape.leaves, "min_data_in_leaf": 5, "learning_rate": 0.05,
            "verbosity": -1, "seed": 6, "deterministic": True,
        }  # fmt: skip
        known[key] = lightgbm.train(parameters, lightgbm.Dataset(matrix, late), shape.trees)
    return lightgbm.Booster(model_str=known[key].model_to_string(num_iteration=shape.trees))


def converted(native: lightgbm.Booster, shape: Shape) -> bytes:
    """Return the ONNX bytes, as a user's converter writes them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kinds = [("input", FloatTensorType([None, shape.features]))]
        model = onnxmltools.convert_lightgbm(native, initial_types=kinds, zipmap=False, target_opset=15)
    model.graph.output[0].type.tensor_type.shape.ClearField("dim")
    return bytes(model.SerializeToString())


class Engines:
    """Every engine that can score one model, compiled once for batches of all sizes; a context."""

    def __init__(self, shape: Shape, native: lightgbm.Booster, batches: Sequence[int], lleaves: str | None) -> None:
        """Convert, plan and compile.

        Args:
            shape: of the model.
            native: the model.
            batches: numbers of rows that will be scored together.
            lleaves: interpreter of an environment that has lleaves.
        """
        data = converted(native, shape)
        names = tuple(f"f{i}" for i in range(shape.features))
        spec = (TensorSpec("input", "float32", names),)
        self._names, self._native = names, native
        self._matrices = {rows: _matrices(rows, shape.features) for rows in batches}
        self._trees = TreeScorer(make_plan(data, OUTPUT).plan, OUTPUT, None, spec)
        self._narrow = _narrow(data, spec)
        self._reference = OnnxScorer(data, OUTPUT, None, spec)
        is_small = shape.trees * shape.leaves <= _COMPILED_LEAVES
        self._tl2cgen = _Tl2cgen(native) if is_small and _has_tl2cgen() else None
        self._lleaves = Lleaves(lleaves, native, self._matrices) if is_small and lleaves else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lleaves is not None:
            self._lleaves.close()

    def ways(self, rows: int) -> Mapping[str, Timer]:
        """Return engine -> a function that scores so many batches of this many rows, and returns the seconds.

        Raises:
            ValueError: the kernel gives other bits than ONNX Runtime.
        """
        trees, narrow, reference, native = self._trees, self._narrow, self._reference, self._native
        matrices = self._matrices[rows]
        columns = [np.ascontiguousarray(matrix.T) for matrix in matrices]
        batches = [
            pa.RecordBatch.from_arrays([pa.array(one) for one in turned], list(self._names)) for turned in columns
        ]
        session: onnxruntime.InferenceSession = reference._session._session  # noqa: SLF001  (bare, without our own calls)
        if trees.score_features(batches[0]).tobytes() != reference.score_features(batches[0]).tobytes():
            raise ValueError(f"other bits: {rows} rows")
        n = len(matrices)
        ways: dict[str, Score] = {"kernel": lambda i: trees.score_ensemble(columns[i % n])}
        if narrow is not None:
            ways["kernel, AVX2"] = lambda i: narrow.score_ensemble(columns[i % n])
        ways |= {
            "onnxruntime": lambda i: session.run(["probabilities"], {"input": matrices[i % n]}),
            "kernel, from Arrow": lambda i: trees.score_features(batches[i % n]),
            "onnxruntime, from Arrow": lambda i: reference.score_features(batches[i % n]),
            "lightgbm": lambda i: native.predict(matrices[i % n], num_threads=1),
        }
        if self._tl2cgen is not None:
            ways["tl2cgen"] = self._tl2cgen.way(matrices)
        timers: dict[str, Timer] = {name: _timer(score) for name, score in ways.items()}
        if self._lleaves is not None:
            timers["lleaves"] = partial(self._lleaves, rows)
        return timers


def _matrices(rows: int, features: int) -> list[NDArray[np.float32]]:
    random = np.random.default_rng(7)
    pieces = _PIECES if rows <= 1_000 else 1
    return [random.standard_normal((rows, features)).astype(np.float32) for _ in range(pieces)]


def _timer(score: Score) -> Timer:
    def timed(calls: int) -> float:
        start = time.perf_counter()
        for i in range(calls):
            score(i)
        return time.perf_counter() - start

    return timed


class Lleaves:
    """lleaves in a process of another environment, which times itself."""

    def __init__(
        self, interpreter: str, native: lightgbm.Booster, matrices: Mapping[int, list[NDArray[np.float32]]]
    ) -> None:
        """Start it; it compiles the model."""
        self._folder = tempfile.TemporaryDirectory(prefix="lleaves-")
        folder = Path(self._folder.name)
        native.save_model(str(folder / "model.txt"))
        for rows, some in matrices.items():
            np.save(folder / f"{rows}.npy", np.stack(some))
        program = Path(__file__).with_name("trees_lleaves.py")
        self._process = subprocess.Popen(
            [interpreter, program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def __call__(self, rows: int, calls: int) -> float:
        """Return the seconds of so many batches of this many rows."""
        assert self._process.stdin is not None  # noqa: S101  (a pipe was asked for)
        self._process.stdin.write(f"{rows} {calls}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=60)
        self._folder.cleanup()

    def _answer(self) -> str:
        assert self._process.stdout is not None  # noqa: S101
        return self._process.stdout.readline().strip()


def _narrow(data: bytes, spec: tuple[TensorSpec, ...]) -> TreeScorer | None:
    """Return the kernel as a processor with AVX2 would have it, where this one has AVX-512."""
    name, features = assembly._host()  # noqa: SLF001  (what the kernel is compiled for is nobody else's business)
    if not features.get("avx512f"):
        return None
    features = llvm.FeatureMap({one: on and "512" not in one for one, on in features.items()})
    jit.compile_kernel.cache_clear()
    with patch.object(assembly, "_host", lambda: (name, features)):
        narrow = TreeScorer(make_plan(data, OUTPUT).plan, OUTPUT, None, spec)
    jit.compile_kernel.cache_clear()
    return narrow


def _has_tl2cgen() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("tl2cgen", "treelite"))


class _Tl2cgen:
    """TL2cgen, compiled; it is not in the locks."""

    def __init__(self, native: lightgbm.Booster) -> None:
        import tl2cgen  # noqa: PLC0415
        import treelite  # noqa: PLC0415

        folder = tempfile.mkdtemp(prefix="tl2cgen-")  # stays as long as the process: the library is loaded from it
        library = str(Path(folder, "model.so"))
        model = treelite.frontend.from_lightgbm(native)
        tl2cgen.export_lib(model, toolchain="gcc", libpath=library, params={"parallel_comp": 8}, verbose=False)
        self._predictor = tl2cgen.Predictor(library, nthread=1)
        self._matrix = partial(tl2cgen.DMatrix, dtype="float32")

    def way(self, matrices: list[NDArray[np.float32]]) -> Score:
        """Return what scores batch number i."""
        given = [self._matrix(matrix) for matrix in matrices]
        return lambda i: self._predictor.predict(given[i % len(given)])


def vector_bits() -> int:
    """Return the width of the vectors that the kernel is compiled for here."""
    return assembly.lanes() * 32
