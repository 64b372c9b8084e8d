"""Warehouse readers: DuckDB, Polars and pandas read the same rows, with stable types and a comment on every column."""

from datetime import UTC, datetime

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from tests.factory.workshop import Workshop, bits, records, with_values

#: Name and Arrow type of every column: what readers build upon. A change here is a change of the contract.
COLUMNS = {
    "parcel_id": pa.string(),
    "sent_at": pa.timestamp("us", tz="UTC"),
    "ds": pa.string(),
    "score": pa.float64(),
    "label": pa.string(),
    "decision": pa.string(),
    "guard": pa.string(),
    "model_name": pa.string(),
    "model_version": pa.string(),
    "role": pa.string(),
    "model_sha256": pa.string(),
    "bundle_sha256": pa.string(),
    "data_sha256": pa.string(),
    "source_path": pa.string(),
    "source_row": pa.int64(),
    "work_key": pa.string(),
    "run_id": pa.string(),
    "scored_at": pa.timestamp("us", tz="UTC"),
}
REJECT_COLUMNS = {
    **{name: COLUMNS[name] for name in ("parcel_id", "sent_at", "ds")},
    **dict.fromkeys(("reason", "field", "expected", "reasons"), pa.string()),
    **dict(list(COLUMNS.items())[7:]),
}


@pytest.fixture
def published(shop: Workshop) -> Workshop:
    shop.write("ds=2013-12-01/a.parquet", with_values("weight_kg", {3: -1.0}, 100))
    shop.write("ds=2013-12-02/a.parquet", records(100, 100))
    shop.score()
    return shop


BOTH_TABLES = pytest.mark.parametrize(
    ("suffix", "columns"), [("", COLUMNS), ("_rejects", REJECT_COLUMNS)], ids=["scores", "rejects"]
)


@BOTH_TABLES
def test_types_are_stable_and_every_column_has_a_comment(
    published: Workshop, suffix: str, columns: dict[str, pa.DataType]
) -> None:
    table = DeltaTable(f"{published.output}{suffix}")
    schema = pa.schema(table.schema().to_arrow())
    assert {field.name: field.type for field in schema} == columns
    assert schema.names == list(columns)
    comments = {field.name: field.metadata.get("comment") for field in table.schema().fields}
    assert all(comments.values()), comments
    protocol = table.protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)


def test_files_hold_the_types_that_the_log_states(published: Workshop) -> None:
    import pyarrow.parquet as pq

    for path in published.live_paths():
        schema = pq.read_schema(f"{published.output}/{path}")
        assert {field.name: field.type for field in schema} == {k: v for k, v in COLUMNS.items() if k != "ds"}


def test_duckdb(published: Workshop) -> None:
    scores = DeltaTable(published.output).to_pyarrow_dataset()  # found by its name in the query
    with duckdb.connect() as connection:
        connection.register("scores", scores)
        rows = connection.sql(
            "SELECT ds, count(*) AS n, max(sent_at) AS latest FROM scores WHERE ds >= '2013-12-01' "
            "GROUP BY ds ORDER BY ds"
        ).fetchall()
        found = connection.sql("SELECT parcel_id, score FROM scores ORDER BY source_path, source_row").to_arrow_table()
    assert [(ds, n) for ds, n, _ in rows] == [("2013-12-01", 99), ("2013-12-02", 100)]
    assert rows[1][2].astimezone(UTC) == records(200)["sent_at"][199].as_py()
    assert bits(found) == bits(published.rows())


def test_polars(published: Workshop) -> None:
    frame = pl.scan_delta(published.output).sort("source_path", "source_row").collect()
    assert frame.height == 199
    assert dict(frame.schema)["sent_at"] == pl.Datetime("us", "UTC")
    assert dict(frame.schema)["source_row"] == pl.Int64
    assert bits(frame.to_arrow()) == bits(published.rows())
    chosen = pl.scan_delta(published.output).filter(pl.col("sent_at") >= records(200)["sent_at"][150].as_py()).collect()
    assert chosen.height == 50


def test_pandas(published: Workshop) -> None:
    frame = DeltaTable(published.output).to_pyarrow_dataset().to_table().to_pandas()
    frame = frame.sort_values(["source_path", "source_row"])
    assert str(frame["sent_at"].dtype) == "datetime64[us, UTC]"
    assert frame["source_row"].dtype == "int64"
    assert [value.hex() for value in frame["score"]] == [value.hex() for value in published.rows()["score"].to_pylist()]
    rejects = DeltaTable(f"{published.output}_rejects").to_pandas()
    assert rejects["reason"].tolist() == ["out_of_range"]


def test_a_range_of_event_times_finds_every_row(published: Workshop) -> None:
    from pyarrow import dataset as ds

    table = published.table().to_pyarrow_dataset()
    times = [*records(3)["sent_at"].to_pylist(), *records(100, 100)["sent_at"].to_pylist()]
    for at in times:
        assert table.to_table(filter=ds.field("sent_at") == pa.scalar(at)).num_rows == 1
    assert table.to_table(filter=ds.field("sent_at") < pa.scalar(datetime(2013, 12, 1, tzinfo=UTC))).num_rows == 0
