"""Examples as bundles: registered with every proof, or loaded without any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scoretrail import digest
from scoretrail.config import BudgetSettings, ModelSettings
from scoretrail.feature.source import load_view
from scoretrail.model import graph as graphs
from scoretrail.model.bundle import Bundle
from scoretrail.model.manifest import Manifest
from scoretrail.model.registration import Registration, block_rows, infer_output, register
from scoretrail.model.registry import Registry
from scoretrail.model.scorer import OnnxScorer
from tests.factory.bare import CARD, NOW, bare_manifest, open_registry

if TYPE_CHECKING:
    from pathlib import Path

    from scoretrail.model.registry import ResolvedBundle
    from tests.factory.example import Example

__all__ = ["PROOF_ROWS", "QUICK", "Registered", "load_example", "open_registry", "register_example", "request"]

REFERENCE = ModelSettings(engine="onnxruntime")
"""Tests of the tree kernel have registrations of their own (tests/unit/scoretrail/model/trees)."""
QUICK = ModelSettings(proof_rows=20_000)
"""The kernel is tried, on fewer rows than a user's registration takes seconds for."""
PROOF_ROWS = 600
"""Enough for every proof to mean something, few enough for a unit test."""


@dataclass(frozen=True)
class Registered:
    """An example in a registry of its own, with the alias ``champion``."""

    root: Path
    registry: Registry
    manifest: Manifest
    resolved: ResolvedBundle


def request(chosen: Example, version: str = "1.0.0", **changes: Any) -> Registration:
    """Return what is asked when an example is registered."""
    return Registration(
        **{
            "name": chosen.name,
            "version": version,
            "onnx": chosen.onnx,
            "features": chosen.features,
            "view_name": chosen.view_name,
            "records": chosen.records.slice(0, PROOF_ROWS),
            "card": CARD,
        }
        | changes
    )


def register_example(
    chosen: Example, root: Path, version: str = "1.0.0", engines: ModelSettings = REFERENCE, **changes: Any
) -> Registered:
    """Register an example with every proof (2-3 s: a fresh process measures it) and make it the champion.

    Args:
        chosen: one of :mod:`tests.factory.example`.
        root: the registry's folder; several examples may share it.
        version: MAJOR.MINOR.PATCH.
        engines: whether the tree kernel is tried.
        changes: fields of :class:`~scoretrail.model.registration.Registration` that differ.
    """
    registry = open_registry(root)
    manifest, _ = register(registry, request(chosen, version, **changes), BudgetSettings(), NOW, engines)
    registry.move_alias(manifest.name, "champion", version)
    return Registered(root, registry, manifest, registry.resolve(f"models:/{manifest.name}@champion"))


def load_example(chosen: Example, **changes: Any) -> Bundle:
    """Return an example as a loaded bundle that nobody proved or measured; quick, and scored as it would be registered.

    Args:
        chosen: one of :mod:`tests.factory.example`.
        changes: fields of the manifest that differ, such as ``guards``.
    """
    graph = graphs.inspect(chosen.onnx)
    view = load_view(chosen.features, chosen.view_name)
    output = changes["output"] if "output" in changes else infer_output(graph, None, ())
    fields: dict[str, Any] = {
        "name": chosen.name,
        "view": view.contract(),
        "tensors": graphs.match_view(graph, view),
        "output": output,
        "operators": graph.operators,
        "threshold": 0.5 if output.task == "binary" else None,
        "block": None if graph.is_trees_only else block_rows(chosen.onnx),
    }
    manifest = bare_manifest(**(fields | changes))
    scorer = OnnxScorer(chosen.onnx, output, manifest.block, manifest.tensors)
    return Bundle(manifest, digest.of_bytes(manifest.to_bytes()), view, scorer, repeats_bits=True)
