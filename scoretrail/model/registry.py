"""The registry: immutable versions and numbered alias records, safe under concurrent writers by exclusive creates."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scoretrail import digest, log
from scoretrail.clock import utc_text
from scoretrail.errors import (
    BundleError,
    ConflictError,
    ObjectExistsError,
    RegistryError,
    UsageError,
    nearest,
)
from scoretrail.model import card, signature
from scoretrail.model import manifest as manifests
from scoretrail.model.bundle import BundleFiles, check_files, sums
from scoretrail.model.manifest import CARD, MANIFEST, SUMS, check_name, parse_version
from scoretrail.storage import Storage, join

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scoretrail.clock import Clock
    from scoretrail.digest import Digest
    from scoretrail.model.manifest import Manifest

_URI: Final = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>[^/@]+)|@(?P<alias>[^/@]+))")
_ALIAS_ATTEMPTS: Final = 100
"""An alias move loses a race at most once per concurrent writer; nobody has a hundred."""
PREVIOUS: Final = "previous"
"""The alias that is never written: what the champion was before."""
CHAMPION: Final = "champion"


@dataclass(frozen=True)
class AliasRecord:
    """One numbered move of an alias."""

    number: int
    alias: str
    version: str
    bundle_sha256: str
    at: str
    reason: str = ""


@dataclass(frozen=True)
class ResolvedBundle:
    """A bundle as a run uses it: resolved once, its bytes read once."""

    uri: str
    """What was asked for."""
    location: str
    """The exact version's place."""
    role: str | None
    """The alias, where one was asked for."""
    files: BundleFiles
    manifest: Manifest

    @property
    def digest(self) -> Digest:
        """The bundle's digest."""
        return digest.of_bytes(self.files[MANIFEST])


class Registry:
    """Bundles and aliases below one place."""

    def __init__(self, storage: Storage, clock: Clock, trusted_keys: Sequence[str] = ()) -> None:
        """Open a registry; nothing is read or written yet.

        Args:
            storage: the registry's root.
            clock: stamps alias records.
            trusted_keys: public key files; when given, every bundle must carry a signature by one of them.
        """
        self._storage = storage
        self._clock = clock
        self._trusted_keys = tuple(trusted_keys)

    # --- versions -------------------------------------------------------------------------------------------

    def models(self) -> list[str]:
        """Return the names of all models, sorted."""
        return list(self._storage.folders())

    def versions(self, name: str) -> list[str]:
        """Return a model's published versions, lowest first; empty if there is no such model."""
        found = [version for version in self._storage.folders(name) if version != "aliases"]
        published = [v for v in found if self._storage.get_or_none(f"{name}/{v}/{MANIFEST}") is not None]
        return sorted(published, key=parse_version)

    def manifest(self, name: str, version: str) -> Manifest:
        """Return one version's manifest.

        Raises:
            RegistryError: there is no such version; what there is is named.
        """
        return manifests.parse(self._manifest_bytes(name, version))

    def publish(self, manifest: Manifest, files: Mapping[str, bytes]) -> Digest:
        """Publish a version: its files, then the manifest, whose exclusive create is the moment of publication.

        Every writer creates the files in the same order and goes on only where the bytes are its own, so two
        registrations of one version can never be mixed; at most one of them reaches the manifest.

        Args:
            manifest: names and hashes every file.
            files: file name -> bytes, without manifest, card and sums.

        Raises:
            RegistryError: the version exists.
            ConflictError: another registration of the version is under way, or died on the way.
        """
        folder = f"{check_name(manifest.name)}/{manifest.version}"
        parse_version(manifest.version)
        data = manifest.to_bytes()
        if self._storage.get_or_none(f"{folder}/{MANIFEST}") is not None:
            raise self._exists(manifest)
        for name, content in sorted(files.items()):
            self._claim(folder, name, content)
        try:
            self._storage.put_new(f"{folder}/{MANIFEST}", data)
        except ObjectExistsError as error:
            raise self._exists(manifest) from error
        complete = {**files, MANIFEST: data, CARD: card.render(manifest).encode()}
        # Both follow from what is published: a crash here leaves a bundle that can be used, without a card or sums.
        self._storage.put(f"{folder}/{CARD}", complete[CARD])
        self._storage.put(f"{folder}/{SUMS}", sums(complete))
        log.get().info(log.MODEL_REGISTERED, model=manifest.name, version=manifest.version)
        return digest.of_bytes(data)

    def discard(self, name: str, version: str) -> int:
        """Remove what an unfinished registration left; return how many files that were.

        Raises:
            RegistryError: the version is published; versions are immutable.
        """
        parse_version(version)  # anything else, such as `aliases`, is no registration that was left
        folder = f"{check_name(name)}/{version}"
        if self._storage.get_or_none(f"{folder}/{MANIFEST}") is not None:
            raise RegistryError(f"{name} {version} is published, and versions are immutable", where=self._storage.uri)
        keys = [found.key for found in self._storage.list(folder)]
        self._storage.delete(keys)
        return len(keys)

    def _claim(self, folder: str, name: str, content: bytes) -> None:
        key = f"{folder}/{name}"
        try:
            self._storage.put_new(key, content)
        except ObjectExistsError as error:
            if self._storage.get_or_none(key) != content:
                raise ConflictError(
                    "another registration of this version is under way, or died on the way",
                    where=join(self._storage.uri, key),
                    fix="wait for it; if it died, `scoretrail model discard NAME VERSION` removes what it left",
                ) from error

    def _exists(self, manifest: Manifest) -> RegistryError:
        return RegistryError(
            f"{manifest.name} {manifest.version} exists already, and versions are immutable",
            where=self._storage.uri,
            fix=f"choose a version above {self.versions(manifest.name)[-1]}",
        )

    def _manifest_bytes(self, name: str, version: str) -> bytes:
        data = self._storage.get_or_none(f"{name}/{version}/{MANIFEST}")
        if data is None:
            known = self.versions(name)
            raise RegistryError(
                f"there is no {name} {version}",
                where=self._storage.uri,
                got=f"versions {', '.join(known)}" if known else f"models {', '.join(self.models()) or 'none'}",
                fix="`scoretrail model list` shows what there is",
            )
        return data

    # --- resolution -----------------------------------------------------------------------------------------

    def resolve(self, uri: str, storage_options: Mapping[str, str] | None = None) -> ResolvedBundle:
        """Return the bundle that a URI means, every file checked.

        Args:
            uri: ``models:/NAME/VERSION``, ``models:/NAME@ALIAS``, or the path of a bundle's folder.
            storage_options: for a path outside the registry.

        Raises:
            UsageError: it is none of the three.
            RegistryError: there is no such model, version or alias.
            BundleError: a file is missing or changed, no trusted key signed it, or it is not the bundle that the alias
                was moved to.
        """
        if not uri.startswith("models:/"):
            place = Storage(uri, storage_options)
            return self._checked(uri, place.uri, None, _read_folder(place, ""))
        found = _URI.fullmatch(uri)
        if not found:
            raise UsageError(f"{uri!r} is no model", expected="models:/NAME/VERSION, models:/NAME@ALIAS or a path")
        name, version, alias = found["name"], found["version"], found["alias"]
        record = self._record(name, alias) if alias else None
        version = record.version if record else version
        self._manifest_bytes(name, version)
        location = join(self._storage.uri, name, version)
        resolved = self._checked(uri, location, alias, _read_folder(self._storage, f"{name}/{version}"))
        if (resolved.manifest.name, resolved.manifest.version) != (name, version):
            got = f"{resolved.manifest.name} {resolved.manifest.version}"
            raise BundleError("the folder holds another bundle than its name says", where=location, got=got)
        if record and record.bundle_sha256 != resolved.digest:
            raise BundleError(
                f"alias record {record.number} was written for a bundle with another digest",
                where=location,
                expected=record.bundle_sha256,
                got=resolved.digest,
                fix="somebody replaced the bundle: restore it, and find out who may write to the registry",
            )
        return resolved

    def _checked(self, uri: str, location: str, role: str | None, files: BundleFiles) -> ResolvedBundle:
        try:
            if self._trusted_keys:
                signature.verify(files, self._trusted_keys)
            return ResolvedBundle(uri, location, role, files, check_files(files))
        except BundleError as error:
            raise error.at(join(location, error.where or "")) from error

    # --- aliases --------------------------------------------------------------------------------------------

    def history(self, name: str) -> list[AliasRecord]:
        """Return every move of every alias of a model, oldest first.

        Raises:
            RegistryError: a record cannot be read.
        """
        records = []
        for key in sorted(found.key for found in self._storage.list(f"{name}/aliases")):
            try:
                records.append(AliasRecord(**json.loads(self._storage.get(key))))
            except (ValueError, TypeError) as error:
                place = join(self._storage.uri, key)
                raise RegistryError("the alias record cannot be read", where=place, got=str(error)) from error
        return records

    def aliases(self, name: str) -> dict[str, str]:
        """Return alias -> version as they stand, ``previous`` included where there is one."""
        return {alias: record.version for alias, record in self._standing(name).items()}

    def alias_version(self, name: str, alias: str) -> str:
        """Return the version an alias stands for.

        Raises:
            RegistryError: the model has no such alias; what it has is named.
        """
        return self._record(name, alias).version

    def alias_record(self, name: str, alias: str) -> AliasRecord:
        """Return the move by which an alias stands where it does.

        Raises:
            RegistryError: the model has no such alias; what it has is named.
        """
        return self._record(name, alias)

    def newest_number(self, name: str) -> int:
        """Return the number of a model's newest alias record, 0 where there is none: one listing, nothing is read."""
        numbers = (
            found.key.rpartition("/")[2].removesuffix(".json") for found in self._storage.list(f"{name}/aliases")
        )
        return max((int(number) for number in numbers if number.isdigit()), default=0)

    def _standing(self, name: str) -> dict[str, AliasRecord]:
        standing: dict[str, AliasRecord] = {}
        for record in self.history(name):
            before = standing.get(CHAMPION)
            if record.alias == CHAMPION and before and before.version != record.version:
                standing[PREVIOUS] = before
            standing[record.alias] = record
        return standing

    def _record(self, name: str, alias: str) -> AliasRecord:
        standing = self._standing(name)
        if alias not in standing:
            near = nearest(alias, standing)
            raise RegistryError(
                f"{name} has no alias {alias!r}",
                where=self._storage.uri,
                got=", ".join(sorted(standing)) or "no aliases",
                fix=f"did you mean {near}?" if near else f"scoretrail model alias {name} {alias} VERSION",
            )
        return standing[alias]

    def move_alias(self, name: str, alias: str, version: str, reason: str = "") -> AliasRecord:
        """Point an alias at a version by the next numbered record; of two moves at once both are kept, in order.

        Raises:
            RegistryError: there is no such version, or the alias is ``previous``.
            ConflictError: other writers were faster a hundred times.
        """
        if check_name(alias) == PREVIOUS:
            raise RegistryError("`previous` follows from the champion's history and is never moved", where=name)
        bundle = digest.of_bytes(self._manifest_bytes(name, version))
        for _ in range(_ALIAS_ATTEMPTS):
            history = self.history(name)
            number = history[-1].number + 1 if history else 1
            record = AliasRecord(number, alias, version, bundle, utc_text(self._clock.now()), reason)
            try:
                self._storage.put_new(f"{name}/aliases/{number:06d}.json", digest.canonical_json(vars(record)))
            except ObjectExistsError:
                continue
            log.get().info(log.ALIAS_MOVED, model=name, alias=alias, version=version, number=number)
            return record
        raise ConflictError(f"the aliases of {name} move faster than this process can follow", where=self._storage.uri)

    def rollback(self, name: str, reason: str = "rollback") -> AliasRecord:
        """Point the champion at what it was before, by a higher number.

        Raises:
            RegistryError: the champion was never another version.
        """
        standing = self.aliases(name)
        if PREVIOUS not in standing:
            raise RegistryError(f"{name} has no previous champion to go back to", where=self._storage.uri)
        return self.move_alias(name, CHAMPION, standing[PREVIOUS], reason)


def _read_folder(storage: Storage, folder: str) -> BundleFiles:
    """Return every file of a bundle by name, each read once.

    Raises:
        BundleError: there is no manifest.
    """
    prefix = f"{folder}/" if folder else ""
    files = {
        found.key.removeprefix(prefix): storage.get(found.key)
        for found in storage.list(folder)
        if "/" not in found.key.removeprefix(prefix)
    }
    if MANIFEST not in files:
        raise BundleError(
            "there is no bundle here",
            where=join(storage.uri, folder),
            expected=MANIFEST,
            got=", ".join(sorted(files)) or "nothing",
            fix="give models:/NAME/VERSION, models:/NAME@ALIAS, or the path of a bundle's folder",
        )
    return files
