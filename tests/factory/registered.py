"""Bundles for tests: real ones, registered with every proof, and bare ones for what only looks at names and bytes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from scoretrail import digest
from scoretrail.clock import FixedClock
from scoretrail.config import BudgetSettings
from scoretrail.feature.source import load_view
from scoretrail.feature.tensor import TensorSpec
from scoretrail.model.manifest import (
    FEATURES,
    GOLDEN,
    MODEL,
    Card,
    Manifest,
    Metric,
    Output,
    Platform,
    Profile,
    Training,
)
from scoretrail.model.registration import Registration, register
from scoretrail.model.registry import Registry
from scoretrail.storage import Storage
from tests.factory import example

if TYPE_CHECKING:
    from pathlib import Path

    from scoretrail.model.registry import ResolvedBundle
    from tests.factory.example import Example

NOW = FixedClock(datetime(2013, 12, 1, 12, tzinfo=UTC))
PROOF_ROWS = 600
"""Enough for every proof to mean something, few enough for a unit test."""
CARD = Card(
    owner="parcel team",
    intended_use="to warn of a late parcel",
    limitations="made-up parcels",
    changes="first version",
    licence="Apache-2.0",
)
PROFILE = Profile(
    bundle_bytes=2_097_152,
    load_s=0.5,
    peak_memory_bytes=104_857_600,
    batch_rows=1000,
    p50_ms=1.0,
    p95_ms=2.0,
    p99_ms=3.0,
    cpu="a processor",
)


@dataclass(frozen=True)
class Registered:
    """An example in a registry of its own, with the alias ``champion``."""

    root: Path
    registry: Registry
    manifest: Manifest
    resolved: ResolvedBundle


def open_registry(root: Path | str, trusted_keys: tuple[str, ...] = ()) -> Registry:
    """Return the registry below a folder, with a clock that stands still."""
    return Registry(Storage(str(root)), NOW, trusted_keys)


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


def register_example(chosen: Example, root: Path, version: str = "1.0.0", **changes: Any) -> Registered:
    """Register an example with every proof (2-3 s: a fresh process measures it) and make it the champion.

    Args:
        chosen: one of :mod:`tests.factory.example`.
        root: the registry's folder; several examples may share it.
        version: MAJOR.MINOR.PATCH.
        changes: fields of :class:`~scoretrail.model.registration.Registration` that differ.
    """
    registry = open_registry(root)
    manifest, _ = register(registry, request(chosen, version, **changes), BudgetSettings(), NOW)
    registry.move_alias(manifest.name, "champion", version)
    return Registered(root, registry, manifest, registry.resolve(f"models:/{manifest.name}@champion"))


def bare_manifest(**changes: Any) -> Manifest:
    """Return a manifest with every field filled, of a bundle whose files are :data:`BARE_FILES`."""
    fields: dict[str, Any] = {
        "name": "parcel-linear",
        "version": "1.0.0",
        "created_at": "2013-12-01T12:00:00.000000Z",
        "view_name": "parcels",
        "view": load_view(example.NUMBER_VIEW, "parcels").contract(),
        "tensors": (TensorSpec("matrix", "float32", example.NUMBERS),),
        "output": Output(task="binary", name="probabilities", form="matrix", classes=("0", "1")),
        "operators": ("ai.onnx.ml:LinearClassifier",),
        "threshold": 0.5,
        "block": 256,
        "files": {name: digest.of_bytes(data) for name, data in BARE_FILES.items()},
        "training": Training(rows=10, seed=1, window_start="2013-01-01", window_end="2013-08-31"),
        "metrics": (Metric(name="auc", value=0.7, low=0.68, high=0.72, data="November"),),
        "profile": PROFILE,
        "platform": Platform(machine="x86_64", python="3.11", onnxruntime="1", numpy="2", pyarrow="26"),
        "card": CARD,
    }
    return Manifest(**(fields | changes))


BARE_FILES = {MODEL: b"a model", FEATURES: b"a view", GOLDEN: b"golden rows"}


def bare_bundle(
    version: str = "1.0.0", *, model: bytes = b"a model", **changes: Any
) -> tuple[Manifest, dict[str, bytes]]:
    """Return a manifest and files that can be published and resolved, but not scored with."""
    files = BARE_FILES | {MODEL: model}
    hashes = {name: digest.of_bytes(data) for name, data in files.items()}
    return bare_manifest(version=version, files=hashes, **changes), files
