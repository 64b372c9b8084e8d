"""``scoretrail erase``: tables and their rejects, what is told, and what is never told."""

from pathlib import Path

import pyarrow as pa
import pytest

from scoretrail import digest
from scoretrail.table import OutputTable
from tests.factory.archived import Archive
from tests.factory.streamed import chances, event, handler
from tests.unit.jobs.command.conftest import Call

BUNDLE = chances()


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    found = Archive(tmp_path, BUNDLE)
    found.topic.write(handler(BUNDLE).handle([event(i, key=f"key-{i}") for i in range(10)]))
    found.archiver().turn()
    return found


def test_it_erases_and_says_what_it_cannot_reach(call: Call, archive: Archive) -> None:
    answer = call("erase", "key-3", "--reason", "ticket 12", "--table", archive.uri)
    assert answer.code == 0
    assert len(archive.rows()) == 9
    assert digest.of_bytes(b"key-3") in answer.out
    assert "1 superseded files" in answer.out
    assert "topics (events, predictions" in answer.out
    assert "key-3" not in answer.out + answer.err
    assert call("erase", "key-3", "--reason", "again", "--table", archive.uri, "--vacuum", "--json").code == 0


def test_the_rejects_beside_a_table_go_too(call: Call, archive: Archive) -> None:
    rejects = OutputTable(f"{archive.uri}_rejects")
    comment = {"comment": "Entity key of the record"}
    rejects.create(pa.schema([pa.field("key", pa.string(), metadata=comment)]), [], "rejects", 1, None)
    answer = call("erase", "key-3", "--reason", "ticket 12", "--table", archive.uri, "--json")
    assert [one["table"] for one in answer.object["tables"]] == [archive.uri, rejects.uri]


def test_a_reason_that_quotes_the_key_is_refused(call: Call, archive: Archive) -> None:
    answer = call("erase", "key-3", "--reason", "for key-3", "--table", archive.uri)
    assert (answer.code, "quotes the key" in answer.err) == (2, True)
    assert len(archive.rows()) == 10


def test_a_store_that_is_away_leaves_everything_to_be_done_again(call: Call, archive: Archive) -> None:
    away = ("--set", "online.uri=redis://127.0.0.1:1/0")
    assert call("erase", "key-3", "--reason", "ticket 12", "--table", archive.uri, *away).code == 75
    assert len(archive.rows()) == 10


def test_a_table_must_be_named_and_be_there(call: Call, tmp_path: Path) -> None:
    answer = call("erase", "k", "--reason", "x")
    assert (answer.code, "which tables?" in answer.err) == (2, True)
    answer = call("erase", "k", "--reason", "x", "--table", str(tmp_path / "none"))
    assert (answer.code, "there is no table here" in answer.err) == (2, True)
