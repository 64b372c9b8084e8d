"""JSON Schemas of what is on the topics: events by their view, predictions by the model's output, dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

import pyarrow as pa

from jobs.stream.message.deadletter import CONNECT, TRAIL, TRUNCATED
from jobs.stream.message.envelope import CONTENT_TYPE, MODEL_VERSION, SUBJECT, TRACEPARENT
from jobs.stream.message.event import FIRST_US, LAST_US, may_be_missing
from jobs.stream.message.identity import ID_DIGITS
from jobs.stream.message.prediction import EVENT_TYPE, SUPERSEDES
from jobs.stream.message.provenance import SHORT_TRAIL
from jobs.stream.message.refusal import Reason
from scoretrail.feature.schema import FaultCode
from scoretrail.feature.stored import Outcome
from scoretrail.model.manifest import EngineName

if TYPE_CHECKING:
    from scoretrail.feature.schema import Field
    from scoretrail.feature.view import FeatureView
    from scoretrail.model.manifest import Output

Schema = dict[str, Any]

DIALECT: Final = "http://json-schema.org/draft-07/schema#"
"""What AsyncAPI 3.0 reads without being told."""
_SHA256: Final = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_INSTANT: Final = {"type": "string", "format": "date-time", "pattern": "Z$"}
_TEXT: Final = {"type": "string"}
_DIGITS: Final = {"type": "string", "pattern": "^[0-9]+$"}
_ID: Final = {"type": "string", "pattern": f"^[0-9a-f]{{{ID_DIGITS}}}$"}
_SUPERSEDED: Final = {**_ID, "description": "ce_id of the prediction whose place this one takes; only late enrichment."}
_SHORT: Final = "outcome=N;role=ROLE;model=NAME/VERSION;bundle=DIGITS"
_COUNT: Final = {"type": "integer", "minimum": 0}
_JSON_TYPES: Final = {pa.bool_(): "boolean", pa.string(): "string", pa.large_string(): "string"}


def event_schema(view: FeatureView) -> Schema:
    """Return what an event of a view is; what it allows may still be refused, such as an event from the future."""
    key, _, *request = view.request_fields
    return _document(
        f"Event for {view.name}",
        "Further fields are ignored. A field that is not required may be missing or null.",
        {
            key.name: {**_field_schema(key), "description": "Entity key."},
            view.event_time: _event_time(),
            **{field.name: _field_schema(field) for field in request},
        },
        [key.name, view.event_time, *(field.name for field in request if not may_be_missing(field))],
    )


def _field_schema(field: Field) -> Schema:
    found: Schema = _type_schema(field.type)
    if not field.clip:
        # A number outside the range is refused; with `clip` it moves to the edge.
        found |= {"minimum": field.minimum} if field.minimum is not None else {}
        found |= {"maximum": field.maximum} if field.maximum is not None else {}
    notes = [field.description.rstrip(".") + "."] if field.description else []
    if field.categories is not None and field.other is None:
        if field.normalise:
            notes.append(f"One of {', '.join(field.categories)}, after {' and '.join(field.normalise)}.")
        else:
            found["enum"] = list(field.categories)
    if field.default is not None:
        found["default"] = field.default
    if may_be_missing(field):
        found["type"] = [found["type"], "null"]
        found |= {"enum": [*found["enum"], None]} if "enum" in found else {}
    return {**found, **({"description": " ".join(notes)} if notes else {})}


def _type_schema(type_: pa.DataType) -> Schema:
    if pa.types.is_timestamp(type_):
        return _event_time()
    if pa.types.is_date(type_):
        return {"type": "string", "format": "date"}
    if pa.types.is_floating(type_):
        return {"type": "number"}
    if pa.types.is_integer(type_):
        bits = type_.bit_width
        signed = pa.types.is_signed_integer(type_)
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
        return {"type": "integer", "minimum": low, "maximum": high}
    return {"type": _JSON_TYPES[type_]}


def _event_time() -> Schema:
    return {
        "anyOf": [
            {"type": "string", "format": "date-time"},
            {"type": "integer", "minimum": FIRST_US, "maximum": LAST_US},
        ],
        "description": "RFC 3339 with an offset, rounded to the microsecond; or microseconds since 1970.",
    }


def prediction_schema(view: FeatureView, output: Output) -> Schema:
    """Return what the value of a prediction is."""
    classes = list(output.classes)
    is_text = pa.types.is_string(view.entity_key_type)
    properties: Schema = {
        "entity_key": {"type": "string" if is_text else "integer", "description": "Of the event."},
        "event_time": {**_INSTANT, "description": "Of the event, UTC."},
        "score": {"type": "number", "description": _score_meaning(output)},
        "label": {"type": ["string", "null"], "enum": [*classes, None], "description": "The class the model chose."},
        "decision": {"type": ["string", "null"], "description": "The label, or the abstention rule's value."},
        "guard": {"type": ["string", "null"], "description": "The guard that changed the score, if one did."},
        "stored": {
            **_object({one.name: _stored_schema() for one in view.stored}),
            "description": "What became of each stored set.",
        },
        "store_unavailable": {
            "type": "boolean",
            "description": "Whether stored features are defaults because the online store did not answer.",
        },
        "inputs": {
            "type": "string",
            "contentEncoding": "base64",
            "description": "What the model was given, packed.",
        },
        "inputs_schema": {**_SHA256, "description": "Names and types of the inputs."},
        "scored_at": {**_INSTANT, "description": "When the prediction was made, UTC."},
        "trail": {
            **_object({**_trail_properties(), "features_sha256": {**_SHA256, "description": "Of the packed inputs."}}),
            "description": "What made the score, and of what; below.",
        },
    }
    if output.task == "multiclass":
        scores = _object({label: {"type": "number"} for label in classes})
        properties["class_scores"] = {**scores, "description": "Of each class, before caps."}
    return _document(f"Prediction for {view.name}", "Canonical JSON.", properties, list(properties))


def _score_meaning(output: Output) -> str:
    if output.task == "binary":
        return f"Score of class {output.classes[1]}, after caps; reads back to the same float64."
    which = "Highest class score" if output.task == "multiclass" else "Predicted value"
    return f"{which}, after caps; reads back to the same float64."


def _stored_schema() -> Schema:
    return _object(
        {
            "age_s": {
                "type": ["integer", "null"],
                "description": "Event time minus the value's; null without a value.",
            },
            "outcome": {"type": "string", "enum": [one for one in Outcome if one is not Outcome.REJECT]},
        }
    )


def _trail_properties() -> Schema:
    return {
        "bundle_sha256": {**_SHA256, "description": "Of the manifest, which hashes everything in the bundle."},
        "engine": {"type": "string", "enum": list(get_args(EngineName)), "description": "What scored."},
        "event_sha256": {**_SHA256, "description": "Of the event's raw value; of no bytes where it has none."},
        "model": {**_TEXT, "description": "Name of the model in the registry."},
        "model_sha256": {**_SHA256, "description": "Of model.onnx."},
        "onnxruntime": {**_TEXT, "description": "Version of ONNX Runtime."},
        "outcome": {**_COUNT, "description": "0 for the event's first; a redrive counts up."},
        "repeats_bits": {"type": "boolean", "description": "Whether the golden rows gave their recorded bits here."},
        "role": {**_TEXT, "description": "What the model was run as: champion, challenger or another alias."},
        "score_digest": {**_SHA256, "description": "Of what decides score, label and decision."},
        "scoring_version": {**_COUNT, "description": "Raised when code of Scoretrail's may change a bit of a score."},
        "source": {
            **_object({"cluster": _TEXT, "offset": _COUNT, "partition": _COUNT, "topic": _TEXT}),
            "description": "Where the event lies: cluster, topic, partition and offset.",
        },
        "version": {**_TEXT, "description": "Of the bundle."},
    }


def event_headers_schema() -> Schema:
    """Return which headers of an event are read; all are optional, others are ignored."""
    told = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": _TEXT,
        "ce_source": _TEXT,
        "ce_type": _TEXT,
        SUBJECT: {**_TEXT, "description": "Passed on to the prediction."},
        CONTENT_TYPE: {"type": "string", "description": "application/json, if it is there."},
        TRACEPARENT: {**_TEXT, "description": "W3C Trace Context; passed on to the prediction where it is valid."},
        MODEL_VERSION: {**_TEXT, "description": "Asks for one version of the model, of those that are allowed."},
    }
    return {
        "type": "object",
        "properties": told,
        "dependencies": {"ce_specversion": ["ce_id", "ce_source", "ce_type"]},
    }


def prediction_headers_schema() -> Schema:
    """Return the headers of a prediction."""
    always = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_type": {"type": "string", "const": EVENT_TYPE},
        "ce_source": {"type": "string", "format": "uri-reference"},
        "ce_id": _ID,
        "ce_time": _INSTANT,
        CONTENT_TYPE: {"type": "string", "const": "application/json"},
        SHORT_TRAIL: {**_TEXT, "description": _SHORT},
    }
    return {
        "type": "object",
        "properties": {**always, SUPERSEDES: _SUPERSEDED, SUBJECT: _TEXT, TRACEPARENT: _TEXT},
        "required": list(always),
        "additionalProperties": False,
    }


def dead_letter_schema() -> Schema:
    """Return the headers that a dead letter has after those of the event; ``definitions/trail`` is the long one."""
    headers = {
        f"{CONNECT}topic": {**_TEXT, "description": "Where the event lies."},
        f"{CONNECT}partition": {**_DIGITS, "description": "The same."},
        f"{CONNECT}offset": {**_DIGITS, "description": "The same."},
        f"{CONNECT}connector.name": {**_TEXT, "description": "The app."},
        f"{CONNECT}stage": {
            "type": "string",
            "enum": ["VALUE_CONVERTER", "TRANSFORMATION"],
            "description": "Whether the event could not be read, or not be scored.",
        },
        f"{CONNECT}exception.class.name": {**_TEXT, "description": "scoretrail. and the reason."},
        f"{CONNECT}exception.message": {**_TEXT, "description": "Reason, field, and what was expected."},
        SHORT_TRAIL: {**_TEXT, "description": _SHORT},
        TRAIL: {"type": "string", "contentMediaType": "application/json", "description": "JSON: reason and trail."},
    }
    truncated = {
        "type": "string",
        "enum": ["value", "headers", "value,headers", "value,headers,key"],
        "description": "What was left out, if anything.",
    }
    told = {
        **_trail_properties(),
        "expected": {**_TEXT, "description": "What the rule allows."},
        "field": {**_TEXT, "description": "The field or header; empty where it is the event as a whole."},
        "id": {**_ID, "description": "What the prediction's ce_id would be."},
        "reason": {"type": "string", "enum": [*Reason, *FaultCode], "description": "The first rule that it breaks."},
        "reasons": {**_TEXT, "description": "Every rule that refused it, as code:field, separated by commas."},
    }
    document = _document(
        "Headers of a dead letter",
        "Key, value and headers are the event's, bytes untouched; these headers follow them.",
        {**headers, TRUNCATED: truncated},
        list(headers),
    )
    return {**document, "definitions": {"trail": _object(told)}}


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _document(title: str, description: str, properties: Schema, required: list[str]) -> Schema:
    return {
        "$schema": DIALECT,
        "title": title,
        "description": description,
        "type": "object",
        "properties": properties,
        "required": required,
    }
