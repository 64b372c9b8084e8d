"""Archived rows made again from the table and the registry, and rows that somebody changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from jobs.archive.columns import ROW_SHA256
from jobs.archive.reproduce import Reproduction, reproduce
from jobs.archive.row import row_digests
from jobs.progress import SilentProgress
from scoretrail import digest
from scoretrail.config import Settings
from scoretrail.errors import OutputTableError
from scoretrail.model.bundle import open_bundle
from scoretrail.table import OutputTable
from tests.factory.archived import Archive
from tests.factory.registered import Registered
from tests.factory.streamed import handler, record


@pytest.fixture
def archive(tmp_path: Path, registered_linear: Registered) -> Archive:
    bundle = open_bundle(registered_linear.resolved.files)
    found = Archive(tmp_path, bundle)
    events = [
        record(b'{"parcel_id":"p%d","sent_at":0,"weight_kg":%d,"distance_km":2}' % (i, i + 1), i) for i in range(40)
    ]
    found.topic.write(handler(bundle).handle(events))
    found.archiver().turn()
    return found


@pytest.fixture
def again(archive: Archive, registered_linear: Registered) -> Callable[..., Reproduction]:
    def run(chosen: Any = None, **changes: Any) -> Reproduction:
        registry = changes.get("registry", registered_linear.registry)
        return reproduce(archive.table(), registry, Settings(), SilentProgress(), chosen)

    return run


def tamper(archive: Archive, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the one file of the archive under its name, as somebody with access to the storage could."""
    (file,) = archive.table().live_files()
    path = Path(archive.uri) / file.path
    changed = change(pq.ParquetFile(path).read())
    path.unlink()
    pq.write_table(changed, path)


def with_value(name: str, row: int, value: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(name)
        values = table.column(name).to_pylist()
        assert values[row] != value
        values[row] = value
        return table.set_column(at, name, pa.array(values, table.schema.field(name).type))

    return change


def resealed(change: Callable[[pa.Table], pa.Table]) -> Callable[[pa.Table], pa.Table]:
    """Return a change after which the digests of the rows are made right."""

    def both(table: pa.Table) -> pa.Table:
        changed = change(table).combine_chunks()
        (batch,) = changed.to_batches()
        at = changed.schema.get_field_index(ROW_SHA256)
        return changed.set_column(at, ROW_SHA256, pa.array(row_digests(batch)))

    return both


def test_every_row_comes_out_the_same(again: Callable[..., Reproduction]) -> None:
    result = again()
    assert (result.rows, result.equal, result.different, result.differences) == (40, 40, 0, [])
    assert list(result.bundles.values()) == [40]


def test_some_rows_may_be_chosen(again: Callable[..., Reproduction]) -> None:
    assert again(pc.field("parcel_id") == "p7").rows == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("score", 0.5), ("label", "none"), ("decision", None), ("guard", "capped"), ("parcel_id", "x"), ("scored_at", 0)],
)
def test_a_row_that_was_changed_is_found(
    archive: Archive, again: Callable[..., Reproduction], name: str, value: Any
) -> None:
    tamper(archive, with_value(name, 3, value))
    result = again()
    assert (result.different, result.equal) == (1, 39)
    assert {one.source for one in result.differences} == {"events/3/6"}
    assert ROW_SHA256 in {one.column for one in result.differences}


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("score", 0.5, "score"),
        ("label", "none", "label"),
        ("outcome", 1, "ce_id"),
        ("source_offset", 99, "ce_id"),
        ("role", "challenger", "ce_id"),
        ("source_topic", None, "ce_id"),
        ("features_sha256", "0" * 64, "features_sha256"),
        ("inputs_schema", "0" * 64, "inputs_schema"),
        ("bundle_sha256", "0" * 64, "bundle_sha256"),
        ("model_version", "9.9.9", "bundle_sha256"),
        ("inputs", b"", "features_sha256"),
    ],
)
def test_what_decides_is_found_even_if_the_rows_digest_was_made_right(
    archive: Archive, again: Callable[..., Reproduction], name: str, value: Any, told: str
) -> None:
    tamper(archive, resealed(with_value(name, 3, value)))
    result = again()
    assert result.different == 1
    assert result.differences[0].column == told


def test_other_inputs_with_a_right_hash_give_another_score(
    archive: Archive, again: Callable[..., Reproduction]
) -> None:
    inputs = archive.rows()[9]["inputs"]

    def change(table: pa.Table) -> pa.Table:
        swapped = with_value("inputs", 3, inputs)(table)
        return with_value("features_sha256", 3, digest.of_bytes(inputs))(swapped)

    tamper(archive, resealed(change))
    assert [one.column for one in again().differences] == ["score"]


def test_a_registry_with_another_bundle_in_its_place_is_found(
    archive: Archive, again: Callable[..., Reproduction], registered_trees: Registered
) -> None:
    result = again(registry=registered_trees.registry)
    assert (result.different, result.equal) == (40, 0)
    assert {one.column for one in result.differences} == {"bundle_sha256"}


def test_rows_that_were_removed_and_files_that_are_gone_are_found(
    archive: Archive, again: Callable[..., Reproduction]
) -> None:
    tamper(archive, lambda table: table.slice(3))
    result = again()
    assert (result.rows, result.equal, result.different) == (40, 37, 3)
    (file,) = archive.table().live_files()
    (Path(archive.uri) / file.path).write_bytes(b"nothing")
    assert (again().different, again().equal) == (40, 0)
    (Path(archive.uri) / file.path).unlink()
    assert [one.column for one in again().differences] == ["file"]


def test_another_table_is_no_archive(tmp_path: Path, registered_linear: Registered) -> None:
    table = OutputTable(str(tmp_path / "other"))
    table.create(pa.schema([("x", pa.int64())]), [], "another", 1, None)
    with pytest.raises(OutputTableError, match="no archive"):
        reproduce(table, registered_linear.registry, Settings(), SilentProgress())
