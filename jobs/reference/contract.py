"""Data contracts of the tables: ODCS and dbt sources from the one schema, and what would break a reader of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import pyarrow as pa
import yaml
from pydantic import BaseModel, ConfigDict

from jobs.reference.column import DELTA_TYPES, manifest_of
from jobs.reference.page import COMMAND
from scoretrail.errors import OutputTableError
from scoretrail.feature.source import load_view
from scoretrail.trail.prediction import SCHEMA_VERSION, Column, prediction_columns, reject_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CONTRACT_MAJOR: Final = 1
"""Raised, by a person who has told the readers, when a change breaks them; else the generator refuses to write."""
_API_VERSION: Final = "v3.1.0"
"""Of the Open Data Contract Standard: the first that has a logical type for instants."""
_LOGICAL_TYPES: Final = {
    "string": "string",
    "double": "number",
    "float": "number",
    "long": "integer",
    "integer": "integer",
    "short": "integer",
    "byte": "integer",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
}
"""ODCS's name for each of Delta's types."""


class TableSource(BaseModel):
    """An entry of ``contracts/tables.yaml``: one model's pair of tables."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: str
    features: str
    """Feature code, below the repository's root."""
    view: str
    task: Literal["binary", "multiclass", "regression"]
    classes: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = ()
    """Partition columns, all of them text, as an input that is partitioned by folders has them."""
    scores: str
    """Folder of the scored table."""
    rejects: str
    owner: str
    purpose: str
    usage: str
    limitations: str


@dataclass(frozen=True)
class ContractTable:
    """One table of a contract."""

    name: str
    physical_name: str
    description: str
    granularity: str
    columns: tuple[Column, ...]
    partition_by: tuple[str, ...]


def sources(root: Path) -> list[TableSource]:
    """Return the entries of ``contracts/tables.yaml`` below the repository's root."""
    entries = yaml.safe_load((root / "contracts" / "tables.yaml").read_text(encoding="utf-8"))
    return [TableSource.model_validate(entry) for entry in entries]


def tables_of(source: TableSource, root: Path) -> tuple[ContractTable, ContractTable]:
    """Return the scored table and the rejects table of an entry."""
    view = load_view((root / source.features).read_bytes(), source.view)
    manifest = manifest_of(view, source.task, source.classes)
    partition = [(name, pa.string()) for name in source.partition_by]
    scores = ContractTable(
        name=source.id.replace("-", "_"),
        physical_name=source.scores,
        description=source.purpose,
        granularity="One row for each row of the input that got a score, for each model and role.",
        columns=prediction_columns(manifest, partition),
        partition_by=source.partition_by,
    )
    rejects = ContractTable(
        name=f"{scores.name}_rejects",
        physical_name=source.rejects,
        description=f"Rows that got no score in {scores.name}, and why; values of features are not among them.",
        granularity="One row for each row of the input that was refused, for each model and role.",
        columns=reject_columns(manifest, partition),
        partition_by=source.partition_by,
    )
    return scores, rejects


def odcs(source: TableSource, tables: Sequence[ContractTable]) -> dict[str, Any]:
    """Return the contract of tables as an Open Data Contract Standard document."""
    return {
        "apiVersion": _API_VERSION,
        "kind": "DataContract",
        "id": source.id,
        "name": f"Scores of {source.id}",
        "version": f"{CONTRACT_MAJOR}.{SCHEMA_VERSION}.0",
        "status": "active",
        "description": {"purpose": source.purpose, "usage": source.usage, "limitations": source.limitations},
        "schema": [
            {
                "name": table.name,
                "physicalName": table.physical_name,
                "physicalType": "table",
                "logicalType": "object",
                "description": table.description,
                "dataGranularityDescription": table.granularity,
                "properties": [_property(column, table.partition_by) for column in table.columns],
            }
            for table in tables
        ],
        "team": {"name": source.owner},
        "customProperties": [{"property": "scoretrailSchemaVersion", "value": SCHEMA_VERSION}],
    }


def _property(column: Column, partition_by: Sequence[str]) -> dict[str, Any]:
    physical = DELTA_TYPES[column.type]
    found = {
        "name": column.name,
        "logicalType": _LOGICAL_TYPES[physical],
        "physicalType": physical,
        "required": not column.nullable,
        "description": column.comment,
    }
    if column.name in partition_by:
        found |= {"partitioned": True, "partitionKeyPosition": list(partition_by).index(column.name) + 1}
    return found


def dbt(tables: Sequence[ContractTable]) -> dict[str, Any]:
    """Return a dbt sources file for tables of any number of contracts."""
    return {
        "version": 2,
        "sources": [
            {
                "name": "scoretrail",
                "description": "Scores with their trail, and rejected rows, as Scoretrail publishes them.",
                "tables": [
                    {
                        "name": table.name,
                        "identifier": table.physical_name,
                        "description": table.description,
                        "config": {"loaded_at_field": "scored_at"},
                        "columns": [
                            {
                                "name": column.name,
                                "description": column.comment,
                                "data_type": DELTA_TYPES[column.type],
                                **({} if column.nullable else {"data_tests": ["not_null"]}),
                            }
                            for column in table.columns
                        ],
                    }
                    for table in tables
                ],
            }
        ],
    }


def to_yaml(document: dict[str, Any], source: str) -> str:
    """Return a generated document as YAML, keys in their order."""
    head = f"# Generated from {source} by `{COMMAND}`: change that, not this file.\n"
    return head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=118)


def breaking_changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what a reader of the earlier contract would trip over in the later one; empty if nothing.

    A column may be added at the end, and may become one that is never null. All else breaks: a table or a column that
    is gone or has another name, another type, another place, another partitioning, or may be null where it never was.

    Args:
        before: an ODCS document.
        after: the one that would take its place.
    """
    later = {table["name"]: table for table in after["schema"]}
    found: list[str] = []
    for table in before["schema"]:
        name = table["name"]
        found += _broken(name, table, later[name]) if name in later else [f"table {name} is gone"]
    return found


def _broken(name: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    columns = {column["name"]: column for column in after["properties"]}
    for column in before["properties"]:
        place = f"{name}.{column['name']}"
        now = columns.get(column["name"])
        if now is None:
            yield f"{place} is gone, or has another name"
            continue
        if (column["logicalType"], column["physicalType"]) != (now["logicalType"], now["physicalType"]):
            yield f"{place} was {column['physicalType']} and is {now['physicalType']}"
        if column["required"] and not now["required"]:
            yield f"{place} was never null and may be"
        if column.get("partitionKeyPosition") != now.get("partitionKeyPosition"):
            yield f"{place} partitions the table in another way"
    kept = [column["name"] for column in before["properties"] if column["name"] in columns]
    if list(columns)[: len(kept)] != kept:
        yield f"{name} has its columns in another order: new ones come at the end"


def refuse_breaking(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Refuse a contract that breaks the readers of the one before, unless its major version says so.

    Raises:
        OutputTableError: it does.
    """
    if _major(after) > _major(before):
        return
    found = breaking_changes(before, after)
    if found:
        raise OutputTableError(
            "the change breaks whoever reads the tables",
            where=f"contract {before['id']} {before['version']}",
            got="; ".join(found),
            fix="add columns at the end instead, or tell the readers and raise CONTRACT_MAJOR in jobs/reference",
        )


def _major(document: dict[str, Any]) -> int:
    return int(str(document["version"]).partition(".")[0])
