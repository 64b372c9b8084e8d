"""The bundles that predicted, by what predictions say of them: their classes, thresholds and promises."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scoretrail import digest
from scoretrail.errors import BundleError, OutputTableError
from scoretrail.monitor.concept import Subject

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scoretrail.model.manifest import Manifest
    from scoretrail.model.registry import Registry


@dataclass
class Bundles:
    """Manifests of a registry, each read once."""

    registry: Registry
    manifests: dict[str, Manifest] = field(default_factory=dict)
    """By digest of the bundle."""

    def get(self, name: str, version: str, bundle_sha256: str) -> Manifest:
        """Return a bundle's manifest.

        Raises:
            RegistryError: there is no such version.
            BundleError: the registry has another bundle under the name, or it is no binary classifier.
        """
        if bundle_sha256 not in self.manifests:
            manifest = self.registry.manifest(name, version)
            got = digest.of_bytes(manifest.to_bytes())
            if got != bundle_sha256:
                raise BundleError(
                    f"the registry has another bundle as {name} {version}", expected=bundle_sha256, got=got
                )
            if manifest.output.task != "binary":
                raise BundleError(
                    "outcomes are joined to predictions of binary classifiers only",
                    where=f"{name} {version}",
                    got=manifest.output.task,
                )
            self.manifests[bundle_sha256] = manifest
        return self.manifests[bundle_sha256]

    def subject(self, name: str, version: str, bundle_sha256: str, role: str) -> Subject:
        """Return whose predictions they are; errors as :meth:`get`."""
        return Subject(self.get(name, version, bundle_sha256), bundle_sha256, role)

    def classes(self, bundles: Iterable[tuple[str, str, str]]) -> tuple[str, ...]:
        """Return the two classes that all of some bundles decide between.

        Args:
            bundles: name, version and digest of each.

        Raises:
            OutputTableError: there are none.
            BundleError: they decide between different classes; or as :meth:`get`.
        """
        found = {self.get(*one).output.classes for one in sorted(bundles)}
        if not found:
            raise OutputTableError("there are no predictions to join outcomes to")
        if len(found) > 1:
            raise BundleError(
                "the predictions are of models with different classes",
                got="; ".join(sorted(", ".join(one) for one in found)),
                fix="join each to its outcomes in a labelled table of its own",
            )
        return found.pop()
