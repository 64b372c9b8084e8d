"""A real table is what its data contract promises: columns, order, types, comments, and no null where none may be."""

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from jobs.reference import contract
from jobs.reference.column import DELTA_TYPES
from tests.factory import example
from tests.factory.workshop import Workshop, records, with_values


def promise(root: Path) -> list[dict[str, Any]]:
    """Return the tables of the contract of the parcels' view."""
    (root / "features").mkdir(parents=True)
    (root / "features" / "parcels.py").write_bytes(example.NUMBER_VIEW)
    source = contract.TableSource(
        id="parcel",
        features="features/parcels.py",
        view="parcels",
        task="binary",
        classes=("0", "1"),
        partition_by=("ds",),
        scores="scores",
        rejects="scores_rejects",
        owner="parcel team",
        purpose="to warn of a late parcel",
        usage="one role",
        limitations="made-up parcels",
    )
    tables: list[dict[str, Any]] = contract.odcs(source, contract.tables_of(source, root))["schema"]
    return tables


def broken_promises(columns: list[dict[str, Any]], table: pa.Table, comments: dict[str, str]) -> list[str]:
    """Return what a table does not keep of its contract."""
    found = [] if table.column_names == [one["name"] for one in columns] else ["columns"]
    for one in columns:
        column = table[one["name"]]
        if DELTA_TYPES[column.type] != one["physicalType"]:
            found.append(f"{one['name']} is {column.type}")
        if one["required"] and column.null_count:
            found.append(f"{one['name']} is null")
        if comments[one["name"]] != one["description"]:
            found.append(f"{one['name']} is described otherwise")
    return found


@pytest.fixture
def scored(shop: Workshop) -> Workshop:
    # A refused row without key and time, one with a fault of its own, and a score that a reader can use.
    spoilt = with_values("weight_kg", {3: -1.0, 4: math.inf}, 100)
    keys = [None, *spoilt["parcel_id"].to_pylist()[1:]]
    times = [None, *spoilt["sent_at"].to_pylist()[1:]]
    table = records(100, weight_kg=spoilt["weight_kg"], parcel_id=pa.array(keys, pa.string()))
    at = table.schema.get_field_index("sent_at")
    shop.write("ds=2013-12-01/a.parquet", table.set_column(at, "sent_at", pa.array(times, table["sent_at"].type)))
    shop.score()
    return shop


@pytest.mark.parametrize(("index", "suffix", "rows"), [(0, "", 97), (1, "_rejects", 3)], ids=["scores", "rejects"])
def test_a_table_keeps_its_contract(scored: Workshop, tmp_path: Path, index: int, suffix: str, rows: int) -> None:
    columns = promise(tmp_path / "root")[index]["properties"]
    delta = DeltaTable(f"{scored.output}{suffix}")
    comments = {field.name: str(field.metadata.get("comment")) for field in delta.schema().fields}
    table = delta.to_pyarrow_table()
    assert table.num_rows == rows
    assert broken_promises(columns, table, comments) == []


def test_a_broken_promise_is_found(scored: Workshop, tmp_path: Path) -> None:
    columns = promise(tmp_path / "root")[0]["properties"]
    delta = DeltaTable(scored.output)
    comments = {field.name: str(field.metadata.get("comment")) for field in delta.schema().fields}
    table = delta.to_pyarrow_table()
    at = table.schema.get_field_index("score")
    holed = table.set_column(at, "score", pa.array([None] * table.num_rows, pa.float64()))
    narrowed = table.set_column(at, "score", table["score"].cast(pa.float32()))
    assert broken_promises(columns, holed, comments) == ["score is null"]
    assert broken_promises(columns, narrowed, comments) == ["score is float"]
    assert broken_promises(columns, table, comments | {"score": "?"}) == ["score is described otherwise"]
    assert "columns" in broken_promises(columns, table.select(table.column_names[::-1]), comments)
