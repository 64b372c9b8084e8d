"""The compiled kernel: the same bits on any processor and at any size, by many threads, and nothing contracted."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

from scoretrail.assembly import Dtype
from scoretrail.errors import DependencyError
from scoretrail.model.trees import jit
from scoretrail.model.trees.proof import aimed_rows
from tests.factory.forest import MODES, Forest
from tests.factory.kernel import planned, scorer_of
from tests.factory.processor import AVAILABLE, pretend

FOREST = Forest(trees=40, leaves=70, features=6, modes=MODES, missing=True, transform="LOGISTIC")


def scores(rows: int = 3_000) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    found = planned(FOREST)
    columns = next(aimed_rows(found.ensemble, FOREST.features, rows, whole=False))
    return scorer_of(FOREST, found.plan).score_ensemble(columns)


@pytest.mark.parametrize("processor", AVAILABLE)
def test_every_processor_gives_the_same_bits(processor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = scores()
    strip_rows = pretend(processor, monkeypatch)
    jit.compile_kernel.cache_clear()
    try:
        assert jit.compile_kernel("float32", "float32", "sum").strip_rows == strip_rows
        assert scores().tobytes() == expected.tobytes()
    finally:
        jit.compile_kernel.cache_clear()


@pytest.mark.parametrize("rows", [1, 2, 5, 6, 63, 64, 65, 127, 1000])
def test_any_number_of_rows_gives_the_same_bits(rows: int) -> None:
    found = planned(FOREST)
    columns = next(aimed_rows(found.ensemble, FOREST.features, 1_000, whole=False))
    scorer = scorer_of(FOREST, found.plan)
    expected = scorer.score_ensemble(columns)

    parts = [scorer.score_ensemble(np.ascontiguousarray(columns[:, at : at + rows])) for at in range(0, 1_000, rows)]

    assert np.concatenate(parts).tobytes() == expected.tobytes()


def test_several_threads_may_share_a_scorer() -> None:
    found = planned(FOREST)
    columns = next(aimed_rows(found.ensemble, FOREST.features, 20_000, whole=False))
    scorer = scorer_of(FOREST, found.plan)
    expected = scorer.score_ensemble(columns).tobytes()
    got: list[bytes] = []

    def score() -> None:
        got.extend(scorer.score_ensemble(columns).tobytes() for _ in range(5))

    threads = [threading.Thread(target=score) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert got == [expected] * 20


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_product_is_fused_with_a_sum(dtype: Dtype) -> None:
    source = jit._source(dtype, dtype, "sum", 64, 8)
    words = " ".join(line.partition(";")[0] for line in source.splitlines()).split()
    assert "fadd" in words
    assert not {"fast", "contract", "reassoc", "nnan", "afn"} & set(words)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(cpu="skylake-avx512", opt=3)
    assembly = machine.emit_assembly(llvm.parse_assembly(source))
    assert "vcmp" in assembly
    assert "fmadd" not in assembly


def test_what_cannot_be_compiled_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "_source", lambda *_: "this is no assembly")
    jit.compile_kernel.cache_clear()

    try:
        with pytest.raises(DependencyError, match="cannot be compiled on this machine"):
            jit.compile_kernel("float32", "float32", "sum")
    finally:
        jit.compile_kernel.cache_clear()


def test_a_process_compiles_in_a_fraction_of_a_second_and_writes_nothing(tmp_path: Path) -> None:
    program = (
        "import time; start = time.perf_counter()\n"
        "from scoretrail.model.trees.jit import compile_kernel\n"
        "compile_kernel('float32', 'float32', 'sum'); print(time.perf_counter() - start)"
    )
    home = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    # Many at once, as when a cluster's workers start: none waits for, or sees, what another did.
    started = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=home) for _ in range(4)
    ]
    seconds = [float(process.communicate(timeout=60)[0]) for process in started]

    assert max(seconds) < 5
    assert list(tmp_path.iterdir()) == []
