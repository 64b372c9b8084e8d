"""Which engine scores a bundle: what registration proved, where it repeats the golden rows; else the reference."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np
import pytest
import structlog

from scoretrail import digest, log
from scoretrail.config import ModelSettings
from scoretrail.errors import BundleError, ScoretrailError
from scoretrail.model.bundle import Bundle, open_bundle
from scoretrail.model.manifest import MANIFEST, MODEL, SUMS
from scoretrail.model.scorer import OnnxScorer
from scoretrail.model.trees import jit
from scoretrail.model.trees.plan import TREES
from scoretrail.model.trees.scorer import TreeScorer
from tests.factory import example
from tests.factory.registered import Registered, register_example

if TYPE_CHECKING:
    from pathlib import Path

    from scoretrail.model.bundle import BundleFiles


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    """A model of trees, registered with the trial of the kernel."""
    root = tmp_path_factory.mktemp("proven")
    return register_example(example.lightgbm_trees(), root, engines=ModelSettings(proof_rows=20_000))


def scores(bundle: Bundle) -> bytes:
    records = example.parcels().slice(0, 500).select(list(bundle.view.record_columns)).combine_chunks().to_batches()[0]
    features, _ = bundle.view.derive(bundle.view.prepare(records)[0])
    return bundle.raw_scores(features).tobytes()


def opened(files: BundleFiles, **how: str) -> tuple[Bundle, list[str]]:
    """Return a loaded bundle, and why another engine than the proven one was taken."""
    with structlog.testing.capture_logs() as events:
        bundle = open_bundle(files, **how)  # type: ignore[arg-type]
    return bundle, [one["reason"] for one in events if one["event"] == log.ENGINE_FELL_BACK]


def test_a_proven_bundle_is_scored_by_the_kernel(proven: Registered) -> None:
    bundle, fell_back = opened(proven.resolved.files)

    assert isinstance(bundle.scorer, TreeScorer)
    assert (bundle.engine.name, fell_back, bundle.repeats_bits) == ("trees", [], True)
    assert proven.manifest.engine.aimed_rows == 20_000
    assert TREES in proven.manifest.files


def test_the_reference_gives_the_same_bits(proven: Registered) -> None:
    by_kernel, _ = opened(proven.resolved.files)

    by_reference, fell_back = opened(proven.resolved.files, engine="onnxruntime")

    assert isinstance(by_reference.scorer, OnnxScorer)
    assert (by_reference.engine.name, fell_back) == ("onnxruntime", [])
    assert scores(by_kernel) == scores(by_reference)


def test_the_engine_is_no_part_of_the_score_digest(proven: Registered, tmp_path: Path) -> None:
    plain = register_example(example.lightgbm_trees(), tmp_path)

    assert plain.manifest.engine.name == "onnxruntime"
    assert plain.manifest.engine.reason == "model.engine asked for it at registration"
    assert plain.manifest.score_digest == proven.manifest.score_digest


def test_without_the_compiler_the_reference_scores_and_says_so(
    proven: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "llvmlite" else find(name))

    bundle, fell_back = opened(proven.resolved.files)

    assert isinstance(bundle.scorer, OnnxScorer)
    assert fell_back == ["llvmlite is not installed"] == [bundle.engine.reason]


def test_where_nothing_can_be_compiled_the_reference_scores_and_says_so(
    proven: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jit, "_source", lambda *_: "no assembly")
    jit.compile_kernel.cache_clear()
    try:
        bundle, fell_back = opened(proven.resolved.files)
    finally:
        jit.compile_kernel.cache_clear()

    assert isinstance(bundle.scorer, OnnxScorer)
    assert len(fell_back) == 1
    assert fell_back[0].startswith("the tree kernel cannot be compiled on this machine")


def test_a_kernel_that_does_not_repeat_the_golden_rows_here_is_not_used(
    proven: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble = TreeScorer._ensemble
    monkeypatch.setattr(TreeScorer, "_ensemble", lambda *given: np.nextafter(ensemble(*given), np.float32(2)))

    bundle, fell_back = opened(proven.resolved.files)

    assert isinstance(bundle.scorer, OnnxScorer)
    assert bundle.repeats_bits
    assert fell_back == ["256 golden rows give other bits with the kernel here"]


def test_a_plan_that_was_exchanged_is_refused(proven: Registered) -> None:
    files = {name: data for name, data in proven.resolved.files.items() if name != SUMS}

    with pytest.raises(BundleError, match="was changed"):
        open_bundle(files | {TREES: files[TREES][:-1]})
    with pytest.raises(BundleError, match="is missing"):
        open_bundle({name: data for name, data in files.items() if name != TREES})


def test_a_bundle_whose_manifest_names_a_broken_plan_is_refused(proven: Registered) -> None:
    """Who writes a registry may write any plan: it must not reach the kernel as it is."""
    broken = b"no plan"
    manifest = proven.manifest.model_copy(update={"files": {**proven.manifest.files, TREES: digest.of_bytes(broken)}})
    files = {name: data for name, data in proven.resolved.files.items() if name != SUMS}

    with pytest.raises(ScoretrailError, match="cannot be read"):
        open_bundle(files | {TREES: broken, MANIFEST: manifest.to_bytes()})


def test_a_manifest_from_before_there_was_a_kernel_is_read(proven: Registered) -> None:
    old = proven.manifest.model_dump(mode="json")
    del old["engine"]
    files = {name: data for name, data in proven.resolved.files.items() if name not in (SUMS, TREES)}
    old["files"] = {name: value for name, value in old["files"].items() if name != TREES}

    bundle, fell_back = opened(files | {MANIFEST: digest.canonical_json(old)})

    assert isinstance(bundle.scorer, OnnxScorer)
    assert (bundle.engine.reason, fell_back) == ("registered before there was another engine", [])
    assert bundle.manifest.files[MODEL] == proven.manifest.files[MODEL]
