"""Where a group begins, and what its commits say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from jobs.stream.loop.position import Mark, alias_of, ensure_start, start_of
from jobs.stream.port import Committed, Partition
from scoretrail.errors import ExitCode, OffsetError, StaleGroupError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

P0, P1 = Partition("events", 0), Partition("events", 1)
AT = datetime(2013, 12, 2, tzinfo=UTC)


class Group:
    """A group of two partitions that hold the offsets 10 to 20; partition 1 has nothing since the time asked for."""

    def __init__(self, *, committed: Mapping[Partition, int], at_work: bool = False) -> None:
        self.found = {partition: Committed(offset, "") for partition, offset in committed.items()}
        self.at_work = at_work
        self.faster: dict[Partition, Committed] = {}

    def partitions(self, topics: Collection[str]) -> list[Partition]:
        return [P0, P1]

    def committed(self, partitions: Collection[Partition]) -> dict[Partition, Committed]:
        return {p: self.found[p] for p in partitions if p in self.found}

    def first(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(partitions, 10)

    def end(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(partitions, 20)

    def at(self, partitions: Collection[Partition], time_ms: int) -> dict[Partition, int | None]:
        assert time_ms == 1_385_942_400_000
        return {partition: 15 if partition == P0 else None for partition in partitions}

    def commit(self, offsets: Mapping[Partition, Committed]) -> None:
        if self.at_work:
            self.found |= self.faster
            raise StaleGroupError("the group has members")
        self.found |= offsets


@pytest.mark.parametrize(
    ("start", "expected"), [("earliest", {P0: 10, P1: 10}), ("latest", {P0: 20, P1: 20}), (AT, {P0: 15, P1: 20})]
)
def test_a_group_without_commits_begins_where_it_is_told(start: object, expected: dict[Partition, int]) -> None:
    group = Group(committed={})
    assert ensure_start(group, ["events"], start, "g") == expected  # type: ignore[arg-type]
    assert {partition: found.offset for partition, found in group.found.items()} == expected


def test_what_is_committed_stays() -> None:
    group = Group(committed={P0: 17})
    assert ensure_start(group, ["events"], "earliest", "g") == {P1: 10}
    assert group.found[P0].offset == 17
    assert ensure_start(group, ["events"], None, "g") == {}


def test_nothing_is_guessed() -> None:
    with pytest.raises(OffsetError, match="--from earliest") as raised:
        ensure_start(Group(committed={P0: 17}), ["events"], None, "g")
    assert raised.value.exit_code is ExitCode.CONFIGURATION
    assert raised.value.where == "events/1"


def test_a_worker_that_was_faster_is_right() -> None:
    group = Group(committed={}, at_work=True)
    group.faster = {P0: Committed(3, ""), P1: Committed(3, "")}
    assert ensure_start(group, ["events"], "latest", "g") == {}


def test_partitions_that_were_added_while_the_group_is_at_work_need_a_stop() -> None:
    with pytest.raises(OffsetError, match="stop the group's workers"):
        ensure_start(Group(committed={P0: 1}, at_work=True), ["events"], "earliest", "g")


@pytest.mark.parametrize("text", ["yesterday", "2013-12-02T00:00:00", ""])
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no place to begin"):
        start_of(text)


@pytest.mark.parametrize("metadata", ["", "{", "[]", '{"alias_no":"x"}', "null", '{"slot":"0"}'])
def test_metadata_of_others_holds_nothing_back(metadata: str) -> None:
    assert alias_of(Committed(1, metadata)) == 0


def test_a_mark_reads_back_and_is_small() -> None:
    text = Mark(999_999, "f" * 16, "s" * 60).to_text()
    assert alias_of(Committed(1, text)) == 999_999
    assert len(text) < 200
