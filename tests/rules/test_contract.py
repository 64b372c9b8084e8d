"""The data contracts: they follow from the one schema, and a change that breaks a reader does not pass."""

import ast
import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from jobs.reference import build, contract
from scoretrail.errors import OutputTableError
from scoretrail.trail.prediction import SCHEMA_VERSION
from tests.rules.source import ROOT

SOURCES = contract.sources(ROOT)
Document = dict[str, Any]
Change = Callable[[Document], None]


def committed(source: contract.TableSource) -> Document:
    """Return the contract as it is in the repository: what readers were given."""
    found: Document = yaml.safe_load((ROOT / build.contract_path(source)).read_text(encoding="utf-8"))
    return found


def fresh(source: contract.TableSource) -> Document:
    """Return the contract as it follows from the code."""
    return contract.odcs(source, contract.tables_of(source, ROOT))


def changed(document: Document, change: Change) -> Document:
    after = copy.deepcopy(document)
    change(after)
    return after


def properties(document: Document, table: int = 0) -> list[Document]:
    found: list[Document] = document["schema"][table]["properties"]
    return found


def named(document: Document, name: str) -> Document:
    return next(column for column in properties(document) if column["name"] == name)


@pytest.fixture
def flights() -> Document:
    return fresh(SOURCES[0])


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.id)
def test_the_code_breaks_no_reader_of_the_committed_contract(source: contract.TableSource) -> None:
    contract.refuse_breaking(committed(source), fresh(source))


BREAKING: dict[str, tuple[Change, str]] = {
    "removed": (lambda d: properties(d).remove(named(d, "score")), "flight_delay.score is gone"),
    "renamed": (lambda d: named(d, "score").update(name="probability"), "flight_delay.score is gone"),
    "retyped": (lambda d: named(d, "score").update(physicalType="float"), "flight_delay.score was double and is float"),
    "widened": (lambda d: named(d, "run_id").update(required=False), "flight_delay.run_id was never null and may be"),
    "moved": (lambda d: properties(d).append(properties(d).pop(0)), "in another order"),
    "inserted": (lambda d: properties(d).insert(2, {**named(d, "score"), "name": "new"}), "in another order"),
    "partitioned": (lambda d: named(d, "ds").pop("partitionKeyPosition"), "partitions the table in another way"),
    "table": (lambda d: d["schema"].pop(), "table flight_delay_rejects is gone"),
}


@pytest.mark.parametrize(("change", "told"), BREAKING.values(), ids=BREAKING)
def test_a_breaking_change_is_found_and_refused(flights: Document, change: Change, told: str) -> None:
    after = changed(flights, change)
    assert any(told in found for found in contract.breaking_changes(flights, after))
    with pytest.raises(OutputTableError, match="breaks whoever reads"):
        contract.refuse_breaking(flights, after)


@pytest.mark.parametrize(("change", "told"), BREAKING.values(), ids=BREAKING)
def test_a_breaking_change_passes_with_another_major_version(flights: Document, change: Change, told: str) -> None:
    after = changed(flights, change) | {"version": f"{contract.CONTRACT_MAJOR + 1}.1.0"}
    contract.refuse_breaking(flights, after)


HARMLESS: dict[str, Change] = {
    "nothing": lambda d: None,
    "added": lambda d: properties(d).append({**named(d, "score"), "name": "score_lower", "required": False}),
    "narrowed": lambda d: named(d, "label").update(required=True),
    "told": lambda d: named(d, "score").update(description="in other words"),
    "table": lambda d: d["schema"].append({"name": "more", "properties": []}),
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_what_breaks_no_reader_passes(flights: Document, change: Change) -> None:
    after = changed(flights, change)
    assert contract.breaking_changes(flights, after) == []
    contract.refuse_breaking(flights, after)


def test_a_contract_has_what_the_standard_asks_for(flights: Document) -> None:
    assert flights["apiVersion"] == "v3.1.0"
    assert flights["kind"] == "DataContract"
    assert flights["version"] == f"{contract.CONTRACT_MAJOR}.{SCHEMA_VERSION}.0"
    assert {"id", "status", "schema"} <= flights.keys()
    logical = {"string", "date", "timestamp", "time", "number", "integer", "object", "array", "boolean"}
    for table in flights["schema"]:
        assert {"name", "physicalName", "physicalType", "logicalType", "description"} <= table.keys()
        for column in table["properties"]:
            assert column["logicalType"] in logical
            assert isinstance(column["required"], bool)
            assert column["description"]


def test_the_dbt_sources_declare_the_same_columns() -> None:
    document = yaml.safe_load((ROOT / "contracts" / "dbt" / "sources.yml").read_text(encoding="utf-8"))
    assert document["version"] == 2
    (source,) = document["sources"]
    tables = {table["name"]: table for table in source["tables"]}
    promised = {table["name"]: table for one in SOURCES for table in fresh(one)["schema"]}
    assert tables.keys() == promised.keys()
    for name, table in tables.items():
        assert table["identifier"] == promised[name]["physicalName"]
        assert table["config"] == {"loaded_at_field": "scored_at"}
        assert [(c["name"], c["data_type"], "not_null" in c.get("data_tests", [])) for c in table["columns"]] == [
            (c["name"], c["physicalType"], c["required"]) for c in promised[name]["properties"]
        ]


def test_the_flights_contract_has_the_classes_that_the_demo_registers() -> None:
    tree = ast.parse((ROOT / "examples" / "flights" / "train.py").read_text(encoding="utf-8"))
    stated = {
        node.target.id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(node.value, ast.Tuple)
        if node.target.id == "CLASSES"
    }
    assert stated == {"CLASSES": SOURCES[0].classes}


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_a_contract_follows_the_task(task: str) -> None:
    classes = ("low", "middle", "Very high") if task == "multiclass" else ()
    source = SOURCES[0].model_copy(update={"task": task, "classes": classes})
    names = [column["name"] for column in properties(fresh(source))]
    several = ["score_low", "score_middle", "score_very_high"] if task == "multiclass" else []
    assert names[3 : 5 + len(several)] == ["score", *several, "label"]
