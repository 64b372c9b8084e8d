"""Registers the demo's two models: version 1.0.0, linear, the champion; and 2.0.0, trees, the challenger."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from examples.flights.prepare import Progress
from examples.flights.train import CLASSES, VIEW_NAME, Candidate, Candidates
from scoretrail import digest
from scoretrail.clock import Clock
from scoretrail.config import BudgetSettings
from scoretrail.errors import RegistryError
from scoretrail.model.manifest import FEATURES, MODEL, Card, Guards, Manifest
from scoretrail.model.registration import Registration, register
from scoretrail.model.registry import CHAMPION, Registry

MODEL_NAME: Final = "flight-delay"
CHALLENGER: Final = "challenger"
OWNER: Final = "flight-ops"
LICENCE: Final = "CC0-1.0"
"""The data's."""

GUARDS: Final = Guards(minimum=0.0, maximum=1.0, cap_minimum=0.02, cap_maximum=0.95)
"""A score is a probability; and no timetable alone makes a delay impossible or certain."""

INTENDED_USE: Final = (
    "Ranking flights from New York by the risk of arriving 15 minutes late or more, at their scheduled departure, "
    "so that connections and gates can be planned. For people who plan; it triggers nothing by itself."
)
LIMITATIONS: Final = (
    "Knows the timetable only: neither weather nor the inbound aircraft. Trained on eight months of 2013 and on "
    "flights that landed; cancelled and diverted flights were left out. Scores are not calibrated: they follow the "
    "26 % of late flights in training, while months range from 14 % to 34 %."
)
CHANGES: Final = {
    "1.0.0": "First version: logistic regression.",
    "2.0.0": "Gradient-boosted trees in place of the logistic regression, on the same inputs; MAJOR, because the "
    "architecture changed.",
}


@dataclass(frozen=True)
class Provenance:
    """Where the code and the environment of a training came from, as far as that is known."""

    code_commit: str | None
    lock_sha256: str | None


def provenance(checkout: Path) -> Provenance:
    """Return the commit, marked ``-dirty`` where files differ from it, and the digest of the lock.

    Args:
        checkout: the repository's root; either part is None where it has none.
    """
    lock = checkout / "locks" / "scoring.txt"
    commit = _git(checkout, "rev-parse", "HEAD")
    changed = "-dirty" if commit and _git(checkout, "status", "--porcelain") else ""
    return Provenance(
        code_commit=commit + changed if commit else None,
        lock_sha256=digest.of_bytes(lock.read_bytes()) if lock.is_file() else None,
    )


def _git(checkout: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=checkout, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def register_models(
    registry: Registry,
    candidates: Candidates,
    *,
    clock: Clock,
    budget: BudgetSettings,
    origin: Provenance,
    progress: Progress = lambda _: None,
) -> Mapping[str, Manifest]:
    """Return the manifests by alias, after both models are registered and both aliases stand.

    What is there already is left alone, so the demo can be run again and again.

    Raises:
        RegistryError: a version is there with another model or other feature code.
        ModelError, FeatureViewError, BundleError, LimitExceededError: registration refuses a model.
    """
    manifests = {}
    for alias, version, candidate in (
        (CHAMPION, "1.0.0", candidates.linear),
        (CHALLENGER, "2.0.0", candidates.trees),
    ):
        manifest = _there_already(registry, version, candidate, candidates.features)
        if manifest is None:
            request = _request(version, candidate, candidates, origin)
            manifest, bundle = register(registry, request, budget, clock)
            progress(f"registered {MODEL_NAME} {version}, bundle {bundle[:12]}")
        else:
            progress(f"{MODEL_NAME} {version} is registered already")
        if registry.aliases(MODEL_NAME).get(alias) != version:
            registry.move_alias(MODEL_NAME, alias, version, "demo")
            progress(f"{alias} is {MODEL_NAME} {version}")
        manifests[alias] = manifest
    return manifests


def _there_already(registry: Registry, version: str, candidate: Candidate, features: bytes) -> Manifest | None:
    if version not in registry.versions(MODEL_NAME):
        return None
    manifest = registry.manifest(MODEL_NAME, version)
    ours = {MODEL: digest.of_bytes(candidate.onnx), FEATURES: digest.of_bytes(features)}
    changed = [name for name, sha256 in ours.items() if manifest.files[name] != sha256]
    if changed:
        raise RegistryError(
            f"{MODEL_NAME} {version} is registered already, with other bytes, and versions are immutable",
            got=f"changed: {', '.join(changed)}",
            fix="remove the demo's registry to begin again, or register yours as a version of its own",
        )
    return manifest


def _request(version: str, candidate: Candidate, candidates: Candidates, origin: Provenance) -> Registration:
    training = candidate.training.model_copy(
        update={"lock_sha256": origin.lock_sha256, "code_commit": origin.code_commit}
    )
    return Registration(
        name=MODEL_NAME,
        version=version,
        onnx=candidate.onnx,
        features=candidates.features,
        view_name=VIEW_NAME,
        records=candidates.records,
        task="binary",
        classes=CLASSES,
        threshold=candidate.threshold,
        guards=GUARDS,
        abstention=candidate.band,
        training=training,
        metrics=candidate.metrics,
        card=Card(
            owner=OWNER,
            intended_use=INTENDED_USE,
            limitations=LIMITATIONS,
            changes=CHANGES[version],
            licence=LICENCE,
        ),
    )
