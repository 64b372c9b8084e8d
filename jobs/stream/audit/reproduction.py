"""A published prediction made again from nothing but itself and its bundle, and every bit compared."""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from scoretrail import digest
from scoretrail.errors import TrailError
from scoretrail.feature.packed import Layout
from scoretrail.feature.schema import TIMESTAMP
from scoretrail.scoring import score_features

if TYPE_CHECKING:
    from scoretrail.model.bundle import Bundle
    from scoretrail.scoring import Scored


class _Trail(msgspec.Struct):
    features_sha256: str
    score_digest: str


class _Prediction(msgspec.Struct):
    """What of a prediction is compared; the rest of it is ignored."""

    entity_key: str | int
    score: float
    label: str | None
    decision: str | None
    guard: str | None
    inputs: str
    inputs_schema: str
    trail: _Trail
    class_scores: dict[str, float] = {}


_DECODER = msgspec.json.Decoder(_Prediction)


@dataclass(frozen=True)
class Difference:
    """One thing that a prediction says and that is not so when it is made again; never a feature's value."""

    what: str
    recorded: str
    reproduced: str


def reproduce_prediction(value: bytes, bundle: Bundle) -> list[Difference]:
    """Return where a prediction differs from what its recorded inputs score with its bundle; empty if nowhere.

    Args:
        value: the value of a prediction's message.
        bundle: the one that made it, or one with the same score digest: a PATCH.

    Raises:
        TrailError: it is no prediction of ours, or another model's.
        PackedError: the inputs are damaged, and whoever did it made their hash right.
        ScoreError: the model failed.
    """
    recorded = _decoded(value)
    layout = Layout(bundle.view.input_fields)
    _refuse_other("score digest", recorded.trail.score_digest, bundle.manifest.score_digest)
    _refuse_other("schema of inputs", recorded.inputs_schema, layout.schema_hash)
    try:
        row = binascii.a2b_base64(recorded.inputs, strict_mode=True)
    except ValueError as error:  # binascii.Error is one, and so is text that is not ASCII
        raise TrailError("the inputs of the prediction are not base64") from error
    features_sha256 = digest.of_bytes(row)
    if features_sha256 != recorded.trail.features_sha256:
        return [Difference("features_sha256", recorded.trail.features_sha256, features_sha256)]
    # Key and time are only passed on.
    key, at = pa.array([recorded.entity_key]), pa.array([0], TIMESTAMP)
    scored, rejected = score_features(bundle, layout.unpack([row]), key, at)
    if len(rejected.rows):
        return [Difference("score", _bits(recorded.score), rejected.reason[0].as_py())]
    told, made = _told(recorded), _made(scored, bundle)
    return [
        Difference(what, told.get(what, "nothing"), made.get(what, "nothing"))
        for what in dict.fromkeys([*told, *made])
        if told.get(what) != made.get(what)
    ]


def _decoded(value: bytes) -> _Prediction:
    """Return what is compared of a prediction.

    Raises:
        TrailError: it is none.
    """
    try:
        return _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TrailError("the message is no prediction of ours", expected="a message of their topic") from error


def _refuse_other(what: str, recorded: str, given: str) -> None:
    """Refuse to compare what cannot be equal.

    Raises:
        TrailError: the two differ.
    """
    if recorded != given:
        raise TrailError(
            f"the prediction has another {what} than the bundle",
            expected=recorded,
            got=given,
            fix="give the bundle that the trail names",
        )


def _told(recorded: _Prediction) -> dict[str, str]:
    return {
        "score": _bits(recorded.score),
        **{f"class_scores.{label}": _bits(score) for label, score in recorded.class_scores.items()},
        "label": str(recorded.label),
        "decision": str(recorded.decision),
        "guard": str(recorded.guard),
    }


def _made(scored: Scored, bundle: Bundle) -> dict[str, str]:
    classes = bundle.manifest.output.classes if scored.class_scores else ()
    return {
        "score": _bits(scored.score[0].as_py()),
        **{
            f"class_scores.{label}": _bits(column[0].as_py())
            for label, column in zip(classes, scored.class_scores, strict=True)
        },
        "label": str(scored.label[0].as_py()),
        "decision": str(scored.decision[0].as_py()),
        "guard": str(scored.guard[0].as_py()),
    }


def _bits(score: float) -> str:
    """Return a float with its bits, so that -0 and 0 differ."""
    return f"{score!r} ({struct.pack('>d', score).hex()})"
