"""Models of any number of trees, leaves and features, and each engine that can score them on one core."""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import lightgbm
import llvmlite.binding as llvm
import numpy as np
import onnxmltools
import onnxruntime
import pyarrow as pa
from numpy.typing import NDArray
from onnxmltools.convert.common.data_types import FloatTensorType

from scoretrail.feature.tensor import TensorSpec
from scoretrail.model.manifest import Output
from scoretrail.model.scorer import OnnxScorer
from scoretrail.model.trees import jit
from scoretrail.model.trees.planning import make_plan
from scoretrail.model.trees.scorer import TreeScorer

OUTPUT = Output(task="binary", name="probabilities", form="matrix", classes=("0", "1"))
_TRAINED_ROWS = 20_000

_PIECES = 16
"""Small batches are taken from so many places in turn: a branch predictor learns one batch by heart."""

Score = Callable[[int], object]


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


def engines(
    shape: Shape, native: lightgbm.Booster, rows: int, lleaves: str | None
) -> tuple[Mapping[str, Score], Lleaves | None]:
    """Return engine -> a function that scores batch number i, of so many rows; and lleaves, where there is one.

    Raises:
        ValueError: the kernel gives other bits than ONNX Runtime.
    """
    data = converted(native, shape)
    random = np.random.default_rng(7)
    pieces = _PIECES if rows <= 1_000 else 1
    matrices = [random.standard_normal((rows, shape.features)).astype(np.float32) for _ in range(pieces)]
    columns = [np.ascontiguousarray(matrix.T) for matrix in matrices]
    names = tuple(f"f{i}" for i in range(shape.features))
    batches = [pa.RecordBatch.from_arrays([pa.array(one) for one in turned], list(names)) for turned in columns]
    spec = (TensorSpec("input", "float32", names),)
    trees = TreeScorer(make_plan(data, OUTPUT).plan, OUTPUT, None, spec)
    reference = OnnxScorer(data, OUTPUT, None, spec)
    session: onnxruntime.InferenceSession = reference._session._session  # noqa: SLF001  (bare, without our own calls)
    if trees.score_features(batches[0]).tobytes() != reference.score_features(batches[0]).tobytes():
        raise ValueError(f"other bits: {shape}, {rows} rows")
    ways: dict[str, Score] = {
        "kernel": lambda i: trees.score_ensemble(columns[i % pieces]),
        **_narrow(data, spec, columns),
        "onnxruntime": lambda i: session.run(["probabilities"], {"input": matrices[i % pieces]}),
        "kernel, from Arrow": lambda i: trees.score_features(batches[i % pieces]),
        "onnxruntime, from Arrow": lambda i: reference.score_features(batches[i % pieces]),
        "lightgbm": lambda i: native.predict(matrices[i % pieces], num_threads=1),
        **_tl2cgen(native, matrices),
    }
    return ways, Lleaves(lleaves, native, matrices) if lleaves else None


class Lleaves:
    """lleaves in a process of another environment, which times itself."""

    def __init__(self, interpreter: str, native: lightgbm.Booster, matrices: list[NDArray[np.float32]]) -> None:
        """Start it; it compiles the model."""
        self._folder = tempfile.TemporaryDirectory(prefix="lleaves-")
        model, given = (str(Path(self._folder.name, name)) for name in ("model.txt", "matrices.npy"))
        native.save_model(model)
        np.save(given, np.stack(matrices))
        program = Path(__file__).with_name("trees_lleaves.py")
        self._process = subprocess.Popen(
            [interpreter, program, model, given], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def __call__(self, calls: int) -> float:
        """Return the seconds of so many batches."""
        assert self._process.stdin is not None  # noqa: S101  (a pipe was asked for)
        self._process.stdin.write(f"{calls}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=60)
        self._folder.cleanup()

    def _answer(self) -> str:
        assert self._process.stdout is not None  # noqa: S101
        return self._process.stdout.readline().strip()


def _narrow(data: bytes, spec: tuple[TensorSpec, ...], columns: list[NDArray[np.float32]]) -> dict[str, Score]:
    """Return the kernel as a processor with AVX2 would have it, where this one has AVX-512."""
    name, features = jit._host()  # noqa: SLF001  (what the kernel is compiled for is nobody else's business)
    if not features.get("avx512f"):
        return {}
    features = llvm.FeatureMap({one: on and "512" not in one for one, on in features.items()})
    jit.compile_kernel.cache_clear()
    with patch.object(jit, "_host", lambda: (name, features)):
        narrow = TreeScorer(make_plan(data, OUTPUT).plan, OUTPUT, None, spec)
    jit.compile_kernel.cache_clear()
    return {"kernel, AVX2": lambda i: narrow.score_ensemble(columns[i % len(columns)])}


def _tl2cgen(native: lightgbm.Booster, matrices: list[NDArray[np.float32]]) -> dict[str, Score]:
    if importlib.util.find_spec("tl2cgen") is None or importlib.util.find_spec("treelite") is None:
        return {}
    import tl2cgen  # noqa: PLC0415  (not in the locks)
    import treelite  # noqa: PLC0415

    folder = tempfile.mkdtemp(prefix="tl2cgen-")  # stays as long as the process: the library is loaded from it
    library = str(Path(folder, "model.so"))
    model = treelite.frontend.from_lightgbm(native)
    tl2cgen.export_lib(model, toolchain="gcc", libpath=library, params={"parallel_comp": 8}, verbose=False)
    predictor = tl2cgen.Predictor(library, nthread=1)
    given = [tl2cgen.DMatrix(matrix, dtype="float32") for matrix in matrices]
    return {"tl2cgen": lambda i: predictor.predict(given[i % len(given)])}


def vector_bits() -> int:
    """Return the width of the vectors that the kernel is compiled for here."""
    return jit.compile_kernel("float32", "float32", "sum").strip_rows * ctypes.sizeof(ctypes.c_float) * 8 // 4
