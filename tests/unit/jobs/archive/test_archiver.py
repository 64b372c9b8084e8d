"""The archiver on a topic in memory and a real table in a folder: stopped anywhere, raced, restored; each row once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from jobs.archive.columns import EVENT_DATE
from jobs.stream.port import Partition
from jobs.stream.record import Message
from scoretrail.errors import OutputTableError
from tests.factory.archived import TOPIC, Archive
from tests.factory.streamed import chances, event, handler, numbers

BUNDLE = chances()
DAYS = ("2013-12-01T00:00:00Z", "2013-11-30T23:59:59.999999Z")


def messages(first: int, n: int) -> list[Message]:
    return handler(BUNDLE).handle([event(i, at=DAYS[i % 2]) for i in range(first, first + n)])


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    found = Archive(tmp_path, BUNDLE)
    found.topic.write(messages(0, 20))
    return found


class Killed(BaseException):
    pass


def test_it_archives_what_is_there_and_goes_on(archive: Archive) -> None:
    archiver = archive.archiver()
    archiver.turn()
    assert archive.places() == archive.all_places()
    archive.topic.write(messages(20, 5))
    archiver.turn()
    archiver.turn()
    assert archive.places() == archive.all_places()
    assert (archiver.totals.rows, archiver.totals.commits, archiver.totals.records) == (25, 2, 25)


def test_a_restart_begins_where_the_table_says(archive: Archive) -> None:
    archive.archiver().turn()
    archive.topic.write(messages(20, 5))
    again = archive.archiver()
    again.turn()
    assert (archive.places(), again.totals.records) == (archive.all_places(), 5)


@pytest.mark.parametrize("step", ["polled", "written", "committed"])
def test_stopped_between_any_two_steps_loses_and_doubles_nothing(archive: Archive, step: str) -> None:
    def stop(name: str) -> None:
        if name == step:
            raise Killed

    with pytest.raises(Killed):
        archive.archiver(stop).turn()
    assert len(archive.places()) == (20 if step == "committed" else 0)
    archive.archiver().turn()
    assert archive.places() == archive.all_places()


def test_of_two_archivers_one_wins_and_the_other_keeps_what_is_new(archive: Archive) -> None:
    slow, quick = archive.archiver(commit_rows=1000), archive.archiver()
    slow.turn()
    quick.turn()  # 20 rows
    archive.topic.write(messages(20, 6))
    slow.turn()  # holds 26 rows, 20 of which are archived by now
    assert not slow.commit()
    assert slow.totals.conflicts == 1
    assert slow.commit()
    assert (slow.totals.rows, archive.places()) == (6, archive.all_places())
    quick.turn()
    quick.commit()
    assert (quick.totals.rows, archive.places()) == (20, archive.all_places())


def test_without_the_versions_rows_would_be_doubled(archive: Archive) -> None:
    one, other = archive.archiver(), archive.archiver()
    one.turn()
    versions = other._store.versions(other._source.partitions)
    other._known |= {partition: version or 0 for partition, version in versions.items()}
    other.turn()
    assert len(archive.places()) == 40


def test_a_table_that_was_made_anew_gets_every_row_again(archive: Archive) -> None:
    archiver = archive.archiver()
    archiver.turn()
    shutil.rmtree(archive.uri)
    archive.store()
    archive.topic.write(messages(20, 2))
    archiver.turn()
    assert (archiver.totals.conflicts, archive.places()) == (1, [])
    archiver.turn()
    assert archive.places() == archive.all_places()


def test_rows_wait_for_company_or_for_their_time(archive: Archive) -> None:
    archiver = archive.archiver(commit_rows=25)
    archiver.turn()
    assert archive.places() == []
    archive.topic.write(messages(20, 5))
    archiver.turn()
    assert len(archive.places()) == 25
    archive.topic.write(messages(25, 1))
    late = archive.archiver(commit_rows=25, commit_s=0)
    late.turn()
    assert archive.places() == archive.all_places()


def test_foreign_records_are_passed_over_and_not_read_for_ever(archive: Archive) -> None:
    archive.topic.write([Message(TOPIC, None, b"{")])
    archive.topic.write(messages(20, 3))
    archiver = archive.archiver()
    archiver.turn()
    assert (archiver.totals.passed_over, len(archive.places())) == (1, 23)
    again = archive.archiver()
    again.turn()
    assert again.totals.records == 0


def test_files_are_parted_by_the_day_of_the_event_and_say_their_range(archive: Archive) -> None:
    archive.archiver().turn()
    files = archive.table().live_files()
    assert sorted(file.partition[EVENT_DATE] or "" for file in files) == ["2013-11-30", "2013-12-01"]
    found = archive.table().to_pyarrow_dataset().to_table(filter=ds.field("at") == archive.rows()[0]["at"])
    assert found.num_rows == 10


def test_small_files_are_merged_and_archiving_goes_on(archive: Archive) -> None:
    archiver = archive.archiver(compact_commits=3)
    for i in range(3):
        archiver.turn()
        archive.topic.write(messages(20 + i, 2))
    before = archive.places()
    assert {file.is_merged for file in archive.table().live_files()} == {True}
    assert len(archive.table().live_files()) == 2
    archiver.turn()
    assert archive.places() == archive.all_places() != before


def test_another_table_is_not_written_to(archive: Archive) -> None:
    archive.archiver().turn()
    with pytest.raises(OutputTableError):
        Archive(archive.folder, numbers(features=NARROW), topic=archive.topic).archiver()


def test_the_offsets_are_told_with_the_commit(archive: Archive) -> None:
    archive.archiver().turn()
    (entry, *_) = archive.table().history()
    assert entry["scoretrail.archived"] == '{"predictions/0":[null,10],"predictions/1":[null,10]}'
    assert archive.store().versions([Partition(TOPIC, 0), Partition(TOPIC, 7)]) == {
        Partition(TOPIC, 0): 10,
        Partition(TOPIC, 7): None,
    }


NARROW = b"""
import pyarrow as pa

from scoretrail.feature import FeatureView, Request

view = FeatureView(
    name="narrow", entity_key="key", event_time="when", request=[Request("ratio", pa.float32())], inputs=["ratio"]
)
"""
