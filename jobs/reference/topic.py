"""The page of topics, and the contract of each model's: JSON Schemas and an AsyncAPI document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import BaseModel, ConfigDict

from jobs.reference import contract as tables
from jobs.reference.asyncapi import asyncapi
from jobs.reference.column import REASONS, manifest_of
from jobs.reference.page import COMMAND, page, table
from jobs.stream.message import contract
from jobs.stream.message.envelope import EventPolicy
from jobs.stream.message.refusal import MEANING, Reason
from scoretrail.feature.schema import FaultCode
from scoretrail.feature.source import load_view

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobs.stream.message.contract import Schema

SOURCE: Final = "contracts/topics.yaml and jobs/stream/message/contract.py"
_VERSION: Final = "1.0.0"
"""Of the contracts: what would break the other side gets topics of its own instead of a higher number."""


class TopicSource(BaseModel):
    """An entry of ``contracts/topics.yaml``: one model's three topics."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: str
    """That of the entry of ``contracts/tables.yaml`` that names view, task and classes."""
    events: str
    predictions: str
    dead_letters: str
    purpose: str


def sources(root: Path) -> list[TopicSource]:
    """Return the entries of ``contracts/topics.yaml`` below the repository's root."""
    entries = yaml.safe_load((root / "contracts" / "topics.yaml").read_text(encoding="utf-8"))
    return [TopicSource.model_validate(entry) for entry in entries]


def schemas(source: TopicSource, root: Path) -> dict[str, Schema]:
    """Return the schemas ``event``, ``prediction`` and ``dead-letter`` of an entry."""
    (entry,) = [one for one in tables.sources(root) if one.id == source.id]
    view = load_view((root / entry.features).read_bytes(), entry.view)
    output = manifest_of(view, entry.task, entry.classes).output
    found = {
        "event": contract.event_schema(view),
        "prediction": contract.prediction_schema(view, output),
        "dead-letter": contract.dead_letter_schema(),
    }
    return {name: _plain(schema) for name, schema in found.items()}


def document(source: TopicSource, root: Path) -> dict[str, Any]:
    """Return the AsyncAPI document of an entry."""
    topics = {"events": source.events, "predictions": source.predictions, "dead_letters": source.dead_letters}
    info = {"title": f"Scores of {source.id}", "version": _VERSION, "description": source.purpose}
    found: dict[str, Any] = _plain(asyncapi(topics, schemas(source, root), info))
    return found


def files(root: Path) -> Iterator[tuple[str, str]]:
    """Yield path and text of every generated contract of a topic."""
    for source in sources(root):
        yield f"contracts/{source.id}.asyncapi.yaml", tables.to_yaml(document(source, root), SOURCE)
        for name, schema in schemas(source, root).items():
            told = {"$comment": f"Generated from {SOURCE} by `{COMMAND}`: change that, not this file.", **schema}
            yield f"contracts/{source.id}.{name}.schema.json", json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def _plain(document: Any) -> Any:  # noqa: ANN401  (JSON of any shape)
    """Return a document without shared parts, which YAML would write as references, and without enumerations."""
    return json.loads(json.dumps(document))


_EVENTS: Final = """
An event is one JSON object in UTF-8: the view's request columns. A field that is nullable or has a default may be
null or missing; unknown fields are ignored; of a field that is there twice the last one counts. Types are held to: an
integer does for a float, a float does not for an integer, a text for neither. The event time is an RFC 3339 text with
an offset, rounded to the microsecond, or an integer: microseconds since 1970. A null key does; a null or empty value
does not.

Without `ce_` headers it is bare JSON. With them it is a CloudEvent 1.0 in binary mode, and `ce_specversion`, `ce_id`,
`ce_source` and `ce_type` have to be there. Of a header that is there twice the last one counts.
"""
_PREDICTIONS: Final = """
The value is canonical JSON: keys sorted, no spaces. Floats are the shortest texts that read back to the same bits. The
key is the event's, or the entity key where the event has none. It is a CloudEvent in binary mode with at most ten
headers. `ce_id` follows from cluster, topic, partition, offset, role and outcome, so a reader that saw it twice would
know. `traceparent` and `ce_subject` come from the event. The header `scoretrail-trail` has the trail's main parts in
one line, for whoever sorts messages without reading them.

`inputs` is what the model was given, packed: with the bundle it is enough to make the score again, bit for bit.
`event_sha256` is of the event's raw value; of no bytes where it has none. `store_unavailable` says that stored
features are defaults because the online store did not answer. Where late enrichment is on, one further prediction of
the event may follow, with outcome 1; its header `ce_supersedes` is the `ce_id` of the one whose place it takes.
"""
_DEAD_LETTERS: Final = """
Key, value and headers are the event's, bytes untouched. Headers follow them: those that tools for Kafka Connect's dead
letters read, `scoretrail-trail`, and `scoretrail-dead-letter`, which is JSON with the reason, the whole trail and the
same id that a prediction would have. What the event holds is never in them. The same event, refusal and bundle give the
same bytes.

Where the topic takes no message of that size, parts are left out until the rest fits, and `scoretrail-truncated` names
them. A value that was left out becomes JSON with sha256, size and source position of value, key and headers; a key
becomes its sha256.
"""


def topics_page(root: Path) -> str:
    """Return the page.

    Args:
        root: the repository.
    """
    entries = sources(root)
    policy = EventPolicy()
    links = [
        (
            f"`{one.id}`",
            *(f"`{name}`" for name in (one.events, one.predictions, one.dead_letters)),
            f"[AsyncAPI](../../contracts/{one.id}.asyncapi.yaml), schemas of "
            + ", ".join(
                f"[{name}](../../contracts/{one.id}.{name}.schema.json)"
                for name in ("event", "prediction", "dead-letter")
            ),
        )
        for one in entries
    ]
    example = schemas(entries[0], root)
    limits = (
        f"By default a value has at most {policy.max_value_bytes:,} bytes, a record at most {policy.max_headers} "
        f"headers, and an event time lies at most {policy.max_future_s:g} s after the record's timestamp. A record "
        "without a timestamp has no future."
    )
    return page(
        "Topics",
        "jobs/stream/message/contract.py, jobs/stream/message/refusal.py and contracts/topics.yaml",
        "One worker reads events and publishes, for each of them, one prediction or one dead letter. The contracts are "
        "generated; a change that would break whoever writes or reads a topic is refused.",
        table(("model", "events", "predictions", "dead letters", "contract"), links),
        "## Events",
        _EVENTS,
        limits,
        "## Predictions",
        _PREDICTIONS,
        _fields(example["prediction"]),
        "### Trail",
        _fields(example["prediction"]["properties"]["trail"]),
        "## Dead letters",
        _DEAD_LETTERS,
        _fields(example["dead-letter"]),
        "## Reasons",
        "An event is refused for the first rule that it breaks, in this order; the judgement of fields lists all of "
        "them. The codes of fields are those of [rejected rows](tables.md#reasons) in batch.",
        table(("reason", "meaning"), [(f"`{one}`", MEANING[one]) for one in Reason]),
        table(("code of a field", "meaning"), [(f"`{one}`", REASONS[one]) for one in FaultCode]),
    )


def _fields(schema: Schema) -> str:
    rows = [(f"`{name}`", _type(one), one.get("description", "")) for name, one in schema["properties"].items()]
    return table(("field", "type", "meaning"), rows)


def _type(schema: Schema) -> str:
    types = schema.get("type", "")
    return types if isinstance(types, str) else " or ".join(types)
