"""Any byte of any file of a bundle: if it is changed, the bundle is refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoretrail.errors import BundleError, ScoretrailError
from scoretrail.model import signature
from scoretrail.model.bundle import BundleFiles, check_files
from scoretrail.model.manifest import CARD, FEATURES, GOLDEN, MANIFEST, MODEL, SUMS
from scoretrail.model.signature import SIGNATURE
from tests.factory.bare import open_registry
from tests.factory.key import make_pair
from tests.factory.registered import Registered

FILES = (CARD, FEATURES, GOLDEN, MANIFEST, MODEL, SUMS)


def with_byte(data: bytes, position: int, mask: int) -> bytes:
    """Return the bytes with one of them changed; ``mask`` is not 0."""
    position %= len(data)
    return data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :]


@given(name=st.sampled_from(FILES), position=st.integers(0, 10**6), mask=st.integers(1, 255))
def test_any_byte_of_any_file(registered_linear: Registered, name: str, position: int, mask: int) -> None:
    files = registered_linear.resolved.files

    with pytest.raises(BundleError):
        check_files(files | {name: with_byte(files[name], position, mask)})


@pytest.mark.parametrize("name", [MANIFEST, SUMS, CARD])
def test_each_byte_of_the_files_that_the_manifest_does_not_hash(registered_linear: Registered, name: str) -> None:
    files = registered_linear.resolved.files
    check_files(files)  # the control: unchanged, they are accepted

    for position in range(len(files[name])):
        with pytest.raises(BundleError):
            check_files(files | {name: with_byte(files[name], position, 1 << position % 8)})


@given(name=st.sampled_from(FILES), position=st.integers(0, 10**6), mask=st.integers(1, 255))
def test_any_byte_on_the_disk_is_found_when_the_bundle_is_resolved(
    registered_linear: Registered, tmp_path: Path, name: str, position: int, mask: int
) -> None:
    for key, data in registered_linear.resolved.files.items():
        (tmp_path / key).write_bytes(with_byte(data, position, mask) if key == name else data)

    with pytest.raises(BundleError) as caught:
        open_registry(tmp_path / "anything").resolve(str(tmp_path))
    assert str(caught.value.where).startswith(str(tmp_path.resolve()))


@given(name=st.sampled_from(FILES), position=st.integers(0, 10**6))
def test_a_file_that_is_cut_or_longer_is_refused(registered_linear: Registered, name: str, position: int) -> None:
    files = registered_linear.resolved.files

    for data in (files[name][: position % len(files[name])], files[name] + b"\n"):
        with pytest.raises(BundleError):
            check_files(files | {name: data})


# --- With trusted keys, nobody but their owners can mend what they changed --------------------------------------------


@pytest.fixture(scope="module")
def signed(registered_linear: Registered, tmp_path_factory: pytest.TempPathFactory) -> tuple[BundleFiles, str]:
    """Return the files that score, signed, without sums or card; and the public key."""
    private, public = make_pair(tmp_path_factory.mktemp("keys"), "ours")
    files = {name: registered_linear.resolved.files[name] for name in (FEATURES, GOLDEN, MANIFEST, MODEL)}
    return files | {SIGNATURE: signature.sign(files, private)}, str(public)


@given(
    name=st.sampled_from((FEATURES, GOLDEN, MANIFEST, MODEL)), position=st.integers(0, 10**6), mask=st.integers(1, 255)
)
def test_any_byte_of_a_signed_file(signed: tuple[BundleFiles, str], name: str, position: int, mask: int) -> None:
    files, key = signed

    with pytest.raises(BundleError, match="no trusted key signed the bundle"):
        signature.verify(files | {name: with_byte(files[name], position, mask)}, [key])


@given(position=st.integers(0, 10**6), mask=st.integers(1, 255))
def test_any_byte_of_the_signature_unless_it_means_the_same(
    signed: tuple[BundleFiles, str], position: int, mask: int
) -> None:
    """Base64 has bits that say nothing, and JSON has names that nobody reads; the statement is what counts."""
    files, key = signed
    changed = with_byte(files[SIGNATURE], position, mask)

    try:
        signature.verify(files | {SIGNATURE: changed}, [key])
    except ScoretrailError as error:
        assert isinstance(error, BundleError)  # noqa: PT017  (either outcome may be right)
    else:
        assert statement(changed) == statement(files[SIGNATURE])


def statement(data: bytes) -> bytes:
    return base64.b64decode(json.loads(data)["dsseEnvelope"]["payload"])
