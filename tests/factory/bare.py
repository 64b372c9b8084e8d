"""Manifests and bundles of names and bytes only: they can be published and resolved at once, but not scored with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from scoretrail import digest
from scoretrail.clock import FixedClock
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
from scoretrail.model.registry import Registry
from scoretrail.storage import Storage
from tests.factory import example

if TYPE_CHECKING:
    from pathlib import Path

NOW = FixedClock(datetime(2013, 12, 1, 12, tzinfo=UTC))
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


def open_registry(root: Path | str, trusted_keys: tuple[str, ...] = ()) -> Registry:
    """Return the registry below a folder, with a clock that stands still."""
    return Registry(Storage(str(root)), NOW, trusted_keys)


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
