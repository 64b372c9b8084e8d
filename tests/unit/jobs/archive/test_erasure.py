"""An entity taken out of real tables in a folder: its rows go, all others stay, and what was done is written down."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.archive.erasure import ErasureRequest, erase
from jobs.batch.output.maintain import compact, vacuumed_paths
from scoretrail import digest
from scoretrail.errors import ConflictError, OutputTableError, UsageError
from scoretrail.table import OutputTable
from scoretrail.trail.erasure import erasures
from tests.factory.archived import Archive
from tests.factory.streamed import chances, event, handler

BUNDLE = chances()
DAYS = ("2013-12-01T00:00:00Z", "2013-11-30T12:00:00Z")
AT = datetime(2026, 1, 1, tzinfo=UTC)


def request(key: str = "k7", **changes: Any) -> ErasureRequest:
    values = {"key": key, "reason": "ticket 12", "at": AT, "vacuum": False, "row_group_rows": 1000, "options": {}}
    return ErasureRequest(**{**values, **changes})


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    found = Archive(tmp_path, BUNDLE)
    events = [event(i, key=f"k{i % 10}", at=DAYS[i % 20 // 10]) for i in range(40)]
    found.topic.write(handler(BUNDLE).handle(events))
    found.archiver().turn()
    return found


def keys(archive: Archive) -> list[str]:
    return [row["key"] for row in archive.rows()]


def every_file(archive: Archive) -> list[Path]:
    return [path for path in Path(archive.uri).rglob("*.parquet") if "_delta_log" not in path.parts]


def holding(archive: Archive, key: str = "k7") -> list[Path]:
    return [path for path in every_file(archive) if key in pq.ParquetFile(path).read().column("key").to_pylist()]


def test_the_entitys_rows_go_in_one_commit_and_no_other_does(archive: Archive) -> None:
    before, version = archive.rows(), archive.table().version
    record = erase(archive.table(), request())
    assert (record.rows, record.files_rewritten) == (4, 2)
    assert archive.rows() == [row for row in before if row["key"] != "k7"]
    assert version is not None
    assert archive.table().version == record.table_version == version + 1
    assert all(file.rows for file in archive.table().live_files())


def test_files_that_do_not_hold_it_stay_as_they_are(archive: Archive) -> None:
    archive.topic.write(handler(BUNDLE).handle([event(1, key="other", at="2013-11-29T00:00:00Z")]))
    archive.archiver().turn()
    files = {file.path for file in archive.table().live_files()}
    erase(archive.table(), request("other"))
    assert {file.path for file in archive.table().live_files()} >= {one for one in files if "2013-11-29" not in one}


def test_the_record_names_the_key_by_its_digest_only(archive: Archive) -> None:
    erase(archive.table(), request())
    (record,) = erasures(archive.uri, {})
    assert record.key_sha256 == digest.of_bytes(b"k7")
    assert (record.reason, record.rows, record.superseded) == ("ticket 12", 4, 2)
    written = [path.read_bytes() for path in (Path(archive.uri) / "_scoretrail").rglob("*.json")]
    assert written
    assert not any(b'"k7"' in one for one in written)
    (entry, *_) = archive.table().history()
    assert entry["scoretrail.erased"] == record.key_sha256
    assert b'"k7"' not in json.dumps(entry).encode()


def test_earlier_versions_hold_it_until_they_are_vacuumed(archive: Archive) -> None:
    erase(archive.table(), request())
    assert len(holding(archive)) == 2
    record = erase(archive.table(), request(vacuum=True))
    assert (record.rows, record.files_vacuumed, record.superseded) == (0, 2, 0)
    assert holding(archive) == []
    assert len(vacuumed_paths(archive.uri, {})) == 2
    assert len(keys(archive)) == 36


def test_only_files_that_hold_it_are_vacuumed(archive: Archive) -> None:
    archive.topic.write(handler(BUNDLE).handle([event(1, key="a", at=DAYS[0])]))
    archive.archiver().turn()
    compact(archive.table(), target_bytes=2**20, row_group_rows=1000, options={})
    before = len(every_file(archive))
    record = erase(archive.table(), request("a", vacuum=True))
    assert record.files_vacuumed == 2  # its own, and the one that was merged from it
    assert len(every_file(archive)) == before - 2 + 1
    assert "a" not in keys(archive)


def test_a_file_of_nothing_else_stays_as_an_empty_one_so_that_its_work_shows(archive: Archive) -> None:
    archive.topic.write(handler(BUNDLE).handle([event(1, key="alone", at="2013-11-29T00:00:00Z")]))
    archive.archiver().turn()
    assert erase(archive.table(), request("alone")).rows == 1
    assert sorted(file.rows for file in archive.table().live_files()) == [0, 20, 20]
    assert len(keys(archive)) == 40


def test_merging_and_archiving_go_on(archive: Archive) -> None:
    erase(archive.table(), request())
    archive.topic.write(handler(BUNDLE).handle([event(i, key=f"n{i}") for i in range(4)]))
    archive.archiver().turn()
    compact(archive.table(), target_bytes=2**20, row_group_rows=1000, options={})
    assert (len(keys(archive)), "k7" in keys(archive)) == (40, False)


def test_nobody_of_that_name_is_written_down_too(archive: Archive) -> None:
    version = archive.table().version
    assert erase(archive.table(), request("nobody")).rows == 0
    assert archive.table().version == version
    assert [one.rows for one in erasures(archive.uri, {})] == [0]


def test_a_merge_at_the_same_moment_is_waited_for(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.topic.write(handler(BUNDLE).handle([event(i, key="k7", at=DAYS[0]) for i in range(2)]))
    archive.archiver().turn()
    commit = OutputTable.commit
    merged: list[bool] = []

    def late(self: OutputTable, **arguments: Any) -> int:
        if not merged:
            merged.append(True)
            compact(archive.table(), target_bytes=2**20, row_group_rows=1000, options={})
        return commit(self, **arguments)

    monkeypatch.setattr(OutputTable, "commit", late)
    assert erase(archive.table(), request()).rows == 6
    assert len(keys(archive)) == 36


def test_others_that_are_always_faster_are_told(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> int:
        raise ConflictError("others were faster")

    monkeypatch.setattr(OutputTable, "commit", refuse)
    with pytest.raises(ConflictError):
        erase(archive.table(), request())
    assert erasures(archive.uri, {}) == []


def test_rows_without_a_key_stay(tmp_path: Path, archive: Archive) -> None:
    path = Path(archive.uri) / archive.table().live_files()[0].path
    table = pq.ParquetFile(path).read()
    at = table.schema.get_field_index("key")
    nulls = [None if i == 0 else key for i, key in enumerate(table.column("key").to_pylist())]
    pq.write_table(table.set_column(at, "key", pa.array(nulls, pa.string())), tmp_path / "nulls.parquet")
    path.write_bytes((tmp_path / "nulls.parquet").read_bytes())
    erase(archive.table(), request())
    found = [pq.ParquetFile(Path(archive.uri) / file.path).read() for file in archive.table().live_files()]
    assert sum(one.column("key").null_count for one in found) == 1


def test_a_table_without_a_known_key_is_refused(tmp_path: Path) -> None:
    table = OutputTable(str(tmp_path / "other"))
    table.create(pa.schema([("x", pa.int64())]), [], "another", 1, None)
    with pytest.raises(OutputTableError, match="known as its entity key"):
        erase(table, request())
    comment = {"comment": "Entity key of the record"}
    numbered = OutputTable(str(tmp_path / "numbered"))
    numbered.create(pa.schema([pa.field("id", pa.int64(), metadata=comment)]), [], "another", 1, None)
    with pytest.raises(UsageError, match="cannot be one") as caught:
        erase(numbered, request("secret"))
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
