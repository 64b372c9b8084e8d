"""Which engine scores a bundle: the kernel where it was proven and can run, else ONNX Runtime; and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from scoretrail import assembly, log
from scoretrail.errors import DependencyError
from scoretrail.model import manifest as manifests
from scoretrail.model.scorer import OnnxScorer
from scoretrail.model.trees.plan import TREES, TreePlan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scoretrail.model.manifest import EngineName, Manifest
    from scoretrail.model.scorer import Scorer

EngineChoice = Literal["auto", "onnxruntime"]


@dataclass(frozen=True)
class Engine:
    """What scores a bundle in this process."""

    name: EngineName
    reason: str


REFERENCE: Final = Engine("onnxruntime", "the reference")


def load_scorer(files: Mapping[str, bytes], manifest: Manifest, choice: EngineChoice) -> tuple[Scorer, Engine]:
    """Return the scorer of a bundle, and which engine it is.

    Args:
        files: of the bundle, whose bytes were found to be what the manifest says.
        manifest: of the bundle.
        choice: ``auto`` takes what registration proved, where it can run here.

    Raises:
        BundleError: the bundle's plan is not one.
        ModelError: ONNX Runtime refuses the model.
    """
    if choice == "onnxruntime":
        return reference(files, manifest), Engine("onnxruntime", "model.engine asks for it")
    if manifest.engine.name != "trees":
        return reference(files, manifest), Engine("onnxruntime", manifest.engine.reason)
    plan = TreePlan.from_bytes(files[TREES])
    if not assembly.is_installed():
        return reference(files, manifest), fallen_back(manifest, "llvmlite is not installed")
    from scoretrail.model.trees.scorer import TreeScorer  # noqa: PLC0415  (imports the compiler, 0.1 s)

    try:
        scorer = TreeScorer(plan, manifest.output, manifest.block, manifest.tensors)
    except DependencyError as error:
        return reference(files, manifest), fallen_back(manifest, f"{error.what}: {error.got}")
    return scorer, Engine("trees", manifest.engine.reason)


def reference(files: Mapping[str, bytes], manifest: Manifest) -> Scorer:
    """Return the scorer that runs the whole model in ONNX Runtime.

    Raises:
        ModelError: ONNX Runtime refuses the model.
    """
    return OnnxScorer(files[manifests.MODEL], manifest.output, manifest.block, manifest.tensors)


def fallen_back(manifest: Manifest, reason: str) -> Engine:
    """Return that ONNX Runtime scores in place of the kernel, after saying so: the scores are the same, but slower."""
    log.get().warning(log.ENGINE_FELL_BACK, model=manifest.name, version=manifest.version, reason=reason)
    return Engine("onnxruntime", reason)
