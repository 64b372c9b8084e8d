"""Registers the demo's models.

``flight-delay`` 1.0.0, linear, is its champion; 2.0.0, trees, its challenger. ``flight-delay-live`` 1.0.0, trees with
stored features, is a model of its own: it asks for more than a timetable, so it cannot take the others' place.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from examples.flights.folder import Progress
from examples.flights.train import CLASSES, LIVE_VIEW_NAME, VIEW_NAME, Candidate, Candidates, LiveCandidate
from scoretrail import digest
from scoretrail.clock import Clock
from scoretrail.config import BudgetSettings, ModelSettings
from scoretrail.errors import RegistryError
from scoretrail.model.manifest import FEATURES, MODEL, Card, Guards, Manifest
from scoretrail.model.registration import DEFAULT_ENGINES, Registration, register
from scoretrail.model.registry import CHAMPION, Registry
from scoretrail.monitor.learning import of_table

MODEL_NAME: Final = "flight-delay"
LIVE_NAME: Final = "flight-delay-live"
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
LIVE_LIMITATIONS: Final = (
    "Knows the weather by the hour and other flights' delays by what had landed; of the flight itself, nothing but "
    "the timetable and the plane. The data names the plane that flew: an exchange on the day is known earlier than it "
    "was. Flights to airports without a time zone in the data do not count in the delays. Trained on eight months of "
    "2013 and on flights that landed. Scores are not calibrated."
)
LIVE_CHANGES: Final = "First version: the challenger's trees, on the timetable and four sets of stored features."
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
    engines: ModelSettings = DEFAULT_ENGINES,
    progress: Progress = lambda _: None,
) -> Mapping[str, Manifest]:
    """Return the manifests by alias, after both models are registered and both aliases stand.

    What is there already is left alone, so the demo can be run again and again.

    Raises:
        RegistryError: a version is there with another model or other feature code.
        ModelError, FeatureViewError, BundleError, LimitExceededError: registration refuses a model.
    """
    place = _Place(registry, clock, budget, origin, engines, progress)
    manifests = {}
    for alias, version, candidate in (
        (CHAMPION, "1.0.0", candidates.linear),
        (CHALLENGER, "2.0.0", candidates.trees),
    ):
        card = _card(LIMITATIONS, CHANGES[version])
        code = candidates.features
        entry = _Entry(MODEL_NAME, version, alias, candidate, code, VIEW_NAME, candidates.records, card)
        manifests[alias] = place.register(entry)
    return manifests


def register_live(
    registry: Registry,
    candidate: LiveCandidate,
    *,
    clock: Clock,
    budget: BudgetSettings,
    origin: Provenance,
    engines: ModelSettings = DEFAULT_ENGINES,
    progress: Progress = lambda _: None,
) -> Manifest:
    """Return the manifest of the model with stored features, after it is registered and is its name's champion.

    Raises:
        RegistryError: the version is there with another model or other feature code.
        ModelError, FeatureViewError, BundleError, LimitExceededError: registration refuses the model.
    """
    code, card = candidate.features, _card(LIVE_LIMITATIONS, LIVE_CHANGES)
    entry = _Entry(LIVE_NAME, "1.0.0", CHAMPION, candidate.trees, code, LIVE_VIEW_NAME, candidate.records, card)
    return _Place(registry, clock, budget, origin, engines, progress).register(entry)


@dataclass(frozen=True)
class _Entry:
    """One version of one model."""

    name: str
    version: str
    alias: str
    candidate: Candidate
    features: bytes
    view_name: str
    records: pa.Table
    card: Card


@dataclass(frozen=True)
class _Place:
    """Where models are registered, and under which conditions."""

    registry: Registry
    clock: Clock
    budget: BudgetSettings
    origin: Provenance
    engines: ModelSettings
    progress: Progress

    def register(self, entry: _Entry) -> Manifest:
        """Return the entry's manifest, after it is registered and its alias stands."""
        name, version = entry.name, entry.version
        manifest = _there_already(self.registry, entry)
        if manifest is None:
            manifest, bundle = register(
                self.registry, _request(entry, self.origin), self.budget, self.clock, self.engines
            )
            self.progress(f"registered {name} {version}, bundle {bundle[:12]}")
        else:
            self.progress(f"{name} {version} is registered already")
        if self.registry.aliases(name).get(entry.alias) != version:
            self.registry.move_alias(name, entry.alias, version, "demo")
            self.progress(f"{entry.alias} is {name} {version}")
        return manifest


def _card(limitations: str, changes: str) -> Card:
    return Card(owner=OWNER, intended_use=INTENDED_USE, limitations=limitations, changes=changes, licence=LICENCE)


def _there_already(registry: Registry, entry: _Entry) -> Manifest | None:
    name, version = entry.name, entry.version
    if version not in registry.versions(name):
        return None
    manifest = registry.manifest(name, version)
    ours = {MODEL: digest.of_bytes(entry.candidate.onnx), FEATURES: digest.of_bytes(entry.features)}
    changed = [file for file, sha256 in ours.items() if manifest.files[file] != sha256]
    if changed:
        raise RegistryError(
            f"{name} {version} is registered already, with other bytes, and versions are immutable",
            got=f"changed: {', '.join(changed)}",
            fix="remove the demo's registry to begin again, or register yours as a version of its own",
        )
    return manifest


def _request(entry: _Entry, origin: Provenance) -> Registration:
    candidate = entry.candidate
    training = candidate.training.model_copy(
        update={"lock_sha256": origin.lock_sha256, "code_commit": origin.code_commit}
    )
    return Registration(
        name=entry.name,
        version=entry.version,
        onnx=candidate.onnx,
        features=entry.features,
        view_name=entry.view_name,
        records=entry.records,
        task="binary",
        classes=CLASSES,
        threshold=candidate.threshold,
        guards=GUARDS,
        abstention=candidate.band,
        training=training,
        metrics=candidate.metrics,
        card=entry.card,
        attach=of_table(entry.records),
    )
