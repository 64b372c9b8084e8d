"""The manifest: everything a bundle says of itself, in canonical JSON; and the digest of what decides a score."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from scoretrail import digest
from scoretrail.errors import BundleError, RegistryError
from scoretrail.feature.tensor import TensorSpec

if TYPE_CHECKING:
    from scoretrail.digest import Digest

SCORING_VERSION: Final = 1
"""Raised when a change of our own code may change a bit of a score, a label or a decision."""
FORMAT_VERSION: Final = 1
"""The layout of the manifest itself."""

MODEL = "model.onnx"
FEATURES = "features.py"
GOLDEN = "golden.parquet"
MANIFEST = "manifest.json"
CARD = "card.md"
SUMS = "SHA256SUMS"

EngineName = Literal["onnxruntime", "trees"]

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class _Part(BaseModel):
    # NaN and the infinities have no canonical JSON.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Output(_Part):
    """How the graph's output becomes scores."""

    task: Literal["binary", "multiclass", "regression"]
    name: str
    """The graph output that holds the scores."""
    form: Literal["matrix", "zipmap"]
    classes: tuple[str, ...] = ()
    """Class labels in the order of the score columns; empty for a regressor."""

    @property
    def width(self) -> int:
        """Number of scores per row: one per class, or one."""
        return max(len(self.classes), 1)


class Guards(_Part):
    """What a score must be before it is published."""

    minimum: float | None = None
    maximum: float | None = None
    """A score outside these bounds is wrong, and its row is rejected."""
    cap_minimum: float | None = None
    cap_maximum: float | None = None
    """A business guardrail: a score beyond is set to the cap, and the row says so."""

    @model_validator(mode="after")
    def _ordered(self) -> Guards:
        for low, high in ((self.minimum, self.maximum), (self.cap_minimum, self.cap_maximum)):
            if low is not None and high is not None and low > high:
                msg = f"minimum {low} is above maximum {high}"
                raise ValueError(msg)
        return self


class Abstention(_Part):
    """A band of scores in which a rule's value is the decision, not the model's label."""

    low: float
    """The band begins here, included."""
    high: float
    """The band ends here, excluded."""
    decision: str = Field(min_length=1)
    """What is decided inside the band."""

    @model_validator(mode="after")
    def _ordered(self) -> Abstention:
        if not self.low < self.high:
            msg = f"low {self.low} is not below high {self.high}"
            raise ValueError(msg)
        return self


class Training(_Part):
    """Where the model came from."""

    data_sha256: str | None = None
    """Digest of the training data's files."""
    rows: int | None = None
    window_start: str | None = None
    window_end: str | None = None
    parameters: dict[str, JsonValue] = {}
    seed: int | None = None
    lock_sha256: str | None = None
    code_commit: str | None = None


class Metric(_Part):
    """A figure measured on data the model did not see."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    """The confidence interval."""
    level: float = 0.95
    data: str = ""
    """On which data."""


class Profile(_Part):
    """What the bundle costs to run, measured at registration in a process of its own."""

    bundle_bytes: int
    load_s: float
    peak_memory_bytes: int
    batch_rows: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu: str


class Platform(_Part):
    """Where the golden rows got their bits."""

    machine: str
    python: str
    onnxruntime: str
    numpy: str
    pyarrow: str


class EngineProof(_Part):
    """Which engine may score the model, as registration found; the bits are the same, so no digest of scores has it."""

    name: EngineName = "onnxruntime"
    """``trees``: the tree kernel, by the plan in ``trees.arrow``."""
    reason: str = "registered before there was another engine"
    aimed_rows: int = 0
    """Rows aimed at the model's thresholds, on which the kernel was compared with ONNX Runtime."""


class Card(_Part):
    """What people must know before they use the model."""

    owner: str = Field(min_length=1)
    intended_use: str = Field(min_length=1)
    limitations: str = Field(min_length=1)
    changes: str = ""
    """What changed since the previous version."""
    licence: str = ""


class Manifest(_Part):
    """Everything a bundle says of itself."""

    format_version: int = FORMAT_VERSION
    scoring_version: int = SCORING_VERSION
    name: str
    version: str
    created_at: str
    view_name: str
    """The name in ``features.py`` under which the view is declared."""
    view: dict[str, Any]
    """The view's contract (:meth:`scoretrail.feature.view.FeatureView.contract`)."""
    tensors: tuple[TensorSpec, ...]
    output: Output
    operators: tuple[str, ...]
    threshold: float | None = None
    """A binary classifier decides for its second class from this score on."""
    guards: Guards = Guards()
    abstention: Abstention | None = None
    block: int | None
    """Rows of every call of the model; None where any size gives the same bits."""
    files: dict[str, str]
    """File name -> sha256."""
    training: Training = Training()
    metrics: tuple[Metric, ...] = ()
    engine: EngineProof = EngineProof()
    """Which engine may score the model, and why."""
    profile: Profile
    platform: Platform
    card: Card

    @model_validator(mode="after")
    def _coherent(self) -> Manifest:
        if (self.threshold is None) == (self.output.task == "binary"):
            msg = "a threshold belongs to a binary classifier, and only to it"
            raise ValueError(msg)
        return self

    def to_bytes(self) -> bytes:
        """Return the canonical JSON whose sha256 is the bundle's digest."""
        return digest.canonical_json(self.model_dump(mode="json"))

    def contract(self) -> dict[str, Any]:
        """Return what a caller relies on and only a MAJOR version may change: inputs, outputs, architecture."""
        described = {key: _without_descriptions(value) for key, value in self.view.items()}
        return {
            "view": described,
            "tensors": [tensor_json(spec) for spec in self.tensors],
            "output": self.output.model_dump(mode="json", exclude={"name", "form"}),
            "operators": list(self.operators),
        }

    @property  # not cached: `model_copy` would carry the old digest into a changed manifest
    def score_digest(self) -> Digest:
        """The digest of what decides score, label and decision; a PATCH version leaves it as it is."""
        return digest.of_json(
            {
                "scoring_version": self.scoring_version,
                "model": self.files[MODEL],
                "features": self.files[FEATURES],
                "view_name": self.view_name,
                "contract": self.contract(),
                "output": self.output.model_dump(mode="json"),
                "threshold": self.threshold,
                "guards": self.guards.model_dump(mode="json"),
                "abstention": self.abstention.model_dump(mode="json") if self.abstention else None,
                "block": self.block,
            }
        )


class _Format(BaseModel):
    """What every manifest has had and will have, read first."""

    format_version: int


def parse(data: bytes) -> Manifest:
    """Return the manifest that bytes hold.

    Raises:
        BundleError: they are no manifest, or one of a format this version does not know.
    """
    try:
        _refuse_other("format", _Format.model_validate_json(data).format_version, FORMAT_VERSION)
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise BundleError(
            "the manifest cannot be read",
            where=".".join(str(part) for part in first["loc"]) or MANIFEST,
            got=str(first["msg"]),
        ) from error


def check_scoring_version(manifest: Manifest) -> None:
    """Refuse to score with code that may give other bits than the code the bundle was proven with.

    Raises:
        BundleError: the versions differ.
    """
    _refuse_other("scoring", manifest.scoring_version, SCORING_VERSION)


def _refuse_other(kind: str, got: int, known: int) -> None:
    if got != known:
        raise BundleError(
            "the bundle was made for another version of Scoretrail",
            expected=f"{kind} {known}",
            got=f"{kind} {got}",
            fix="score it with the version it was registered with, or register it again",
        )


def parse_version(text: str) -> tuple[int, int, int]:
    """Return a version's three numbers.

    >>> parse_version("1.20.3")
    (1, 20, 3)

    Raises:
        RegistryError: it is not MAJOR.MINOR.PATCH.
    """
    found = _VERSION.fullmatch(text)
    if not found:
        raise RegistryError(f"{text!r} is no version", expected="MAJOR.MINOR.PATCH, such as 1.2.0")
    major, minor, patch = map(int, found.groups())
    return major, minor, patch


def check_name(text: str) -> str:
    """Return a model's or an alias's name as it was given.

    Raises:
        RegistryError: it would not do as a folder's name.
    """
    if not _NAME.fullmatch(text):
        raise RegistryError(f"{text!r} is no name", expected="lower-case letters, digits, - and _, up to 64")
    return text


def tensor_json(spec: TensorSpec) -> dict[str, Any]:
    """Return a tensor's specification as JSON values."""
    return {"name": spec.name, "dtype": spec.dtype, "columns": list(spec.columns), "rank": spec.rank}


def _without_descriptions(value: Any) -> Any:  # noqa: ANN401  (JSON of any shape)
    if isinstance(value, list):
        return [_without_descriptions(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_descriptions(item) for key, item in value.items() if key != "description"}
    return value
