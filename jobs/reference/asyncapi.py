"""The AsyncAPI 3.0 document of one model's topics, with the very schemas that the messages are tested against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jobs.stream.message import contract

if TYPE_CHECKING:
    from jobs.stream.message.contract import Schema

VERSION: Final = "3.0.0"
"""Of AsyncAPI."""
_JSON: Final = "application/json"


def asyncapi(topics: dict[str, str], schemas: dict[str, Schema], info: dict[str, str]) -> dict[str, Any]:
    """Return the document.

    Args:
        topics: the names of the topics ``events``, ``predictions`` and ``dead_letters``.
        schemas: the schemas ``event``, ``prediction`` and ``dead-letter``.
        info: title, version and description.
    """
    messages = {
        "event": _message(
            "What is to be scored",
            contract.event_headers_schema(),
            schemas["event"],
            "JSON as it is, or a CloudEvent in binary mode where there are ce_ headers.",
        ),
        "prediction": _message(
            "A score and its trail",
            contract.prediction_headers_schema(),
            schemas["prediction"],
            "A CloudEvent in binary mode. The key is the event's, or the entity key where it has none.",
        ),
        "deadLetter": {
            "title": "An event without a prediction, and why",
            "description": "Key, value and headers are the event's; the headers below follow them.",
            "headers": schemas["dead-letter"],
        },
    }
    channels = {
        "events": _channel(topics["events"], "event", "Others write here."),
        "predictions": _channel(topics["predictions"], "prediction", "Read it with isolation level read_committed."),
        "deadLetters": _channel(topics["dead_letters"], "deadLetter", "Read it with isolation level read_committed."),
    }
    return {
        "asyncapi": VERSION,
        "info": info,
        "defaultContentType": _JSON,
        "channels": channels,
        "operations": {
            "score": _operation("receive", "events", "event", "Each event gets one prediction or one dead letter."),
            "publish": _operation("send", "predictions", "prediction", "In one transaction with the events' offsets."),
            "refuse": _operation("send", "deadLetters", "deadLetter", "In the same transaction."),
        },
        "components": {"messages": messages},
    }


def _message(title: str, headers: Schema, payload: Schema, description: str) -> dict[str, Any]:
    return {
        "title": title,
        "description": description,
        "contentType": _JSON,
        "headers": headers,
        "payload": payload,
    }


def _channel(address: str, message: str, description: str) -> dict[str, Any]:
    return {
        "address": address,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
    }


def _operation(action: str, channel: str, message: str, summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }
