"""Publishing to a real Delta table in a temporary folder."""

import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from scoretrail import table as module
from scoretrail.errors import ConflictError, ExitCode, OutputTableError, StorageError
from scoretrail.table import OutputTable
from scoretrail.trail.output import LiveFile, file_name
from scoretrail.trail.run import OutputFile

SCOPE, OTHER = "0" * 12, "f" * 12
SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), metadata={"comment": "who"}),
        pa.field("at", pa.timestamp("us", tz="UTC"), metadata={"comment": "when"}),
        pa.field("ds", pa.string(), metadata={"comment": "day"}),
    ]
)


@pytest.fixture
def table(tmp_path: Path) -> OutputTable:
    made = OutputTable(str(tmp_path / "t"))
    made.create(SCHEMA, ["ds"], "tests", 400, "at")
    return made


def add(table: OutputTable, number: int = 0, scope: str = SCOPE, day: str | None = "1", rows: int = 2) -> OutputFile:
    """Write a file below the table, and return what a message would say of it."""
    path = f"ds={day}/{file_name(scope, f'{number:064x}'[::-1], 0, 'deadbeef')}"
    target = Path(table.uri) / path
    target.parent.mkdir(exist_ok=True)
    at = pa.array([datetime(2013, 12, 1, tzinfo=UTC)] * rows, pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({"key": [f"k{number}"] * rows, "at": at}), target)
    stats = (
        f'{{"numRecords":{rows},"nullCount":{{"at":0}},"minValues":{{"at":"2013-12-01T00:00:00.000Z"}},'
        '"maxValues":{"at":"2013-12-01T00:00:00.000Z"}}'
    )
    return OutputFile(path, target.stat().st_size, "a" * 64, rows, {"ds": day}, stats)


def commit(table: OutputTable, *adds: OutputFile, removes: Any = (), **guard: int) -> int:
    versions = {SCOPE if name == "scope" else OTHER: version for name, version in guard.items()}
    return table.commit(
        adds=adds, removes=removes, guard=versions, metadata={module.RUN_ID: f"run{sorted(guard.items())}"}
    )


def test_there_is_no_table_until_it_is_made(tmp_path: Path) -> None:
    table = OutputTable(str(tmp_path / "t"))
    assert (table.exists, table.version, table.live_files(), table.history()) == (False, None, [], [])
    assert (table.scope_versions([SCOPE]), table.version_of_run("r1")) == ({SCOPE: 0}, None)
    with pytest.raises(OutputTableError, match="there is no table here"):
        table.to_pyarrow_dataset()


def test_a_table_states_its_columns_comments_and_retention(table: OutputTable) -> None:
    delta = DeltaTable(table.uri)
    assert (table.exists, table.version) == (True, 0)
    assert table.partitions == (("ds", pa.string()),)
    assert table.column_comments() == {"key": "who", "at": "when", "ds": "day"}
    assert (delta.metadata().name, delta.metadata().description) == ("scoretrail", "tests")
    assert delta.metadata().configuration["delta.logRetentionDuration"] == "interval 400 days"
    assert table.stats_column == "at"
    assert table.check(SCHEMA, ["ds"]) == []


def test_a_table_that_somebody_made_meanwhile_is_taken(table: OutputTable) -> None:
    late = OutputTable(table.uri)
    late.create(SCHEMA, ["ds"], "another description", 1, None)
    assert DeltaTable(table.uri).metadata().description == "tests"
    assert (late.exists, late.stats_column) == (True, "at")


def test_a_rejects_table_knows_where_its_runs_records_lie(tmp_path: Path, table: OutputTable) -> None:
    rejects = OutputTable(str(tmp_path / "r"))
    rejects.create(SCHEMA, [], "rejects", 400, None, table.uri)
    assert (rejects.trail_uri, rejects.stats_column) == (table.uri, None)
    assert table.trail_uri == table.uri


def test_a_commit_swaps_files_and_raises_the_guards(table: OutputTable) -> None:
    first, second = add(table, 1), add(table, 2, day=None)
    assert commit(table, first, second, scope=0) == 1
    assert table.scope_versions([SCOPE, OTHER]) == {SCOPE: 1, OTHER: 0}
    live = {file.path: file for file in table.live_files()}
    assert live[first.path] == LiveFile(
        first.path, SCOPE, "1000000000000000", "deadbeef", False, 2, first.size_bytes, {"ds": "1"}
    )
    assert live[second.path].partition == {"ds": None}
    third = add(table, 3)
    assert commit(table, third, removes=[live[first.path]], scope=1, other=0) == 2
    assert {file.path for file in table.live_files()} == {second.path, third.path}
    assert sorted(set(table.to_pyarrow_dataset().to_table()["key"].to_pylist())) == ["k2", "k3"]
    assert table.scope_versions([SCOPE, OTHER]) == {SCOPE: 2, OTHER: 1}
    assert table.superseded_files(0) == [first.path]
    assert table.superseded_files(24) == []


def test_runs_are_found_by_what_their_commit_says(table: OutputTable) -> None:
    commit(table, add(table, 1), scope=0)
    commit(table, add(table, 2), scope=1)
    assert table.version_of_run("run[('scope', 0)]") == 1
    assert table.version_of_run("run[('scope', 1)]") == 2
    assert table.version_of_run("another") is None
    assert table.history(1)[0][module.RUN_ID] == "run[('scope', 1)]"


def test_an_earlier_version_can_be_looked_at(table: OutputTable) -> None:
    file = add(table, 1)
    commit(table, file, scope=0)
    before = table.at(0)
    assert (before.version, before.live_files(), before.scope_versions([SCOPE])) == (0, [], {SCOPE: 0})
    assert [one.path for one in table.at(1).live_files()] == [file.path]
    with pytest.raises(StorageError, match="cannot be read") as caught:
        table.at(9)
    assert str(caught.value.where).endswith("version 9")


def test_a_stale_guard_is_a_conflict_even_into_an_empty_scope(table: OutputTable) -> None:
    stale = OutputTable(table.uri)
    commit(table, add(table, 1), scope=0)
    with pytest.raises(ConflictError, match="another run published into the same scope") as caught:
        commit(stale, add(table, 2), scope=0)
    assert caught.value.exit_code is ExitCode.RETRY
    assert len(table.live_files()) == 1


def test_two_commits_at_once_into_an_empty_scope_have_one_winner(
    table: OutputTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have seen the guard at 0; then both commit."""
    meet = threading.Barrier(2)
    original = DeltaTable.create_write_transaction

    def together(self: DeltaTable, *arguments: Any, **options: Any) -> None:
        meet.wait(30)
        original(self, *arguments, **options)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", together)
    outcomes: list[object] = []

    def writer(number: int) -> None:
        try:
            outcomes.append(commit(OutputTable(table.uri), add(table, number), scope=0))
        except ConflictError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=writer, args=(i,)) for i in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(one).__name__ for one in outcomes) == ["ConflictError", "int"]
    table.reload()
    assert len(table.live_files()) == 1


def test_two_commits_at_once_into_two_scopes_both_stand(table: OutputTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Delta calls one of them a conflict; it is none of ours, and is tried again."""
    commit(table, add(table, 1), add(table, 2, OTHER), scope=0, other=0)
    live = {file.scope: file for file in table.live_files()}
    meet = threading.Barrier(2)
    original, calls = DeltaTable.create_write_transaction, []

    def together(self: DeltaTable, *arguments: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) <= 2:
            meet.wait(30)
        original(self, *arguments, **options)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", together)
    versions: list[int] = []

    def writer(name: str, scope: str, number: int) -> None:
        file = add(table, number, scope)
        versions.append(commit(OutputTable(table.uri), file, removes=[live[scope]], **{name: 1}))

    threads = [
        threading.Thread(target=writer, args=("scope", SCOPE, 3)),
        threading.Thread(target=writer, args=("other", OTHER, 4)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(versions) == [2, 3]
    table.reload()
    assert {file.key[0] for file in table.live_files()} == {"3", "4"}
    assert table.scope_versions([SCOPE, OTHER]) == {SCOPE: 2, OTHER: 2}


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[int]:
    calls: list[int] = []

    def fail(*_: object, **__: object) -> None:
        calls.append(1)
        raise error

    monkeypatch.setattr(DeltaTable, "create_write_transaction", fail)
    monkeypatch.setattr(module, "_COMMIT_PAUSE_S", 0.0)
    return calls


def test_a_commit_that_others_beat_again_and_again_is_a_conflict(
    table: OutputTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = add(table, 1)
    calls = failing(monkeypatch, CommitFailedError("a concurrent transaction"))
    with pytest.raises(ConflictError, match="other commits were faster") as caught:
        commit(table, file, scope=0)
    assert len(calls) == 20
    assert caught.value.got == "20 times; a concurrent transaction"


@pytest.mark.parametrize(
    "error", [DeltaError("Generic\n  \x1b[31m↳\x1b[0m No space left on device"), OSError("No space left")]
)
def test_a_commit_that_fails_otherwise_is_told_with_its_causes(
    table: OutputTable, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    file = add(table, 1)
    calls = failing(monkeypatch, error)
    with pytest.raises(StorageError, match="the commit failed") as caught:
        commit(table, file, scope=0)
    assert len(calls) == 1
    assert str(caught.value.got).endswith(
        "No space left on device" if isinstance(error, DeltaError) else "No space left"
    )
    assert "\x1b" not in str(caught.value.got)
    assert table.live_files() == []


def test_a_table_of_somebody_else_is_refused(tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "t"), pa.table({"key": ["a"]}))
    with pytest.raises(OutputTableError, match="was not made by Scoretrail") as caught:
        OutputTable(str(tmp_path / "t")).check(SCHEMA, ["ds"])
    assert caught.value.got == "a table named None"


@pytest.mark.parametrize("partition_by", [[], ["key"], ["ds", "key"]])
def test_other_partitions_are_refused(table: OutputTable, partition_by: list[str]) -> None:
    with pytest.raises(OutputTableError, match="partitioned in another way") as caught:
        table.check(SCHEMA, partition_by)
    assert (caught.value.expected, caught.value.got) == (", ".join(partition_by) or "no partitions", "ds")


def test_another_type_is_refused_but_not_another_kind_of_text(table: OutputTable) -> None:
    at = SCHEMA.get_field_index("key")
    assert table.check(SCHEMA.set(at, pa.field("key", pa.large_string())), ["ds"]) == []
    with pytest.raises(OutputTableError, match="column 'key' of the output table has another type"):
        table.check(SCHEMA.set(at, pa.field("key", pa.int64())), ["ds"])


def test_columns_that_would_stay_empty_are_refused(table: OutputTable) -> None:
    with pytest.raises(OutputTableError, match="columns that this run does not write") as caught:
        table.check(SCHEMA.remove(0), ["ds"])
    assert caught.value.got == "key"


def test_columns_of_other_classes_are_refused(table: OutputTable) -> None:
    with pytest.raises(OutputTableError, match="no columns for the classes"):
        table.check(SCHEMA.append(pa.field("score_late", pa.float64())), ["ds"])


def test_new_columns_come_last_with_their_comments(table: OutputTable) -> None:
    commit(table, add(table, 1), scope=0)
    wider = SCHEMA.append(pa.field("guard", pa.string(), metadata={"comment": "why"}))
    assert table.check(wider, ["ds"]) == ["guard"]
    table.add_columns(wider, ["guard"])
    assert table.check(wider, ["ds"]) == []
    assert table.column_comments() == {"key": "who", "at": "when", "ds": "day", "guard": "why"}
    assert table.to_pyarrow_dataset().to_table()["guard"].to_pylist() == [None, None]


def test_two_that_add_a_column_at_once(table: OutputTable) -> None:
    late = OutputTable(table.uri)
    wider = SCHEMA.append(pa.field("guard", pa.string()))
    table.add_columns(wider, ["guard"])
    with pytest.raises(ConflictError, match="columns cannot be added"):
        late.add_columns(wider, ["guard"])


def test_partition_values_of_every_type_come_back_as_the_log_writes_them(tmp_path: Path) -> None:
    values = {
        "flag": (pa.bool_(), "true", True),
        "day": (pa.date32(), "2013-12-01", date(2013, 12, 1)),
        "time": (pa.timestamp("us", tz="UTC"), "2013-12-01 05:00:00.000000", datetime(2013, 12, 1, 5, tzinfo=UTC)),
        "number": (pa.int16(), "-7", -7),
    }
    for name, (type_, text, value) in values.items():
        table = OutputTable(str(tmp_path / name))
        table.create(pa.schema([pa.field("key", pa.string()), pa.field(name, type_)]), [name], "tests", 400, None)
        path = f"x/{file_name(SCOPE, 'a' * 64, 0, 'deadbeef')}"
        (tmp_path / name / "x").mkdir()
        pq.write_table(pa.table({"key": ["a"]}), tmp_path / name / path)
        file = OutputFile(path, (tmp_path / name / path).stat().st_size, "a" * 64, 1, {name: text}, '{"numRecords":1}')
        commit(table, file, scope=0)
        assert table.live_files()[0].partition == {name: text}
        assert table.to_pyarrow_dataset().to_table()[name].to_pylist() == [value]


def test_a_place_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    table = OutputTable(str(tmp_path / "t"))
    table.uri = str(tmp_path / "file" / "t")
    with pytest.raises(StorageError, match="cannot be created"):
        table.create(SCHEMA, [], "tests", 400, None)
    broken = tmp_path / "broken" / "_delta_log"
    broken.mkdir(parents=True)
    (broken / "00000000000000000000.json").write_bytes(b"no json")
    with pytest.raises(StorageError, match="cannot be read"):
        OutputTable(str(tmp_path / "broken"))
