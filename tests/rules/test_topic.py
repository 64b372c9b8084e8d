"""The contracts of the topics: they follow from the code, they are what they claim, and nobody is left behind."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from jobs.reference import build, compatibility, topic
from jobs.reference.compatibility import Side, breaking_changes
from scoretrail.errors import OutputTableError
from tests.rules.source import ROOT

SOURCES = topic.sources(ROOT)
Document = dict[str, Any]
ASYNCAPI = Draft7Validator(json.loads((Path(__file__).parent / "asyncapi-3.0.0.schema.json").read_text()))


def properties(schema: Document) -> Document:
    found: Document = schema["properties"]
    return found


@pytest.fixture
def schemas() -> dict[str, Document]:
    return topic.schemas(SOURCES[0], ROOT)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.id)
def test_the_document_is_asyncapi_and_its_references_lead_somewhere(source: topic.TopicSource) -> None:
    document = topic.document(source, ROOT)
    assert [error.message for error in ASYNCAPI.iter_errors(document)] == []
    committed = yaml.safe_load((ROOT / f"contracts/{source.id}.asyncapi.yaml").read_text(encoding="utf-8"))
    assert committed == document
    for reference in references(document):
        there = document
        for part in reference.removeprefix("#/").split("/"):
            there = there[part]


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in references(value)]
    return [found for value in node for found in references(value)] if isinstance(node, list) else []


def test_a_document_that_is_none_is_found() -> None:
    document = topic.document(SOURCES[0], ROOT)
    changes: list[Document] = [
        {"asyncapi": "2.6.0"},
        {"channels": {"events": {"adress": "x"}}},
        {"operations": {"a": {}}},
    ]
    for change in changes:
        assert not ASYNCAPI.is_valid(document | change)


def test_the_document_has_the_schemas_that_are_files_of_their_own(schemas: dict[str, Document]) -> None:
    messages = topic.document(SOURCES[0], ROOT)["components"]["messages"]
    assert messages["event"]["payload"] == schemas["event"]
    assert messages["prediction"]["payload"] == schemas["prediction"]
    assert messages["deadLetter"]["headers"] == schemas["dead-letter"]
    for schema in schemas.values():
        Draft7Validator.check_schema(schema)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.id)
def test_the_code_breaks_nobody_who_relies_on_the_committed_schemas(source: topic.TopicSource) -> None:
    for name, schema in topic.schemas(source, ROOT).items():
        path = f"contracts/{source.id}.{name}.schema.json"
        committed = json.loads((ROOT / path).read_text(encoding="utf-8"))
        compatibility.refuse_breaking(path, committed, schema)


Change = Callable[[Document], Any]


def require(name: str) -> Change:
    return lambda schema: (properties(schema).update({name: {"type": "string"}}), schema["required"].append(name))


BREAKING: dict[str, tuple[str, Side, Change, str]] = {
    "writers must send more": ("event", "writer", require("tail"), "tail has to be there now"),
    "writers may not say null": (
        "event",
        "writer",
        lambda s: properties(s)["nullable"].update(type="number"),
        "nullable was number or null and is number",
    ),
    "another type": (
        "event",
        "writer",
        lambda s: properties(s)["carrier"].update(type="integer"),
        "carrier was string",
    ),
    "a narrower range": ("event", "writer", lambda s: properties(s)["distance"].update(maximum=10), "another range"),
    "fewer values": ("event", "writer", lambda s: properties(s)["carrier"].update(enum=["UA"]), "other values"),
    "another time": ("event", "writer", lambda s: properties(s)["sched_dep_at"].pop("anyOf"), ""),
    "a field is gone": ("prediction", "reader", lambda s: properties(s).pop("score"), "score is gone"),
    "a field may be missing": ("prediction", "reader", lambda s: s["required"].remove("score"), "score may be missing"),
    "readers get null": (
        "prediction",
        "reader",
        lambda s: properties(s)["score"].update(type=["number", "null"]),
        "score was number and is number or null",
    ),
    "readers get more values": (
        "prediction",
        "reader",
        lambda s: properties(s)["label"]["enum"].append("new"),
        "label has other values",
    ),
    "readers get any value": ("prediction", "reader", lambda s: properties(s)["label"].pop("enum"), "other values"),
    "deep inside": (
        "prediction",
        "reader",
        lambda s: properties(properties(s)["trail"])["source"]["properties"].pop("offset"),
        "trail.source.offset is gone",
    ),
    "another form": ("prediction", "reader", lambda s: properties(s)["event_time"].pop("format"), "another form"),
    "in the long trail": (
        "dead-letter",
        "reader",
        lambda s: s["definitions"]["trail"]["properties"].pop("reason"),
        "trail.reason is gone",
    ),
}


@pytest.mark.parametrize(("name", "side", "change", "told"), BREAKING.values(), ids=BREAKING)
def test_a_breaking_change_is_found(
    schemas: dict[str, Document], name: str, side: Side, change: Change, told: str
) -> None:
    before = copy.deepcopy(schemas[name])
    properties(before)["nullable"] = {"type": ["number", "null"]}
    after = copy.deepcopy(before)
    change(after)

    if told:
        assert any(told in found for found in breaking_changes(before, after, side))
        with pytest.raises(OutputTableError, match=f"breaks every {side}"):
            compatibility.refuse_breaking(f"contracts/x.{name}.schema.json", before, after)
    else:
        assert breaking_changes(after, before, side)


HARMLESS: dict[str, tuple[str, Side, Change]] = {
    "nothing": ("event", "writer", lambda s: None),
    "one more that may be missing": (
        "event",
        "writer",
        lambda s: properties(s).update(more={"type": ["string", "null"]}),
    ),
    "one less": ("event", "writer", lambda s: (properties(s).pop("dest"), s["required"].remove("dest"))),
    "may be missing": ("event", "writer", lambda s: s["required"].remove("dest")),
    "a wider range": ("event", "writer", lambda s: properties(s)["distance"].update(maximum=10_000)),
    "a wider type": ("event", "writer", lambda s: properties(s)["sched_arr_minute"].update(type="number")),
    "other words": ("event", "writer", lambda s: properties(s)["carrier"].update(description="x")),
    "one more to read": ("prediction", "reader", require("more")),
    "never null": ("prediction", "reader", lambda s: properties(s)["decision"].update(type="string")),
    "fewer values": ("prediction", "reader", lambda s: properties(s)["label"]["enum"].remove("late")),
}


@pytest.mark.parametrize(("name", "side", "change"), HARMLESS.values(), ids=HARMLESS)
def test_what_breaks_nobody_passes(schemas: dict[str, Document], name: str, side: Side, change: Change) -> None:
    after = copy.deepcopy(schemas[name])
    change(after)
    assert breaking_changes(schemas[name], after, side) == []


def test_a_breaking_schema_is_not_written(tmp_path: Path, schemas: dict[str, Document]) -> None:
    path = "contracts/x.event.schema.json"
    build.write({path: json.dumps(schemas["event"])}, tmp_path)
    after = copy.deepcopy(schemas["event"])
    require("tail")(after)
    with pytest.raises(OutputTableError, match="tail has to be there now"):
        build.write({path: json.dumps(after), "docs/a.md": "a"}, tmp_path)
    assert json.loads((tmp_path / path).read_text()) == schemas["event"]
    assert not (tmp_path / "docs/a.md").exists()
