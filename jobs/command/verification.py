"""What ``scoretrail model verify`` looks at beyond the hashes that every load checks, and the signing of a bundle."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from jobs.command.terminal import BAD, GOOD
from scoretrail.errors import BundleError, DifferenceError, ObjectExistsError, UsageError
from scoretrail.model import manifest as manifests
from scoretrail.model import signature
from scoretrail.model.bundle import golden_differences, open_bundle
from scoretrail.storage import Storage, join

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jobs.command.terminal import Cell
    from scoretrail.model.engine import EngineChoice
    from scoretrail.model.registry import Registry, ResolvedBundle


@dataclass(frozen=True)
class Verified:
    """What was found of a bundle whose every byte is what it should be."""

    uri: str
    bundle_sha256: str
    files: int
    signature: str
    aliases: int
    """Alias records that name this version; each holds the digest that it was moved to."""
    golden_different: int
    """Golden rows that give other bits on this machine."""
    engine: str
    """What scores the bundle here, and why."""

    def rows(self) -> list[tuple[Cell, ...]]:
        """Return the findings as rows of a table."""
        different = self.golden_different
        golden = f"{different} rows give other bits here" if different else "every bit as recorded"
        aliases = f"{self.aliases}, each with this digest" if self.aliases else "none names this version"
        return [
            (GOOD, "files", f"{self.files}, every byte as the manifest says ({self.bundle_sha256[:12]})"),
            (GOOD if self.signature == "trusted" else "", "signature", self.signature),
            (GOOD, "alias records", aliases),
            (BAD if different else GOOD, "golden rows", golden),
            ("", "engine", self.engine),
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the findings as JSON values."""
        return {**asdict(self), "verified": self.golden_different == 0}


def check_bundle(
    resolved: ResolvedBundle, registry: Registry, *, signed: bool, engine: EngineChoice = "auto"
) -> Verified:
    """Return what is found of a bundle that was resolved, and so has the bytes that its manifest names.

    Args:
        resolved: the bundle.
        registry: where it came from.
        signed: trusted keys are configured, so that resolving it checked its signature.
        engine: ``model.engine``.

    Raises:
        BundleError: an alias was moved to a bundle with another digest.
    """
    manifest = resolved.manifest
    aliases = _check_aliases(resolved, registry) if resolved.uri.startswith("models:/") else 0
    bundle = open_bundle(resolved.files, "platform", engine)
    there = signature.SIGNATURE in resolved.files
    return Verified(
        uri=resolved.uri,
        bundle_sha256=resolved.digest,
        files=len(manifest.files),
        signature="trusted" if signed else "there, not checked: no trusted keys are set" if there else "not signed",
        aliases=aliases,
        golden_different=0 if bundle.repeats_bits else golden_differences(bundle, resolved.files[manifests.GOLDEN]),
        engine=f"{bundle.engine.name}: {bundle.engine.reason}",
    )


def refuse_different(verified: Verified) -> None:
    """Raise if golden rows give other bits here.

    Raises:
        DifferenceError: they do.
    """
    if verified.golden_different:
        raise DifferenceError(
            f"{verified.golden_different} golden rows give other bits here",
            where=f"{verified.uri} on {platform.machine()}",
            expected="the recorded bits",
            fix="score on a machine and with library versions like those of the registration",
        )


def sign_bundle(resolved: ResolvedBundle, options: Mapping[str, str], key: Path, *, replace: bool) -> str:
    """Write a signature beside a bundle's files; return its place.

    Raises:
        UsageError: there is one, and it is not to be replaced.
        DependencyError: model-signing is not installed.
        BundleError: the key cannot be used.
    """
    made = signature.sign(resolved.files, key)
    storage = Storage(resolved.location, options)
    place = join(storage.uri, signature.SIGNATURE)
    if replace:
        storage.put(signature.SIGNATURE, made)
        return place
    try:
        storage.put_new(signature.SIGNATURE, made)
    except ObjectExistsError as error:
        raise UsageError("the bundle is signed already", where=place, fix="--replace signs it anew") from error
    return place


def _check_aliases(resolved: ResolvedBundle, registry: Registry) -> int:
    """Return how many alias records name this version; a URI with an alias was held against the newest one only.

    Raises:
        BundleError: one of them was written for a bundle with another digest.
    """
    manifest = resolved.manifest
    moves = [record for record in registry.history(manifest.name) if record.version == manifest.version]
    for record in moves:
        if record.bundle_sha256 != resolved.digest:
            raise BundleError(
                f"alias record {record.number} was written for a bundle with another digest",
                where=resolved.location,
                expected=record.bundle_sha256,
                got=resolved.digest,
                fix="somebody replaced the bundle: restore it, and find out who may write to the registry",
            )
    return len(moves)
