"""The rejects table follows the scored one, whoever died or lost a race in between."""

from collections.abc import Sequence
from typing import Any

import pytest

from jobs.batch.output.maintain import compact
from jobs.batch.publication.settlement import add_rejects, settle
from scoretrail.errors import ConflictError, HeldError
from scoretrail.table import OutputTable
from scoretrail.trail.run import WorkMessage
from tests.factory.workshop import Workshop, with_values


def messages_of(shop: Workshop, run_id: str) -> list[WorkMessage]:
    store = shop.store()
    return store.messages(run_id, sorted(store.work_keys(run_id)))


def held(shop: Workshop, run_id: str) -> list[WorkMessage]:
    """Score everything under another run id, and publish nothing of it."""
    with pytest.raises(HeldError):
        shop.score(run_id=run_id, hold=True)
    return messages_of(shop, run_id)


def put_right(shop: Workshop, messages: Sequence[WorkMessage] = ()) -> int | None:
    scopes = {file.scope for file in shop.table().live_files()}
    return settle(shop.table(), shop.rejects_table(), scopes, messages, {})


def runs_of_rejects(shop: Workshop) -> list[str]:
    return sorted(shop.rejects()["run_id"].to_pylist())


@pytest.fixture
def two(shop: Workshop) -> Workshop:
    """Run ``a`` is published with two rejects; run ``b`` scored the same and is held."""
    for i in range(2):
        shop.write(f"ds={i}/a.parquet", with_values("weight_kg", {i: -1.0}, 30, i * 30))
    held(shop, "b")
    shop.score(run_id="a")
    return shop


def test_where_all_is_right_nothing_is_committed(two: Workshop) -> None:
    version = two.rejects_table().version
    assert put_right(two) == version
    assert two.rejects_table().version == version


def test_without_a_rejects_table_there_is_nothing_to_do(shop: Workshop) -> None:
    shop.write("a.parquet", with_values("weight_kg", {}, 5))
    shop.score()
    assert put_right(shop) is None


def test_rejects_of_a_run_that_lost_the_race_go(two: Workshop) -> None:
    add_rejects(two.rejects_table(), messages_of(two, "b"), {})
    assert runs_of_rejects(two) == ["a", "a", "b", "b"]
    assert put_right(two) == two.rejects_table().version
    assert runs_of_rejects(two) == ["a", "a"]


def test_rejects_are_added_once(two: Workshop) -> None:
    for _ in range(2):
        add_rejects(two.rejects_table(), messages_of(two, "b"), {})
    assert runs_of_rejects(two) == ["a", "a", "b", "b"]


def test_only_the_scopes_that_were_asked_for_are_looked_at(two: Workshop) -> None:
    add_rejects(two.rejects_table(), messages_of(two, "b"), {})
    [scope, _] = sorted({file.scope for file in two.table().live_files()})
    settle(two.table(), two.rejects_table(), [scope], (), {})
    assert runs_of_rejects(two) == ["a", "a", "b"]


def test_rejects_that_another_run_took_for_left_over_come_back(two: Workshop) -> None:
    rejects = two.rejects_table()
    live = rejects.live_files()
    rejects.commit(adds=(), removes=live, guard=rejects.scope_versions({file.scope for file in live}), metadata={})
    assert two.rejects().num_rows == 0
    put_right(two, messages_of(two, "a"))
    assert runs_of_rejects(two) == ["a", "a"]


def test_two_attempts_at_one_key_are_not_merged(shop: Workshop) -> None:
    """In one file their rows could not be told apart."""
    for i in range(4):
        shop.write(f"ds=1/{i}.parquet", with_values("weight_kg", {i: -1.0}, 30, i * 30))
    lost = held(shop, "b")
    shop.score(run_id="a")
    add_rejects(shop.rejects_table(), lost[:1], {})
    assert compact(shop.rejects_table(), target_bytes=2**20, row_group_rows=100, options={}) == (3, 1)
    assert runs_of_rejects(shop) == ["a", "a", "a", "a", "b"]
    put_right(shop)
    assert runs_of_rejects(shop) == ["a", "a", "a", "a"]


def test_a_merged_file_loses_only_the_rows_that_do_not_count(shop: Workshop) -> None:
    for i in range(3):
        shop.write(f"ds=1/{i}.parquet", with_values("weight_kg", {i: -1.0}, 30, i * 30))
    shop.score(run_id="a")
    shop.write("ds=1/0.parquet", with_values("weight_kg", {9: -1.0}, 30, 500))
    pending = held(shop, "b")
    add_rejects(shop.rejects_table(), pending, {})
    assert compact(shop.rejects_table(), target_bytes=2**20, row_group_rows=100, options={}) == (4, 1)
    assert runs_of_rejects(shop) == ["a", "a", "a", "b"]
    put_right(shop)
    assert runs_of_rejects(shop) == ["a", "a", "a"]
    assert put_right(shop) == shop.rejects_table().version


def test_after_the_scores_were_merged_their_attempts_are_still_known(two: Workshop) -> None:
    for i in range(2):
        two.write(f"ds={i}/b.parquet", with_values("weight_kg", {7: -1.0}, 30, 100 + i * 30))
    two.score(run_id="c")
    compact(two.table(), target_bytes=2**20, row_group_rows=100, options={})
    add_rejects(two.rejects_table(), messages_of(two, "b"), {})
    put_right(two)
    assert runs_of_rejects(two) == ["a", "a", "c", "c"]


def test_a_run_that_died_between_its_commits_is_undone_by_the_next(
    two: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = two.rejects()
    two.write("ds=0/a.parquet", with_values("weight_kg", {5: -1.0}, 30, 200))

    original, commits = OutputTable.commit, []

    def die_at_the_second(*arguments: Any, **options: Any) -> int:
        commits.append(1)
        if len(commits) == 2:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(OutputTable, "commit", die_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            two.score(run_id="d")
    assert "d" in runs_of_rejects(two)
    two.write("ds=0/a.parquet", with_values("weight_kg", {0: -1.0}, 30, 0))  # as it was
    assert two.score().status == "unchanged"
    assert two.rejects().equals(before)


def test_two_writers_of_rejects_at_once_are_a_conflict(two: Workshop) -> None:
    mine, theirs = two.rejects_table(), two.rejects_table()
    messages = messages_of(two, "b")
    guard = mine.scope_versions({message.scope for message in messages})
    add_rejects(theirs, messages, {})
    with pytest.raises(ConflictError):
        mine.commit(adds=[file for one in messages for file in one.rejects], removes=(), guard=guard, metadata={})
