"""The trial at registration: a model is planned for the kernel, and its bits are held against ONNX Runtime's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scoretrail import assembly
from scoretrail.errors import DependencyError, ModelError, ScoreError
from scoretrail.model.graph import TREES as TREE_OPERATORS
from scoretrail.model.manifest import EngineProof
from scoretrail.model.scorer import OnnxScorer
from scoretrail.model.trees.ensemble import NotCoveredError
from scoretrail.model.trees.plan import TreePlan
from scoretrail.model.trees.proof import aimed_rows, different_aimed, different_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from scoretrail.config import ModelSettings
    from scoretrail.feature.tensor import TensorSpec
    from scoretrail.model.manifest import Manifest, Output


def choose_engine(
    model: bytes, draft: Manifest, features: pa.RecordBatch, engines: ModelSettings
) -> tuple[EngineProof, bytes | None]:
    """Return which engine may score the model of a manifest, why, and the kernel's plan where it may."""
    if engines.engine == "onnxruntime":
        return EngineProof(reason="model.engine asked for it at registration"), None
    if not {operator.rpartition(":")[2] for operator in draft.operators} & TREE_OPERATORS:
        return EngineProof(reason="the model has no trees"), None
    return try_kernel(model, draft.output, draft.block, draft.tensors, features, engines.proof_rows)


def try_kernel(
    model: bytes,
    output: Output,
    block: int | None,
    tensors: Sequence[TensorSpec],
    features: pa.RecordBatch,
    rows: int,
) -> tuple[EngineProof, bytes | None]:
    """Return which engine may score a model, why, and the kernel's plan where it may.

    Args:
        model: accepted and shown to repeat its bits.
        output: the form of its scores.
        block: rows of every call of ONNX Runtime; None for any.
        tensors: how features fill its inputs.
        features: the view's inputs of records that it may meet.
        rows: how many aimed rows are compared.
    """
    # Not part of a bundle, and not of every installation: who registers elsewhere needs neither.
    if not assembly.is_installed():
        return EngineProof(reason="llvmlite was not installed where it was registered: scoretrail[trees]"), None
    from scoretrail.model.trees.planning import make_plan  # noqa: PLC0415
    from scoretrail.model.trees.scorer import TreeScorer  # noqa: PLC0415

    try:
        planned = make_plan(model, output)
        data = planned.plan.to_bytes()
        candidate = TreeScorer(TreePlan.from_bytes(data), output, block, tensors)
        reference = OnnxScorer(model, output, block, tensors)
        different = different_records(reference, candidate, features)
        if different:
            return EngineProof(reason=f"with the kernel {different} records get other bits"), None
        width = max(planned.ensemble.n_features, len(candidate.columns))
        aimed = aimed_rows(planned.ensemble, width, rows, whole=planned.input_dtype.startswith("int"))
        compared, different = different_aimed(planned.alone, candidate, aimed, planned.input_dtype)
    except NotCoveredError as uncovered:
        return EngineProof(reason=f"the kernel does not cover the model: {uncovered}"), None
    except (DependencyError, ModelError, ScoreError) as error:
        return EngineProof(reason=f"the kernel could not be tried: {error.what}"), None
    if different:
        return EngineProof(reason=f"with the kernel {different} of {compared} aimed rows get other bits"), None
    reason = f"the same bits as ONNX Runtime on {features.num_rows:,} records and {compared:,} rows aimed at thresholds"
    return EngineProof(name="trees", reason=reason, aimed_rows=compared), data
