"""Why an event gets no prediction: the reasons, and a refusal, which never holds a value of the event."""

from __future__ import annotations

import enum
from typing import Final

import msgspec


class Reason(enum.StrEnum):
    """Why an event is refused before or after its fields are judged.

    The judgement of fields adds the codes of :class:`~scoretrail.feature.schema.FaultCode`, the same as in batch.
    """

    NO_VALUE = "no_value"
    TOO_LARGE = "value_too_large"
    TOO_MANY_HEADERS = "too_many_headers"
    CONTENT_ENCODING = "content_encoding_unsupported"
    CONTENT_TYPE = "content_type_unsupported"
    STRUCTURED = "structured_mode_unsupported"
    CLOUDEVENTS_VERSION = "cloudevents_version"
    CLOUDEVENTS_INCOMPLETE = "cloudevents_incomplete"
    MODEL_VERSION = "model_version_not_allowed"
    NOT_JSON = "not_json"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    FROM_FUTURE = "event_from_future"
    STORE_UNAVAILABLE = "store_unavailable"
    FEATURE_FAILED = "feature_failed"
    SCORE_FAILED = "score_failed"
    MESSAGE_TOO_LARGE = "message_too_large"
    UNEXPECTED = "unexpected"


MEANING: Final[dict[Reason, str]] = {
    Reason.NO_VALUE: "the record has no value (a tombstone); null and the empty value are the same",
    Reason.TOO_LARGE: "the value is larger than the limit; it is judged before anything is decoded",
    Reason.TOO_MANY_HEADERS: "the record has more headers than the limit",
    Reason.CONTENT_ENCODING: "the header `content-encoding` names an encoding, such as gzip; compress in the producer",
    Reason.CONTENT_TYPE: "the header `content-type` names something other than `application/json` in UTF-8",
    Reason.STRUCTURED: "the value is a CloudEvent in structured or batched mode; send binary mode",
    Reason.CLOUDEVENTS_VERSION: "the header `ce_specversion` is not 1.0",
    Reason.CLOUDEVENTS_INCOMPLETE: "there are `ce_` headers, and one that every CloudEvent has is missing or not UTF-8",
    Reason.MODEL_VERSION: "the header `scoretrail_model_version` pins a version that is not allowed here",
    Reason.NOT_JSON: "the value is not JSON in UTF-8; NaN and Infinity are no JSON",
    Reason.MISSING_FIELD: "a field that may not be missing is",
    Reason.WRONG_TYPE: "a field has another JSON type or does not fit its own; an integer is fine for a float",
    Reason.FROM_FUTURE: "the event time is later than the record's timestamp by more than is allowed",
    Reason.STORE_UNAVAILABLE: "the online store did not answer in time, and the policy is `dead_letter`",
    Reason.FEATURE_FAILED: "a derived feature's function failed on this event",
    Reason.SCORE_FAILED: "the model failed on this event",
    Reason.MESSAGE_TOO_LARGE: "the prediction, in which texts of the event are, would be larger than its topic takes",
    Reason.UNEXPECTED: "the event alone makes the worker's code fail, in a way that has no name of its own",
}
"""What each reason means, for the page of topics."""


CONVERSION: Final[frozenset[str]] = frozenset(
    {
        Reason.NO_VALUE,
        Reason.TOO_LARGE,
        Reason.TOO_MANY_HEADERS,
        Reason.CONTENT_ENCODING,
        Reason.CONTENT_TYPE,
        Reason.STRUCTURED,
        Reason.CLOUDEVENTS_VERSION,
        Reason.CLOUDEVENTS_INCOMPLETE,
        Reason.NOT_JSON,
        Reason.MISSING_FIELD,
        Reason.WRONG_TYPE,
    }
)
"""Reasons for which an event does not even become a row: whoever sends it has to change it."""


class Refusal(msgspec.Struct, frozen=True):
    """Why one event gets no prediction; names and types of the contract only, never what the event holds."""

    reason: str
    """A :class:`Reason` or a :class:`~scoretrail.feature.schema.FaultCode`."""
    detail: str = ""
    """What was expected, and of which type it was instead."""
    field: str = ""
    """The field or the header; empty where it is the event as a whole."""
    reasons: str = ""
    """Every rule that refused it, as ``code:field`` separated by commas; empty where there is but the one."""
