"""An output table that is not what it must be is refused, untouched."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.transaction import AddAction

from scoretrail.errors import ExitCode, OutputTableError, StorageError
from scoretrail.trail.run import WorkMessage
from tests.factory import example
from tests.factory.fixture import Register
from tests.factory.workshop import Workshop, records


def refused(shop: Workshop, match: str, model: str = "models:/parcel@champion") -> OutputTableError:
    before = DeltaTable(shop.output).version()
    with pytest.raises(OutputTableError, match=match) as caught:
        shop.score(model)
    assert caught.value.exit_code is ExitCode.DATA
    assert DeltaTable(shop.output).version() == before
    return caught.value


def test_a_table_that_somebody_else_made(shop: Workshop) -> None:
    shop.write("a.parquet", records(5))
    write_deltalake(shop.output, pa.table({"score": [0.5]}))
    refused(shop, "was not made by Scoretrail")
    assert shop.store().run_ids() == []


def test_a_table_with_other_columns(shop: Workshop, registered: Register) -> None:
    shop.write("a.parquet", records(5))
    shop.score()
    shop.registry = registered(example.classes()).root
    error = refused(shop, "no columns for the classes of this model", "models:/parcel-speed@champion")
    assert "choose another --output" in str(error.fix)
    other = shop.copy("classes")
    other.score("models:/parcel-speed@champion")
    other.registry = registered(example.linear()).root
    refused(other, "columns that this run does not write", "models:/parcel-linear@champion")


def test_a_table_whose_columns_have_another_type(shop: Workshop) -> None:
    shop.write("a.parquet", records(5))
    shop.score()
    shutil.copytree(shop.output, f"{shop.output}-copy")
    schema = pa.schema(DeltaTable(shop.output).schema().to_arrow())
    at = schema.get_field_index("source_row")
    shutil.rmtree(shop.output)
    other = schema.set(at, schema.field(at).with_type(pa.int32()))
    DeltaTable.create(shop.output, other, name="scoretrail")
    error = refused(shop, "column 'source_row' of the output table has another type")
    assert (error.expected, error.got) == ("int64", "int32")


def test_a_column_that_the_table_lacks_is_added_at_the_end(shop: Workshop) -> None:
    shop.write("a.parquet", records(5))
    shop.score()
    schema = pa.schema(DeltaTable(shop.output).schema().to_arrow())
    shutil.rmtree(shop.output)
    narrower = schema.remove(schema.get_field_index("guard"))
    DeltaTable.create(shop.output, narrower, name="scoretrail")
    run = shop.score()
    names = pa.schema(DeltaTable(shop.output).schema().to_arrow()).names
    assert names == [*narrower.names, "guard"]
    assert (run.status, shop.rows().num_rows, shop.rows()["guard"].null_count) == ("published", 5, 5)
    assert shop.table().column_comments()["guard"].startswith("Guard that changed the score")


@pytest.mark.parametrize("key", ["role", "Score", "reasons"])
def test_a_partition_key_that_is_a_column_of_the_table(shop: Workshop, key: str) -> None:
    shop.write(f"{key}=1/a.parquet", records(5))
    with pytest.raises(OutputTableError, match="two columns called"):
        shop.score()
    assert not Path(shop.output).exists()


@pytest.mark.parametrize("name", ["foreign.parquet", "part-1-2-3.parquet"])
def test_a_live_file_that_is_not_ours(shop: Workshop, name: str) -> None:
    shop.write("a.parquet", records(5))
    shop.score()
    table = DeltaTable(shop.output)
    [live] = shop.live_paths()
    target = Path(shop.output) / name
    shutil.copyfile(Path(shop.output) / live, target)
    stats = '{"numRecords":5}'
    action = AddAction(name, target.stat().st_size, {}, 0, True, stats)
    table.create_write_transaction([action], mode="append", schema=table.schema(), partition_by=[])
    error = refused(shop, "a live file that Scoretrail did not write")
    assert error.where == f"{shop.output}/{name}"


def test_a_live_file_without_a_row_count_is_not_ours_either(shop: Workshop) -> None:
    shop.write("a.parquet", records(5))
    shop.score()
    table, [live] = DeltaTable(shop.output), shop.live_paths()
    again = Path(live.replace("-0-", "-1-"))
    shutil.copyfile(Path(shop.output) / live, Path(shop.output) / again)
    action = AddAction(str(again), 1, {}, 0, True, "{}")
    table.create_write_transaction([action], mode="append", schema=table.schema(), partition_by=[])
    refused(shop, "did not write")


def test_rejects_into_a_table_that_is_not_ours(shop: Workshop) -> None:
    from tests.factory.workshop import with_values

    shop.write("a.parquet", with_values("weight_kg", {0: -1.0}, 100))
    write_deltalake(f"{shop.output}_rejects", pa.table({"reason": ["none"]}))
    with pytest.raises(OutputTableError, match="was not made by Scoretrail"):
        shop.score()
    assert shop.rows().num_rows == 0


def test_an_output_file_that_is_not_what_its_message_says(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.batch.publication import publish

    shop.write_days(("1", "2"))
    original = publish.check_files

    def damage_first(messages: Sequence[WorkMessage], table: str, *rest: Any) -> None:
        (Path(table) / messages[0].predictions[0].path).write_bytes(b"half a file")
        original(messages, table, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(publish, "check_files", damage_first)
        with pytest.raises(OutputTableError, match="not what its message says") as caught:
            shop.score(run_id="r1")
    assert caught.value.got == "11"
    assert not shop.table().exists
    with pytest.raises(OutputTableError):  # it stays so until somebody does what the message says
        shop.score(run_id="r1")
    shutil.rmtree(Path(shop.output) / "_scoretrail" / "r1")
    assert shop.score(run_id="r1").rows["scored"] == 80


def test_a_log_that_cannot_be_read(shop: Workshop) -> None:
    shop.write("a.parquet", records(5))
    shop.score()
    for entry in (Path(shop.output) / "_delta_log").glob("*.json"):
        entry.write_bytes(b"no json")
    with pytest.raises(StorageError, match="cannot be read") as caught:
        shop.score()
    assert caught.value.exit_code is ExitCode.RETRY
