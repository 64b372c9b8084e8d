from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from scoretrail import digest
from scoretrail.errors import BundleError, ConflictError, ObjectExistsError, RegistryError, StorageError, UsageError
from scoretrail.model import card
from scoretrail.model.manifest import CARD, MANIFEST, MODEL, SUMS
from scoretrail.model.registry import Registry
from scoretrail.storage import Storage
from tests.factory.bare import NOW, bare_bundle, bare_manifest, open_registry

NAME = "parcel-linear"


@pytest.fixture
def storage() -> Storage:
    return Storage("memory://")


@pytest.fixture
def registry(storage: Storage) -> Registry:
    return Registry(storage, NOW)


def publish(registry: Registry, *versions: str) -> None:
    for version in versions:
        registry.publish(*bare_bundle(version, model=f"model {version}".encode()))


# --- Versions ---------------------------------------------------------------------------------------------------------


def test_a_published_version_is_listed_and_resolves_to_its_bytes(registry: Registry, storage: Storage) -> None:
    manifest, files = bare_bundle()

    bundle_sha256 = registry.publish(manifest, files)

    assert bundle_sha256 == digest.of_bytes(manifest.to_bytes())
    assert (registry.models(), registry.versions(NAME)) == ([NAME], ["1.0.0"])
    assert registry.manifest(NAME, "1.0.0") == manifest
    resolved = registry.resolve(f"models:/{NAME}/1.0.0")
    assert (resolved.digest, resolved.manifest, resolved.role) == (bundle_sha256, manifest, None)
    assert resolved.location == f"{storage.uri}{NAME}/1.0.0"
    assert resolved.files.keys() == {*files, MANIFEST, CARD, SUMS}
    assert resolved.files[CARD].decode() == card.render(manifest)
    assert {name: resolved.files[name] for name in files} == files


def test_an_empty_registry_has_nothing(registry: Registry) -> None:
    assert (registry.models(), registry.versions(NAME), registry.history(NAME), registry.aliases(NAME)) == (
        [],
        [],
        [],
        {},
    )


def test_versions_are_in_the_order_of_their_numbers(registry: Registry) -> None:
    publish(registry, "1.10.0", "1.9.0", "2.0.0", "1.9.11", "1.9.2")
    registry.move_alias(NAME, "champion", "2.0.0")

    assert registry.versions(NAME) == ["1.9.0", "1.9.2", "1.9.11", "1.10.0", "2.0.0"]


def test_a_version_that_exists_is_refused_even_with_the_same_bytes(registry: Registry) -> None:
    publish(registry, "1.0.0", "1.2.0")

    for model in (b"a model", b"another"):
        with pytest.raises(RegistryError, match=f"{NAME} 1.0.0 exists already, and versions are immutable") as caught:
            registry.publish(*bare_bundle("1.0.0", model=model))
        assert caught.value.fix == "choose a version above 1.2.0"
    assert registry.resolve(f"models:/{NAME}/1.0.0").files[MODEL] == b"model 1.0.0"


@pytest.mark.parametrize("changes", [{"name": "Parcel"}, {"version": "1.0"}])
def test_a_name_or_version_that_is_none_is_refused_before_anything_is_written(
    registry: Registry, storage: Storage, changes: dict[str, str]
) -> None:
    with pytest.raises(RegistryError):
        registry.publish(bare_manifest(**changes), bare_bundle()[1])
    assert list(storage.list()) == []


def test_a_registration_that_died_can_be_taken_up_with_the_same_bytes(registry: Registry, storage: Storage) -> None:
    manifest, files = bare_bundle()
    storage.put_new(f"{NAME}/1.0.0/{MODEL}", files[MODEL])
    assert registry.versions(NAME) == []

    registry.publish(manifest, files)

    assert registry.versions(NAME) == ["1.0.0"]


def test_a_registration_that_died_with_other_bytes_is_in_the_way_until_it_is_discarded(
    registry: Registry, storage: Storage
) -> None:
    manifest, files = bare_bundle()
    storage.put_new(f"{NAME}/1.0.0/{MODEL}", b"another model")

    with pytest.raises(ConflictError, match="another registration of this version is under way, or died") as caught:
        registry.publish(manifest, files)
    assert "scoretrail model discard" in str(caught.value.fix)
    assert registry.versions(NAME) == []

    assert registry.discard(NAME, "1.0.0") > 0
    registry.publish(manifest, files)
    assert registry.resolve(f"models:/{NAME}/1.0.0").files[MODEL] == b"a model"


def test_a_published_version_cannot_be_discarded(registry: Registry) -> None:
    publish(registry, "1.0.0")

    with pytest.raises(RegistryError, match="is published, and versions are immutable"):
        registry.discard(NAME, "1.0.0")
    assert registry.versions(NAME) == ["1.0.0"]
    assert registry.discard(NAME, "9.9.9") == 0


class Dying(Storage):
    """A storage whose process dies at the n-th write."""

    def __init__(self, writes: int, real: Storage) -> None:
        super().__init__("memory://")
        self._opened = real._opened
        self._left = writes

    def put_new(self, key: str, data: bytes) -> None:
        self._live()
        super().put_new(key, data)

    def put(self, key: str, data: bytes) -> None:
        self._live()
        super().put(key, data)

    def _live(self) -> None:
        if self._left == 0:
            raise StorageError("the process is dead")
        self._left -= 1


@pytest.mark.parametrize("writes", range(7))
def test_a_registration_that_dies_anywhere_is_there_wholly_or_not_at_all(storage: Storage, writes: int) -> None:
    manifest, files = bare_bundle()
    dying, registry = Registry(Dying(writes, storage), NOW), Registry(storage, NOW)
    finished = writes == len(files) + 3

    if finished:
        dying.publish(manifest, files)
    else:
        with pytest.raises(StorageError):
            dying.publish(manifest, files)

    published = writes > len(files)
    assert registry.versions(NAME) == (["1.0.0"] if published else [])
    if published:
        resolved = registry.resolve(f"models:/{NAME}/1.0.0")
        assert (resolved.manifest, SUMS in resolved.files) == (manifest, finished)
    else:
        registry.publish(manifest, files)
        assert registry.resolve(f"models:/{NAME}/1.0.0").manifest == manifest


# --- What is not there ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "what", "got"),
    [
        (f"models:/{NAME}/9.9.9", f"there is no {NAME} 9.9.9", "versions 1.0.0, 1.1.0"),
        ("models:/parcels/1.0.0", "there is no parcels 1.0.0", f"models {NAME}"),
        (f"models:/{NAME}/aliases", f"there is no {NAME} aliases", "versions 1.0.0, 1.1.0"),
        (f"models:/{NAME}@challenger", f"{NAME} has no alias 'challenger'", "champion"),
        ("models:/parcels@champion", "parcels has no alias 'champion'", "no aliases"),
    ],
)
def test_what_is_not_there_is_answered_with_what_there_is(registry: Registry, uri: str, what: str, got: str) -> None:
    publish(registry, "1.0.0", "1.1.0")
    registry.move_alias(NAME, "champion", "1.0.0")

    with pytest.raises(RegistryError) as caught:
        registry.resolve(uri)
    assert (caught.value.what, caught.value.got) == (what, got)


def test_in_an_empty_registry_there_are_no_models_to_name(registry: Registry) -> None:
    with pytest.raises(RegistryError) as caught:
        registry.manifest(NAME, "1.0.0")
    assert caught.value.got == "models none"


def test_the_nearest_alias_is_named(registry: Registry) -> None:
    publish(registry, "1.0.0")
    registry.move_alias(NAME, "champion", "1.0.0")

    for alias, fix in (("chmapion", "did you mean champion?"), ("x", f"scoretrail model alias {NAME} x VERSION")):
        with pytest.raises(RegistryError) as caught:
            registry.alias_version(NAME, alias)
        assert caught.value.fix == fix


@pytest.mark.parametrize(
    "uri", ["models:/", "models:/a", "models:/a/1/2", "models:/a@", "models:/a@b@c", "models://a/1"]
)
def test_a_uri_that_is_none_of_the_three_kinds_is_a_usage_error(registry: Registry, uri: str) -> None:
    with pytest.raises(UsageError, match="is no model"):
        registry.resolve(uri)


def test_a_name_that_leaves_the_registry_is_a_usage_error(registry: Registry) -> None:
    with pytest.raises(UsageError):
        registry.resolve("models:/../1.0.0")


# --- Paths ------------------------------------------------------------------------------------------------------------


def test_a_bundle_may_be_named_by_its_path_wherever_it_was_copied(registry: Registry, tmp_path: Path) -> None:
    local = open_registry(tmp_path / "registry")
    publish(local, "1.0.0")
    shutil.copytree(tmp_path / "registry" / NAME / "1.0.0", tmp_path / "copy")

    for uri in (str(tmp_path / "copy"), f"file://{tmp_path}/copy/"):
        resolved = registry.resolve(uri)
        assert (resolved.uri, resolved.location, resolved.role) == (uri, str((tmp_path / "copy").resolve()), None)
        assert resolved.digest == local.resolve(f"models:/{NAME}/1.0.0").digest


def test_folders_below_a_bundle_are_not_read(registry: Registry, tmp_path: Path) -> None:
    local = open_registry(tmp_path)
    publish(local, "1.0.0")
    (tmp_path / NAME / "1.0.0" / "notes").mkdir()
    (tmp_path / NAME / "1.0.0" / "notes" / "huge").write_text("not ours")

    assert "notes/huge" not in local.resolve(f"models:/{NAME}/1.0.0").files


@pytest.mark.parametrize("files", [{}, {"README.md": "text"}])
def test_a_path_without_a_bundle_says_what_is_there_and_is_not_made(
    registry: Registry, tmp_path: Path, files: dict[str, str]
) -> None:
    for name, text in files.items():
        (tmp_path / "place").mkdir()
        (tmp_path / "place" / name).write_text(text)

    with pytest.raises(BundleError, match="there is no bundle here") as caught:
        registry.resolve(str(tmp_path / "place"))

    assert str(caught.value.where).startswith(str(tmp_path.resolve() / "place"))
    assert caught.value.got == (", ".join(files) or "nothing")
    assert (tmp_path / "place").exists() is bool(files)


# --- Aliases ----------------------------------------------------------------------------------------------------------


def test_an_alias_stands_for_what_it_was_last_moved_to(registry: Registry) -> None:
    publish(registry, "1.0.0", "1.1.0")

    first = registry.move_alias(NAME, "champion", "1.0.0", "first")
    second = registry.move_alias(NAME, "champion", "1.1.0")
    other = registry.move_alias(NAME, "challenger", "1.0.0")

    assert [first.number, second.number, other.number] == [1, 2, 3]
    assert registry.history(NAME) == [first, second, other]
    assert (first.reason, first.at) == ("first", "2013-12-01T12:00:00.000000Z")
    assert registry.aliases(NAME) == {"champion": "1.1.0", "previous": "1.0.0", "challenger": "1.0.0"}
    resolved = registry.resolve(f"models:/{NAME}@champion")
    assert (resolved.manifest.version, resolved.role) == ("1.1.0", "champion")
    assert second.bundle_sha256 == resolved.digest


def test_rollback_goes_back_by_a_higher_number_and_again_goes_forth(registry: Registry) -> None:
    publish(registry, "1.0.0", "1.1.0")
    registry.move_alias(NAME, "champion", "1.0.0")
    registry.move_alias(NAME, "champion", "1.1.0")

    record = registry.rollback(NAME)

    assert (record.number, record.version, record.reason) == (3, "1.0.0", "rollback")
    assert registry.aliases(NAME) == {"champion": "1.0.0", "previous": "1.1.0"}
    assert registry.resolve(f"models:/{NAME}@previous").manifest.version == "1.1.0"
    assert registry.rollback(NAME, "no, forth").version == "1.1.0"


def test_a_champion_that_was_moved_to_itself_has_no_previous(registry: Registry) -> None:
    publish(registry, "1.0.0")
    registry.move_alias(NAME, "champion", "1.0.0")
    registry.move_alias(NAME, "champion", "1.0.0")

    with pytest.raises(RegistryError, match="has no previous champion to go back to"):
        registry.rollback(NAME)


def test_other_aliases_have_no_part_in_previous(registry: Registry) -> None:
    publish(registry, "1.0.0", "1.1.0")
    registry.move_alias(NAME, "challenger", "1.0.0")
    registry.move_alias(NAME, "challenger", "1.1.0")

    assert registry.aliases(NAME) == {"challenger": "1.1.0"}


@pytest.mark.parametrize(
    ("alias", "version", "said"),
    [
        ("champion", "9.9.9", f"there is no {NAME} 9.9.9"),
        ("previous", "1.0.0", "is never moved"),
        ("Champion!", "1.0.0", "is no name"),
    ],
)
def test_an_alias_to_nowhere_or_without_a_name_is_refused(
    registry: Registry, alias: str, version: str, said: str
) -> None:
    publish(registry, "1.0.0")

    with pytest.raises(RegistryError, match=said):
        registry.move_alias(NAME, alias, version)
    assert registry.history(NAME) == []


def test_aliases_that_always_move_first_are_given_up_on(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(registry, "1.0.0")
    attempts = []

    def always_later(key: str, data: bytes) -> None:
        attempts.append(key)
        raise ObjectExistsError("the object exists already")

    monkeypatch.setattr(registry._storage, "put_new", always_later)

    with pytest.raises(ConflictError, match="move faster than this process can follow"):
        registry.move_alias(NAME, "champion", "1.0.0")
    assert len(attempts) == 100


@pytest.mark.parametrize("data", [b" ", b"{", b"[]", b'{"number": 1}', b'{"number": 1, "alias": "a", "more": 2}'])
def test_an_alias_record_that_cannot_be_read_is_named(registry: Registry, storage: Storage, data: bytes) -> None:
    storage.put(f"{NAME}/aliases/000001.json", data)

    with pytest.raises(RegistryError, match="the alias record cannot be read") as caught:
        registry.resolve(f"models:/{NAME}@champion")
    assert str(caught.value.where).endswith("aliases/000001.json")


# --- Somebody wrote to the registry by hand ---------------------------------------------------------------------------


def test_an_alias_holds_the_digest_of_the_bundle_it_was_moved_to(registry: Registry, storage: Storage) -> None:
    publish(registry, "1.0.0")
    record = registry.move_alias(NAME, "champion", "1.0.0")
    changed = registry.manifest(NAME, "1.0.0").model_copy(update={"threshold": 0.9})
    storage.put(f"{NAME}/1.0.0/{MANIFEST}", changed.to_bytes())
    storage.delete([f"{NAME}/1.0.0/{SUMS}", f"{NAME}/1.0.0/{CARD}"])

    with pytest.raises(BundleError, match="alias record 1 was written for a bundle with another digest") as caught:
        registry.resolve(f"models:/{NAME}@champion")
    assert caught.value.expected == record.bundle_sha256
    assert registry.resolve(f"models:/{NAME}/1.0.0").manifest.threshold == 0.9, "the control: by version it passes"


def test_a_bundle_in_the_folder_of_another_version_is_refused(registry: Registry, storage: Storage) -> None:
    publish(registry, "1.0.0")
    for found in list(storage.list(f"{NAME}/1.0.0")):
        storage.put(found.key.replace("1.0.0", "1.1.0"), storage.get(found.key))

    with pytest.raises(BundleError, match="the folder holds another bundle than its name says") as caught:
        registry.resolve(f"models:/{NAME}/1.1.0")
    assert caught.value.got == f"{NAME} 1.0.0"


def test_a_changed_file_is_refused_with_its_place(registry: Registry, storage: Storage) -> None:
    publish(registry, "1.0.0")
    storage.put(f"{NAME}/1.0.0/{MODEL}", b"another model")

    with pytest.raises(BundleError, match="was changed") as caught:
        registry.resolve(f"models:/{NAME}/1.0.0")
    assert caught.value.where == f"{storage.uri}{NAME}/1.0.0/{MODEL}"


def test_records_are_canonical_json_that_anyone_can_read(registry: Registry, storage: Storage) -> None:
    publish(registry, "1.0.0")
    registry.move_alias(NAME, "champion", "1.0.0", "ä")

    data = storage.get(f"{NAME}/aliases/000001.json")

    assert data == digest.canonical_json(json.loads(data))
    assert json.loads(data)["alias"] == "champion"


def test_the_newest_number_counts_the_moves_of_all_aliases(registry: Registry) -> None:
    assert registry.newest_number(NAME) == 0
    publish(registry, "1.0.0", "1.1.0")
    registry.move_alias(NAME, "champion", "1.0.0")
    registry.move_alias(NAME, "challenger", "1.1.0")
    assert registry.newest_number(NAME) == 2
    record = registry.alias_record(NAME, "champion")
    assert (record.number, record.version) == (1, "1.0.0")
    with pytest.raises(RegistryError, match="no alias"):
        registry.alias_record(NAME, "shadow")
