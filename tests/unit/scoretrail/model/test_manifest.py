from __future__ import annotations

import json
import math
from typing import Any

import pytest
from pydantic import ValidationError

from scoretrail import digest
from scoretrail.errors import BundleError, RegistryError
from scoretrail.feature.tensor import TensorSpec
from scoretrail.model import manifest as manifests
from scoretrail.model.manifest import (
    FEATURES,
    GOLDEN,
    MODEL,
    Abstention,
    Card,
    EngineProof,
    Guards,
    Manifest,
    Metric,
    Output,
    Platform,
    Training,
    check_name,
    parse_version,
)
from tests.factory.bare import CARD, PROFILE, bare_manifest

BARE = bare_manifest()


def with_file(name: str) -> dict[str, str]:
    return {**BARE.files, name: digest.of_bytes(b"other bytes")}


def with_view(**changes: Any) -> dict[str, Any]:
    return {**BARE.view, **changes}


def with_first_request(**changes: Any) -> dict[str, Any]:
    return with_view(request=[{**BARE.view["request"][0], **changes}, *BARE.view["request"][1:]])


# --- The score digest -------------------------------------------------------------------------------------------------

DECIDING: list[tuple[str, Any]] = [
    ("scoring_version", 2),
    ("view_name", "other"),
    ("view", with_first_request(maximum=999)),
    ("tensors", (TensorSpec("other", "float32", ("weight_kg",)),)),
    ("output", Output(task="binary", name="other", form="matrix", classes=("0", "1"))),
    ("output", Output(task="binary", name="probabilities", form="zipmap", classes=("0", "1"))),
    ("output", Output(task="binary", name="probabilities", form="matrix", classes=("1", "0"))),
    ("operators", ("ai.onnx:MatMul",)),
    ("threshold", 0.6),
    ("guards", Guards(minimum=0)),
    ("guards", Guards(maximum=1)),
    ("guards", Guards(cap_minimum=0)),
    ("guards", Guards(cap_maximum=1)),
    ("abstention", Abstention(low=0.4, high=0.6, decision="ask")),
    ("block", None),
    ("block", 128),
    ("files", with_file(MODEL)),
    ("files", with_file(FEATURES)),
]

PACKAGING: list[tuple[str, Any]] = [
    ("engine", EngineProof(name="trees", reason="the same bits", aimed_rows=1_000_000)),
    ("name", "other"),
    ("version", "1.0.1"),
    ("created_at", "2014-01-01T00:00:00.000000Z"),
    ("files", with_file(GOLDEN)),
    ("training", Training(seed=2)),
    ("metrics", ()),
    ("profile", PROFILE.model_copy(update={"cpu": "another"})),
    ("platform", Platform(machine="aarch64", python="3.13", onnxruntime="2", numpy="3", pyarrow="27")),
    ("card", CARD.model_copy(update={"limitations": "more of them"})),
    ("view", with_first_request(description="another")),
]


@pytest.mark.parametrize(("name", "value"), DECIDING, ids=[f"{name}-{i}" for i, (name, _) in enumerate(DECIDING)])
def test_what_decides_a_score_changes_the_score_digest(name: str, value: Any) -> None:
    assert BARE.model_copy(update={name: value}).score_digest != BARE.score_digest


@pytest.mark.parametrize(("name", "value"), PACKAGING, ids=[f"{name}-{i}" for i, (name, _) in enumerate(PACKAGING)])
def test_what_a_patch_may_change_leaves_the_score_digest_but_changes_the_bundle(name: str, value: Any) -> None:
    changed = BARE.model_copy(update={name: value})

    assert changed.score_digest == BARE.score_digest
    assert changed.contract() == BARE.contract()
    assert digest.of_bytes(changed.to_bytes()) != digest.of_bytes(BARE.to_bytes())


def test_every_field_is_known_to_decide_or_not_to() -> None:
    """A new field must be put in one of the two lists; the format is neither, since only one of it can be read."""
    listed = {name for name, _ in DECIDING + PACKAGING}

    assert listed == set(Manifest.model_fields) - {"format_version"}


# --- The contract -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("view", with_first_request(nullable=True)),
        ("view", with_first_request(type="double")),
        ("view", with_first_request(minimum=1)),
        ("view", with_view(inputs=["weight_kg"])),
        ("view", with_view(entity_key={"name": "id", "type": "string"})),
        ("tensors", (TensorSpec("other", "float32", ("weight_kg",)),)),
        ("output", Output(task="binary", name="probabilities", form="matrix", classes=("a", "b"))),
        ("operators", ("ai.onnx:MatMul",)),
    ],
)
def test_inputs_outputs_and_architecture_are_the_contract(name: str, value: Any) -> None:
    assert BARE.model_copy(update={name: value}).contract() != BARE.contract()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", 0.6),
        ("guards", Guards(minimum=0)),
        ("block", None),
        ("files", with_file(MODEL)),
        ("view", with_first_request(description="another")),
        ("output", Output(task="binary", name="other", form="zipmap", classes=("0", "1"))),
    ],
)
def test_a_model_trained_again_keeps_the_contract(name: str, value: Any) -> None:
    assert BARE.model_copy(update={name: value}).contract() == BARE.contract()


# --- Reading and writing ----------------------------------------------------------------------------------------------


def test_a_manifest_reads_back_to_the_same_bytes() -> None:
    full = bare_manifest(
        guards=Guards(minimum=0, maximum=1, cap_minimum=0.01, cap_maximum=0.99),
        abstention=Abstention(low=0.4, high=0.6, decision="ask"),
        training=Training(parameters={"C": 0.1, "penalty": None, "steps": ["scale", 1]}, data_sha256="ab"),
        metrics=(Metric(name="auc", value=1 / 3),),
    )

    again = manifests.parse(full.to_bytes())

    assert again == full
    assert again.to_bytes() == full.to_bytes() == digest.canonical_json(json.loads(full.to_bytes()))
    assert again.score_digest == full.score_digest


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"", "manifest.json"),
        (b"not JSON", "manifest.json"),
        (b"[]", "manifest.json"),
        (b"{}", "format_version"),
        (b'{"format_version": 1}', "name"),
        (BARE.to_bytes()[:-1], "manifest.json"),
        (BARE.to_bytes().replace(b'"threshold":0.5', b'"threshold":"high"'), "threshold"),
        (BARE.to_bytes().replace(b'"threshold":0.5', b'"treshold":0.5'), "treshold"),
        (BARE.to_bytes().replace(b'"task":"binary"', b'"task":"ranking"'), "output.task"),
        (BARE.to_bytes().replace(b'"owner":"parcel team"', b'"owner":""'), "card.owner"),
    ],
)
def test_what_is_no_manifest_is_refused_with_the_place(data: bytes, where: str) -> None:
    with pytest.raises(BundleError, match="the manifest cannot be read") as caught:
        manifests.parse(data)
    assert caught.value.where == where


def test_a_manifest_of_another_format_is_refused_as_such_whatever_else_it_holds() -> None:
    with pytest.raises(BundleError, match="made for another version of Scoretrail") as caught:
        manifests.parse(b'{"format_version": 2, "something": "new"}')
    assert (caught.value.expected, caught.value.got) == ("format 1", "format 2")


def test_a_manifest_of_another_scoring_version_can_be_read_but_not_scored_with() -> None:
    """Read, so that the next version of the model can be registered beside it."""
    other = manifests.parse(bare_manifest(scoring_version=0).to_bytes())

    with pytest.raises(BundleError, match="made for another version of Scoretrail") as caught:
        manifests.check_scoring_version(other)
    assert (caught.value.expected, caught.value.got) == ("scoring 1", "scoring 0")
    manifests.check_scoring_version(BARE)


# --- What contradicts itself ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: Guards(minimum=1, maximum=0),
        lambda: Guards(cap_minimum=1, cap_maximum=0),
        lambda: Guards(minimum=math.nan),
        lambda: Guards(maximum=math.inf),
        lambda: Abstention(low=0.5, high=0.5, decision="ask"),
        lambda: Abstention(low=0.4, high=0.6, decision=""),
        lambda: Card(owner="", intended_use="u", limitations="l"),
        lambda: Card(owner="o", intended_use="", limitations="l"),
        lambda: Metric(name="auc", value=math.nan),
        lambda: Training(parameters={"C": math.nan}),
        lambda: Training(parameters={"C": object()}),  # type: ignore[dict-item]
        lambda: bare_manifest(threshold=None),
        lambda: bare_manifest(threshold=math.nan),
        lambda: bare_manifest(output=Output(task="regression", name="v", form="matrix")),
        lambda: bare_manifest(unknown=1),
    ],
)
def test_what_contradicts_itself_is_refused(make: Any) -> None:
    with pytest.raises(ValidationError):
        make()


def test_equal_edges_are_a_range() -> None:
    assert Guards(minimum=1, maximum=1).minimum == 1


def test_a_row_has_a_score_per_class_or_one() -> None:
    assert Output(task="regression", name="v", form="matrix").width == 1
    assert BARE.output.width == 2


# --- Names ------------------------------------------------------------------------------------------------------------


def test_versions_are_three_numbers_and_sort_as_such() -> None:
    assert sorted(["1.10.0", "1.9.0", "1.2.11", "1.2.2"], key=parse_version) == ["1.2.2", "1.2.11", "1.9.0", "1.10.0"]


@pytest.mark.parametrize(
    "text", ["1", "1.2", "1.2.3.4", "v1.2.3", "1.02.3", "-1.2.3", "1.2.3 ", "1.2.x", "", "1.2.3\n"]
)
def test_any_other_version_is_refused(text: str) -> None:
    with pytest.raises(RegistryError, match="is no version"):
        parse_version(text)


@pytest.mark.parametrize("text", ["flight-delay", "a", "0", "a_b-1", "x" * 64])
def test_a_name_may_be_a_folder(text: str) -> None:
    assert check_name(text) == text


@pytest.mark.parametrize("text", ["", "Flight", "-a", "_a", "a/b", "..", "a b", "a.b", "x" * 65, "ä", "a\n"])
def test_any_other_name_is_refused(text: str) -> None:
    with pytest.raises(RegistryError, match="is no name"):
        check_name(text)
