"""Processors of other kinds: compiled code restricted to what they can."""

from __future__ import annotations

import llvmlite.binding as llvm
import pytest

from scoretrail import assembly

HERE = llvm.get_host_cpu_features()
#: Name for LLVM, features that are taken away, and the rows of a strip that follow.
PROCESSORS = {
    "sse2": ("x86-64", ("avx512f", "avx2", "avx", "fma", "sse4.2", "sse4.1", "ssse3", "sse3"), 16),
    "avx2": ("haswell", ("avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512cd"), 32),
    "avx512": ("skylake-avx512", (), 64),
}
AVAILABLE = ["sse2", *(["avx2"] if HERE.get("avx2") else []), *(["avx512"] if HERE.get("avx512vl") else [])]


def pretend(processor: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Compile for another processor from now on; return the rows of its strips."""
    name, without, strip_rows = PROCESSORS[processor]
    features = llvm.FeatureMap({feature: on for feature, on in HERE.items() if "512" not in feature or not without})
    for feature in without:
        features[feature] = False
    monkeypatch.setattr(assembly, "_host", lambda: (name, features))
    return strip_rows
