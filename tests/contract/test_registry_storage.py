"""One suite for every storage: what the registry and the run records rely on, in memory, on a disk and over S3.

The server over S3 is moto's, answering one request at a time (:mod:`tests.factory.s3_server` says why).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from scoretrail.errors import (
    BundleError,
    ConflictError,
    ObjectExistsError,
    ObjectNotFoundError,
    RegistryError,
    StorageError,
)
from scoretrail.model.manifest import MODEL
from scoretrail.model.registry import Registry
from scoretrail.storage import Storage, filesystem
from tests.factory import race
from tests.factory.bare import NOW, bare_bundle
from tests.factory.race import RACERS
from tests.factory.s3_server import S3Server

NAME = "parcel-linear"
DISK_AND_S3 = ["local", pytest.param("s3", marks=pytest.mark.s3)]


@dataclass(frozen=True)
class Place:
    """Somewhere to store things."""

    uri: str
    options: dict[str, str]

    def open(self) -> Storage:
        return Storage(self.uri, self.options)


@pytest.fixture
def make_place(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Place]:
    def make(kind: str) -> Place:
        if kind == "memory":
            return Place("memory://", {})
        if kind == "local":
            return Place(str(tmp_path / "place"), {})
        server: S3Server = request.getfixturevalue("s3_server")
        bucket = server.make_bucket(f"bucket-{time.time_ns()}")
        return Place(f"{bucket}/below/it", server.options)

    return make


@pytest.fixture(params=["memory", *DISK_AND_S3])
def storage(request: pytest.FixtureRequest, make_place: Callable[[str], Place]) -> Storage:
    return make_place(request.param).open()


# --- Objects ----------------------------------------------------------------------------------------------------------


def test_an_object_reads_back(storage: Storage) -> None:
    storage.put_new("folder/a.json", b"{}")
    storage.put("folder/b", b"")

    assert (storage.get("folder/a.json"), storage.get("folder/b")) == (b"{}", b"")


def test_an_exclusive_create_leaves_what_is_there(storage: Storage) -> None:
    storage.put_new("a", b"first")

    with pytest.raises(ObjectExistsError) as caught:
        storage.put_new("a", b"second")
    assert str(caught.value.where).endswith("/a")
    assert storage.get("a") == b"first"


def test_a_plain_write_replaces_what_is_there(storage: Storage) -> None:
    storage.put("a", b"first")
    storage.put("a", b"second")

    assert storage.get("a") == b"second"


def test_an_object_that_is_not_there_is_said_so_or_is_none(storage: Storage) -> None:
    storage.put("folder/a", b"")

    for key in ("b", "folder/b", "folder"):
        with pytest.raises(ObjectNotFoundError):
            storage.get(key)
        assert storage.get_or_none(key) is None


def test_a_listing_has_keys_sizes_and_times_of_a_folder_and_of_no_neighbour(storage: Storage) -> None:
    for key in ("a/1", "a/deep/2", "ab/3", "c"):
        storage.put(key, key.encode())

    assert sorted((found.key, found.size_bytes) for found in storage.list("a")) == [("a/1", 3), ("a/deep/2", 8)]
    assert sorted(found.key for found in storage.list()) == ["a/1", "a/deep/2", "ab/3", "c"]
    assert all(abs(found.modified_at.timestamp() - time.time()) < 300 for found in storage.list())
    assert (list(storage.folders()), list(storage.folders("a")), list(storage.folders("c"))) == (
        ["a", "ab"],
        ["deep"],
        [],
    )


def test_nothing_is_listed_where_nothing_is(storage: Storage) -> None:
    assert (list(storage.list()), list(storage.list("a")), list(storage.folders())) == ([], [], [])


def test_empty_objects_such_as_marks_of_folders_are_not_listed(storage: Storage) -> None:
    storage.put("a/mark", b"")
    storage.put("a/b", b"x")

    assert [found.key for found in storage.list("a")] == ["a/b"]
    assert storage.get("a/mark") == b""


def test_many_objects_are_all_listed(storage: Storage) -> None:
    """More than one page of 1,000 would be slow here over S3; 60 objects cross the chunks that obstore yields."""
    for i in range(60):
        storage.put(f"many/{i:03d}", b"x")

    assert sorted(found.key for found in storage.list("many")) == [f"many/{i:03d}" for i in range(60)]


def test_deleting_removes_and_does_not_mind_what_is_not_there(storage: Storage) -> None:
    storage.put("a", b"x")
    storage.put("b", b"x")

    storage.delete(["a", "never"])

    assert [found.key for found in storage.list()] == ["b"]


@pytest.mark.parametrize("key", ["with space", "ä/ü", "k=v/part-1.parquet", "a+b,c@d", "hash#1%20", "dot.", "~a"])
def test_keys_of_any_letters_read_back_and_are_listed_as_they_are(storage: Storage, key: str) -> None:
    storage.put_new(key, b"x")

    assert storage.get(key) == b"x"
    assert [found.key for found in storage.list()] == [key]


@pytest.mark.parametrize("kind", DISK_AND_S3)
def test_control_objects_and_data_files_meet_in_one_place(make_place: Callable[[str], Place], kind: str) -> None:
    place = make_place(kind)
    place.open().put("a/b", b"data")

    files, path = filesystem(place.uri, place.options)

    with files.open_input_file(f"{path}/a/b") as stream:
        assert stream.read() == b"data"


@pytest.mark.s3
@pytest.mark.parametrize("port", [9])  # discard: nobody listens there
def test_a_server_that_is_away_is_an_error_that_may_pass_and_tells_no_secret(s3_server: S3Server, port: int) -> None:
    options = s3_server.options | {"aws_endpoint_url": f"http://127.0.0.1:{port}", "aws_secret_access_key": "TOPSECRET"}

    with pytest.raises(StorageError) as caught:
        Storage("s3://bucket/x", options | {"timeout": "1s", "connect_timeout": "1s"}).get("a")
    assert caught.value.exit_code == 75
    assert "TOPSECRET" not in str(caught.value)


@pytest.mark.s3
def test_a_bucket_that_is_not_there_is_no_object(s3_server: S3Server) -> None:
    with pytest.raises(ObjectNotFoundError):
        Storage("s3://no-such-bucket/x", s3_server.options).get("a")


# --- The registry on each ---------------------------------------------------------------------------------------------


def test_a_registry_keeps_versions_aliases_and_their_history(storage: Storage) -> None:
    registry = Registry(storage, NOW)
    for version in ("1.0.0", "1.1.0"):
        registry.publish(*bare_bundle(version, model=version.encode()))
    registry.move_alias(NAME, "champion", "1.0.0")
    registry.move_alias(NAME, "champion", "1.1.0")
    registry.rollback(NAME)

    again = Registry(storage, NOW)
    assert (again.models(), again.versions(NAME)) == ([NAME], ["1.0.0", "1.1.0"])
    assert again.aliases(NAME) == {"champion": "1.0.0", "previous": "1.1.0"}
    assert [record.number for record in again.history(NAME)] == [1, 2, 3]
    assert again.resolve(f"models:/{NAME}@champion").files[MODEL] == b"1.0.0"
    assert again.resolve(f"models:/{NAME}@previous").files[MODEL] == b"1.1.0"
    with pytest.raises(RegistryError, match="exists already"):
        again.publish(*bare_bundle("1.0.0"))
    with pytest.raises(RegistryError, match="has no alias 'challenger'"):
        again.resolve(f"models:/{NAME}@challenger")


def test_an_unfinished_registration_is_in_the_way_until_it_is_discarded(storage: Storage) -> None:
    registry = Registry(storage, NOW)
    storage.put_new(f"{NAME}/1.0.0/{MODEL}", b"of somebody who died")

    with pytest.raises(ConflictError):
        registry.publish(*bare_bundle())
    registry.discard(NAME, "1.0.0")
    registry.publish(*bare_bundle())

    assert registry.resolve(f"models:/{NAME}/1.0.0").files[MODEL] == b"a model"


def test_a_bundle_is_resolved_by_its_place_too(storage: Storage) -> None:
    registry = Registry(storage, NOW)
    registry.publish(*bare_bundle())
    if storage.uri == "memory://":
        with pytest.raises(BundleError, match="there is no bundle here"):
            registry.resolve("memory://")
        return

    resolved = registry.resolve(f"{storage.uri}/{NAME}/1.0.0/", storage.options)

    assert resolved.digest == registry.resolve(f"models:/{NAME}/1.0.0").digest


# --- Two at once: real processes, round after round -------------------------------------------------------------------

ROUNDS = 12


@pytest.mark.integration
@pytest.mark.parametrize("kind", DISK_AND_S3)
@pytest.mark.parametrize("what", [race.register_other_models, race.register_other_manifests])
def test_of_two_registrations_of_one_version_at_once_one_wins_wholly(
    make_place: Callable[[str], Place], kind: str, what: race.Racer
) -> None:
    place = make_place(kind)

    got = race.race(what, place.uri, place.options, ROUNDS)

    registry = Registry(place.open(), NOW)
    assert len(registry.versions(NAME)) == ROUNDS
    for turn in range(ROUNDS):
        results = {name: got[name][turn] for name in RACERS}
        assert Counter(results.values())["published"] == 1, results
        (winner,) = (name for name, result in results.items() if result == "published")
        resolved = registry.resolve(f"models:/{NAME}/1.0.{turn}")
        of_winner = (
            resolved.files[MODEL].decode() if what is race.register_other_models else resolved.manifest.created_at
        )
        assert of_winner == winner


@pytest.mark.integration
@pytest.mark.parametrize("kind", DISK_AND_S3)
def test_of_two_alias_moves_at_once_both_are_kept_in_one_order(make_place: Callable[[str], Place], kind: str) -> None:
    place = make_place(kind)
    registry = Registry(place.open(), NOW)
    registry.publish(*bare_bundle())

    got = race.race(race.move_alias, place.uri, place.options, ROUNDS)

    history = registry.history(NAME)
    assert [record.number for record in history] == list(range(1, 2 * ROUNDS + 1))
    for name in RACERS:
        mine = [record for record in history if record.reason.startswith(name)]
        assert [record.reason for record in mine] == [f"{name} {turn}" for turn in range(ROUNDS)]
        assert [str(record.number) for record in mine] == list(got[name])


@pytest.mark.integration
def test_without_the_exclusive_create_both_would_win(make_place: Callable[[str], Place]) -> None:
    """The control: what the race looks like where a create is no precondition."""
    place = make_place("local")

    got = race.race(race.register_without_exclusion, place.uri, place.options, ROUNDS)

    assert any(got["left"][turn] == got["right"][turn] == "published" for turn in range(ROUNDS))
