from __future__ import annotations

import builtins
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from scoretrail.errors import BundleError, ConfigurationError, DependencyError
from scoretrail.model import registry as registries
from scoretrail.model import signature
from scoretrail.model.manifest import CARD, MANIFEST, MODEL, SUMS
from scoretrail.model.signature import SIGNATURE
from tests.factory.bare import bare_bundle, open_registry
from tests.factory.key import make_pair

FILES = {"manifest.json": b"{}", "model.onnx": b"a model", "features.py": b"a view", "golden.parquet": b"rows"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the pairs ``ours`` and ``theirs``, and a key of another kind."""
    folder = tmp_path_factory.mktemp("keys")
    make_pair(folder, "ours")
    make_pair(folder, "theirs")
    make_pair(folder, "rsa", elliptic=False)
    return folder


@pytest.fixture(scope="module")
def signed(keys: Path) -> Mapping[str, bytes]:
    return FILES | {SIGNATURE: signature.sign(FILES, keys / "ours.pem")}


def test_what_one_of_the_trusted_keys_signed_is_accepted(keys: Path, signed: Mapping[str, bytes]) -> None:
    signature.verify(signed, [str(keys / "ours.pub.pem")])
    signature.verify(signed, [str(keys / "theirs.pub.pem"), str(keys / "ours.pub.pem")])


def test_card_and_sums_are_not_signed_for_they_follow_from_the_rest(keys: Path, signed: Mapping[str, bytes]) -> None:
    signature.verify({**signed, CARD: b"a card", SUMS: b"sums"}, [str(keys / "ours.pub.pem")])


def test_another_key_is_refused_and_named(keys: Path, signed: Mapping[str, bytes]) -> None:
    with pytest.raises(BundleError, match="no trusted key signed the bundle") as caught:
        signature.verify(signed, [str(keys / "theirs.pub.pem")])
    assert str(caught.value.got).startswith("theirs.pub.pem: ")


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_changed_lost_or_added_file_is_refused(keys: Path, signed: Mapping[str, bytes], name: str) -> None:
    trusted = [str(keys / "ours.pub.pem")]

    for files in (
        {**signed, name: FILES[name] + b" "},
        {key: data for key, data in signed.items() if key != name},
        {**signed, f"{name}.more": b""},
    ):
        with pytest.raises(BundleError, match="no trusted key signed the bundle"):
            signature.verify(files, trusted)


def test_an_unsigned_bundle_is_refused_with_the_command_that_signs(keys: Path) -> None:
    with pytest.raises(BundleError, match="the bundle is not signed") as caught:
        signature.verify(FILES, [str(keys / "ours.pub.pem")])
    assert "scoretrail model sign" in str(caught.value.fix)


@pytest.mark.parametrize("broken", [b"", b"{}", b"no JSON", b"\xff\xfe"])
def test_a_signature_that_is_none_is_refused(keys: Path, broken: bytes) -> None:
    with pytest.raises(BundleError, match="no trusted key signed the bundle"):
        signature.verify(FILES | {SIGNATURE: broken}, [str(keys / "ours.pub.pem")])


def test_a_signature_of_another_bundle_is_refused(keys: Path) -> None:
    other = signature.sign(FILES | {"model.onnx": b"another"}, keys / "ours.pem")

    with pytest.raises(BundleError, match="no trusted key signed the bundle"):
        signature.verify(FILES | {SIGNATURE: other}, [str(keys / "ours.pub.pem")])


def test_a_trusted_key_that_is_not_there_is_a_matter_of_configuration(keys: Path, signed: Mapping[str, bytes]) -> None:
    with pytest.raises(ConfigurationError, match="a trusted key is not there") as caught:
        signature.verify(signed, [str(keys / "ours.pub.pem"), str(keys / "lost.pem")])
    assert caught.value.got == str(keys / "lost.pem")


@pytest.mark.parametrize("name", ["ours.pub.pem", "rsa.pem", "lost.pem"])
def test_a_key_that_cannot_sign_is_refused(keys: Path, name: str) -> None:
    with pytest.raises(BundleError, match="the bundle cannot be signed") as caught:
        signature.sign(FILES, keys / name)
    assert caught.value.where == name


def test_without_the_library_the_line_that_installs_it_is_named(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == "model_signing":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(DependencyError, match="signatures need the extra") as caught:
        signature.sign(FILES, keys / "ours.pem")
    assert caught.value.fix == "pip install 'scoretrail[signing]'"


# --- In a registry ----------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, keys: Path) -> Path:
    """Return a registry's folder with one signed version."""
    registry = open_registry(tmp_path)
    registry.publish(*bare_bundle())
    files = registry.resolve("models:/parcel-linear/1.0.0").files
    (tmp_path / "parcel-linear" / "1.0.0" / SIGNATURE).write_bytes(signature.sign(files, keys / "ours.pem"))
    return tmp_path


def test_a_registry_with_trusted_keys_resolves_what_they_signed(place: Path, keys: Path) -> None:
    trusting = open_registry(place, (str(keys / "ours.pub.pem"),))

    assert SIGNATURE in trusting.resolve("models:/parcel-linear/1.0.0").files
    assert SIGNATURE in trusting.resolve(str(place / "parcel-linear" / "1.0.0")).files

    with pytest.raises(BundleError, match="no trusted key signed the bundle") as caught:
        open_registry(place, (str(keys / "theirs.pub.pem"),)).resolve("models:/parcel-linear/1.0.0")
    assert caught.value.where == str(place / "parcel-linear" / "1.0.0" / SIGNATURE)


@pytest.mark.parametrize("name", [MANIFEST, MODEL])
def test_nothing_is_parsed_before_the_signature_is_verified(
    place: Path, keys: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = place / "parcel-linear" / "1.0.0"
    (folder / name).write_bytes(b"not what was signed")
    parsed: list[object] = []
    monkeypatch.setattr(registries, "check_files", parsed.append)

    with pytest.raises(BundleError, match="no trusted key signed the bundle"):
        open_registry(place, (str(keys / "ours.pub.pem"),)).resolve(str(folder))
    assert parsed == []

    open_registry(place).resolve(str(folder))
    assert len(parsed) == 1, "the control: without keys the same bytes are looked at"


def test_a_forger_who_mends_manifest_and_sums_still_lacks_the_key(place: Path, keys: Path) -> None:
    folder = place / "parcel-linear" / "1.0.0"
    signed = (folder / SIGNATURE).read_bytes()
    for file in folder.iterdir():
        file.unlink()
    open_registry(place).publish(*bare_bundle(model=b"a forged model"))
    (folder / SIGNATURE).write_bytes(signed)

    assert open_registry(place).resolve("models:/parcel-linear/1.0.0").files[MODEL] == b"a forged model"
    with pytest.raises(BundleError, match="no trusted key signed the bundle"):
        open_registry(place, (str(keys / "ours.pub.pem"),)).resolve("models:/parcel-linear/1.0.0")
