"""``scoretrail model``: what is in the registry, and which version stands for what."""

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from scoretrail import digest
from scoretrail.model import manifest as manifests
from tests.unit.jobs.command.conftest import Call, publish_again

URI = "models:/house/1.0.0"


def test_an_empty_registry_is_no_error(call: Call, tmp_path: Path) -> None:
    assert call("model", "list", "--json").object == {"registry": str(tmp_path / "registry"), "models": []}
    answer = call("model", "list")
    assert (answer.code, answer.out) == (0, f"There are no models in {tmp_path / 'registry'}.\n")
    assert "model register --help" in answer.err
    assert not (tmp_path / "registry").exists()


def test_versions_are_listed_with_their_aliases(call: Call, registered: Path) -> None:
    publish_again(registered, "1.10.0")
    publish_again(registered, "1.9.0")
    call("model", "alias", "house", "challenger", "1.10.0")
    listed = call("model", "list", "--json").object["models"]
    assert [(one["version"], one["aliases"]) for one in listed] == [
        ("1.0.0", "champion"),
        ("1.9.0", ""),
        ("1.10.0", "challenger"),
    ]
    assert listed[0]["task"] == "regression"
    assert listed[0]["owner"] == "team houses"
    shown = call("model", "list", "house")
    assert shown.out.splitlines()[1].split() == ["model", "version", "aliases", "task", "registered", "owner"]
    assert len(shown.out.splitlines()) == 5


def test_a_version_that_cannot_be_read_does_not_hide_the_others(call: Call, registered: Path) -> None:
    publish_again(registered, "1.1.0")
    (registered / "manifest.json").write_text("{}")
    listed = call("model", "list", "--json").object["models"]
    assert [(one["version"], one["task"]) for one in listed] == [("1.0.0", "unreadable"), ("1.1.0", "regression")]


def test_a_model_that_is_not_there_names_the_nearest(call: Call, registered: Path) -> None:
    for command in ("list", "history"):
        answer = call("model", command, "hose")
        assert answer.code == 65
        assert "did you mean house?" in answer.err


def test_show_prints_the_card(call: Call, registered: Path) -> None:
    answer = call("model", "show", "models:/house@champion")
    assert "# house 1.0.0" in answer.out
    assert "square metres" in answer.out
    shown = call("model", "show", "models:/house@champion", "--json").object
    assert shown["role"] == "champion"
    assert shown["bundle_sha256"] == hashlib.sha256((registered / "manifest.json").read_bytes()).hexdigest()
    assert shown["manifest"]["training"]["rows"] == 500


def test_show_takes_a_path(call: Call, registered: Path) -> None:
    assert call("model", "show", registered, "--json").object["manifest"]["version"] == "1.0.0"


@pytest.mark.parametrize(
    ("uri", "code", "text"),
    [
        ("models:/house/2.0.0", 65, "versions 1.0.0"),
        ("models:/house@chamption", 65, "did you mean champion?"),
        ("models:/house", 2, "models:/NAME/VERSION"),
        ("nowhere", 65, "where: /"),
    ],
)
def test_a_uri_that_means_nothing_is_told(call: Call, registered: Path, uri: str, code: int, text: str) -> None:
    answer = call("model", "show", uri)
    assert answer.code == code
    assert text in answer.err


def test_aliases_move_and_go_back(call: Call, registered: Path) -> None:
    publish_again(registered, "1.1.0")
    moved = call("model", "alias", "house", "champion", "1.1.0", "--reason", "better", "--json").object
    assert (moved["number"], moved["version"], moved["reason"]) == (2, "1.1.0", "better")
    back = call("model", "rollback", "house")
    assert back.code == 0
    assert "house@champion stands for 1.0.0" in back.out
    history = call("model", "history", "house", "--json").object["history"]
    assert [(one["number"], one["version"], one["reason"]) for one in history] == [
        (1, "1.0.0", "registered"),
        (2, "1.1.0", "better"),
        (3, "1.0.0", "rollback"),
    ]
    assert len(call("model", "history", "house").out.splitlines()) == 5


@pytest.mark.parametrize(
    "arguments",
    [
        ("rollback", "house"),
        ("alias", "house", "champion", "9.9.9"),
        ("alias", "house", "previous", "1.0.0"),
        ("alias", "house", "../x", "1.0.0"),
    ],
)
def test_an_alias_that_cannot_move_stays(call: Call, registered: Path, arguments: tuple[str, ...]) -> None:
    assert call("model", *arguments).code == 65
    assert len(call("model", "history", "house", "--json").object["history"]) == 1


def test_discard_removes_only_what_is_unfinished(call: Call, registered: Path) -> None:
    unfinished = registered.with_name("1.1.0")
    unfinished.mkdir()
    (unfinished / "model.onnx").write_bytes(b"half")
    assert call("model", "discard", "house", "1.1.0", "--json").object["files_removed"] == 1
    assert not (unfinished / "model.onnx").exists()
    assert "nothing to remove" in call("model", "discard", "house", "1.1.0").out
    assert call("model", "discard", "house", "1.0.0").code == 65


@pytest.mark.parametrize(("name", "version"), [("house", "aliases"), ("house", "."), ("house", ""), ("..", "1.0.0")])
def test_discard_takes_names_and_versions_only(call: Call, registered: Path, name: str, version: str) -> None:
    before = sorted(registered.parents[1].rglob("*"))
    assert call("model", "discard", name, version).code == 65
    assert sorted(registered.parents[1].rglob("*")) == before


# --- verify -----------------------------------------------------------------------------------------------------------


def test_a_good_bundle_is_verified(call: Call, registered: Path) -> None:
    verified = call("model", "verify", URI, "--json")
    assert verified.code == 0
    assert verified.object["verified"] is True
    assert verified.object["files"] == 5
    assert verified.object["aliases"] == 1
    assert verified.object["signature"] == "not signed"
    assert "✗" not in call("model", "verify", URI).out


def test_logs_stay_out_of_the_result(call: Call, registered: Path) -> None:
    answer = call("model", "verify", URI, "--json", "--quiet", "--set", "log.level=debug")
    assert answer.object["verified"] is True
    assert json.loads(answer.err.splitlines()[0])["event"] == "bundle_loaded"


@pytest.mark.parametrize(
    "name", ["model.onnx", "features.py", "golden.parquet", "manifest.json", "card.md", "SHA256SUMS"]
)
def test_one_changed_byte_of_any_file_is_found(call: Call, registered: Path, name: str) -> None:
    file = registered / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    answer = call("model", "verify", URI, "--json")
    assert answer.code == 65
    assert answer.object["error"]["type"] == "BundleError"


def test_what_follows_from_the_manifest_may_be_missing(call: Call, registered: Path) -> None:
    (registered / "card.md").unlink()
    (registered / "SHA256SUMS").unlink()
    assert call("model", "verify", URI).code == 0


def test_a_missing_file_is_found(call: Call, registered: Path) -> None:
    (registered / "golden.parquet").unlink()
    answer = call("model", "verify", URI)
    assert answer.code == 65
    assert "golden.parquet" in answer.err


def reseal(folder: Path) -> None:
    """Write manifest and sums so that they agree with the files again, as who replaces a bundle would."""
    values = json.loads((folder / "manifest.json").read_bytes())
    values["files"] = {name: digest.of_bytes((folder / name).read_bytes()) for name in values["files"]}
    (folder / "manifest.json").write_bytes(manifests.Manifest(**values).to_bytes())
    (folder / "SHA256SUMS").unlink()


def test_a_bundle_that_was_replaced_whole_is_found_by_the_alias_record(call: Call, registered: Path) -> None:
    code = (registered / "features.py").read_text()
    (registered / "features.py").write_text(f"{code}\n# other code\n")
    reseal(registered)
    answer = call("model", "verify", URI)
    assert answer.code == 65
    assert "alias record 1 was written for a bundle with another digest" in answer.err


def test_a_bundle_under_another_version_is_found(call: Call, registered: Path) -> None:
    shutil.copytree(registered, registered.with_name("3.0.0"))
    answer = call("model", "verify", "models:/house/3.0.0")
    assert answer.code == 65
    assert "another bundle than its name says" in answer.err


def test_golden_rows_with_other_bits_exit_with_3(call: Call, registered: Path) -> None:
    golden = pq.read_table(registered / "golden.parquet")
    scores = golden.column("golden_score_0").to_numpy().copy()
    scores[:2] += 1
    place = golden.schema.get_field_index("golden_score_0")
    pq.write_table(golden.set_column(place, "golden_score_0", [scores]), registered / "golden.parquet")
    reseal(registered)
    shutil.rmtree(registered.parent / "aliases")
    answer = call("model", "verify", URI)
    assert answer.code == 3
    assert "✗" in answer.out
    assert "2 golden rows give other bits here" in answer.err
    as_json = call("model", "verify", URI, "--json")
    assert as_json.code == 3
    assert as_json.object["golden_different"] == 2
    assert as_json.object["verified"] is False


# --- sign -------------------------------------------------------------------------------------------------------------


def make_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a new pair of keys; return private and public."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_signature_is_made_and_checked(call: Call, registered: Path, tmp_path: Path) -> None:
    private, public = make_keys(tmp_path, "ours")
    _, foreign = make_keys(tmp_path, "theirs")
    trusting = ("--set", f'registry.trusted_keys=["{public}"]')
    assert call("model", "verify", URI, *trusting).code == 65
    # Under trusted keys an unsigned bundle resolves nowhere, and can still be signed.
    signed = call("model", "sign", URI, "--key", private, "--json", *trusting)
    assert signed.code == 0, signed.err
    assert signed.object["signature"] == str(registered / "model.sig")
    assert call("model", "verify", URI, *trusting, "--json").object["signature"] == "trusted"
    assert call("model", "verify", URI, "--set", f'registry.trusted_keys=["{foreign}"]').code == 65
    assert "not checked" in call("model", "verify", URI, "--json").object["signature"]
    assert call("model", "sign", URI, "--key", private).code == 2
    assert call("model", "sign", URI, "--key", private, "--replace").code == 0


def test_a_key_that_is_none_is_told(call: Call, registered: Path, tmp_path: Path) -> None:
    assert call("model", "sign", URI, "--key", tmp_path / "none.pem").code == 2
    (tmp_path / "bad.pem").write_text("no key")
    assert call("model", "sign", URI, "--key", tmp_path / "bad.pem").code == 65
