from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs

from scoretrail.errors import ConfigurationError, ObjectNotFoundError, StorageError, UsageError
from scoretrail.storage import Storage, filesystem, join, normalise_uri


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("s3://bucket/data//", "s3://bucket/data"),
        ("s3://", "s3://"),
        ("memory://", "memory://"),
        ("file:///data//flights/", "/data/flights"),
        ("/data/./a/../flights/", "/data/flights"),
    ],
)
def test_a_place_has_one_spelling(given: str, normal: str) -> None:
    assert normalise_uri(given) == normal


def test_a_relative_path_and_a_home_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "link").symlink_to(tmp_path / "flights")

    assert normalise_uri("flights") == normalise_uri("link") == str(tmp_path.resolve() / "flights")
    assert normalise_uri("~/flights") == str(tmp_path.resolve() / "home" / "flights")


def test_places_are_joined() -> None:
    assert join("s3://bucket", "a", "b.json") == "s3://bucket/a/b.json"
    assert join("/data", "ds=1") == "/data/ds=1"


def test_reading_makes_no_folder_and_sees_what_another_writes_later(tmp_path: Path) -> None:
    place = tmp_path / "not" / "there"
    reader = Storage(str(place))

    assert (list(reader.list()), list(reader.folders()), reader.get_or_none("a")) == ([], [], None)
    with pytest.raises(ObjectNotFoundError):
        reader.get("a")
    assert not place.exists()

    Storage(str(place)).put("a", b"1")
    assert reader.get("a") == b"1"


def test_a_local_object_is_a_plain_file(tmp_path: Path) -> None:
    Storage(f"file://{tmp_path}").put_new("folder/a.json", b"{}")

    assert (tmp_path / "folder" / "a.json").read_bytes() == b"{}"


@pytest.mark.parametrize("key", ["../outside", "a/../../b", "a//b"])
def test_a_key_that_leaves_the_place_is_refused(tmp_path: Path, key: str) -> None:
    for operation in (lambda: Storage(str(tmp_path)).put(key, b""), lambda: Storage(str(tmp_path)).get(key)):
        with pytest.raises(UsageError, match="cannot be the name of an object"):
            operation()


@pytest.mark.parametrize(
    ("uri", "options", "said"),
    [
        ("s3://bucket/x", {"no_such_option": "1"}, "no_such_option"),
        ("nonsense://bucket/x", {}, "nonsense"),
        ("s3://", {}, "s3://"),
    ],
)
def test_a_store_that_cannot_be_opened_says_what_it_does_not_know(uri: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match="storage cannot be opened") as caught:
        Storage(uri, options)
    assert said in str(caught.value.got)


def test_a_place_that_cannot_be_a_folder_is_a_matter_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")

    with pytest.raises(ConfigurationError, match="the folder cannot be made"):
        Storage(str(tmp_path / "file")).put("a", b"")


def test_a_key_below_an_object_is_a_storage_error_with_one_line(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.put("a", b"")

    with pytest.raises(StorageError) as caught:
        storage.put("a/b", b"")
    assert caught.value.where == str(tmp_path / "a/b")
    assert "\n" not in str(caught.value.got)


@pytest.fixture
def _nobody() -> Iterator[None]:
    """Run without root's rights, if the tests have them: root may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


def test_a_lack_of_rights_is_a_matter_of_configuration(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    storage = Storage(str(tmp_path))
    storage.put("a", b"")
    (tmp_path / "a").chmod(0)
    request.getfixturevalue("_nobody")

    with pytest.raises(ConfigurationError, match="refuses access"):
        storage.get("a")


def test_data_files_lie_on_the_file_system_of_their_scheme(tmp_path: Path) -> None:
    local, path = filesystem(str(tmp_path))
    assert (type(local), path) == (fs.LocalFileSystem, str(tmp_path))

    remote, path = filesystem(
        "s3://bucket/data",
        {
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "aws_access_key_id": "a",
            "aws_secret_access_key": "b",
            "region": "x",
        },
    )
    assert (type(remote), path) == (fs.S3FileSystem, "bucket/data")
    assert remote.region == "x"

    plain, _ = filesystem("s3a://bucket", {"aws_access_key_id": "a", "aws_secret_access_key": "b", "aws_region": "y"})
    assert plain.region == "y"

    other, path = filesystem(f"file://{tmp_path}")
    assert (type(other), path) == (fs.LocalFileSystem, str(tmp_path))

    with pytest.raises(ConfigurationError, match="storage cannot be opened"):
        filesystem("nonsense://bucket/data")
