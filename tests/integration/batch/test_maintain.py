"""Compaction and vacuum: the rows and the trail stay as they are, and later runs still know what is live."""

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from jobs.batch.output import maintain
from jobs.batch.output.maintain import compact, vacuum
from jobs.batch.output.merge import merge_files
from scoretrail.errors import ConflictError, HeldError, RejectLimitError
from scoretrail.table import OutputTable
from scoretrail.trail.run import OutputFile
from tests.factory.workshop import CHALLENGER, Workshop, records, with_values

LATER = timedelta(days=2)


def merge(table: OutputTable, target_bytes: int = 2**20) -> tuple[int, int]:
    return compact(table, target_bytes=target_bytes, row_group_rows=1000, options={})


def clean(table: OutputTable, days: int = 400, now: datetime | None = None, *, dry_run: bool = False) -> list[str]:
    return vacuum(table, retention_days=days, options={}, now=now or datetime.now(UTC) + LATER, dry_run=dry_run)


def test_rows_are_the_same_before_and_after(shop: Workshop) -> None:
    shop.write_days(("1", "2"), files=4)
    shop.score()
    shop.score(CHALLENGER)
    before = shop.rows()
    assert merge(shop.table()) == (16, 4)
    assert shop.rows().equals(before)
    assert len(shop.live_paths()) == 4
    assert all(Path(path).name.startswith("merged-") for path in shop.live_paths())
    assert merge(shop.table()) == (0, 0)


def test_the_next_runs_skip_everything(shop: Workshop) -> None:
    shop.write_days(("1", "2"), files=3)
    shop.score()
    shop.score(CHALLENGER)
    merge(shop.table())
    version = shop.table().version
    for model in ("models:/parcel@champion", CHALLENGER):
        assert (shop.score(model).status, shop.score(model).rows["skipped"]) == ("unchanged", 240)
    assert shop.table().version == version


def test_a_later_change_of_one_file_scores_the_merged_files_again(shop: Workshop) -> None:
    shop.write_days(("1", "2"), files=3)
    shop.score()
    merge(shop.table())
    shop.write("ds=1/1.parquet", records(40, 700))
    run = shop.score()
    assert (run.files["scored"], run.files["skipped"], run.rows["removed"]) == (3, 3, 120)
    expected = Counter(records(240)["parcel_id"].to_pylist())
    expected -= Counter(records(40, 40)["parcel_id"].to_pylist())
    expected += Counter(records(40, 700)["parcel_id"].to_pylist())
    assert Counter(shop.rows()["parcel_id"].to_pylist()) == expected
    assert shop.score().status == "unchanged"


def test_merged_files_are_merged_again(shop: Workshop) -> None:
    shop.write_days(("1",), files=2)
    shop.score()
    merge(shop.table())
    shop.write("ds=1/8.parquet", records(40, 320))
    assert shop.score().files == {"scored": 1, "skipped": 2, "removed": 0}
    assert merge(shop.table()) == (2, 1)
    assert (
        shop.rows()["parcel_id"].to_pylist()
        == records(80)["parcel_id"].to_pylist() + records(40, 320)["parcel_id"].to_pylist()
    )
    assert shop.score().status == "unchanged"


def test_a_key_whose_files_were_merged_in_part_is_scored_again_as_a_whole(shop: Workshop) -> None:
    # Partitioned by carrier, a file of the input has a file in each partition; only small ones merge.
    shop.write("a.parquet", records(400))
    shop.write("b.parquet", with_values("carrier", dict.fromkeys(range(40), "AIR"), 40, 400))
    shop.score(partition_by=("carrier",))
    sizes = sorted(file.size_bytes for file in shop.table().live_files() if file.partition["carrier"] == "AIR")
    assert merge(shop.table(), target_bytes=sum(sizes) + 1)[0] >= 2
    (shop.input / "b.parquet").unlink()
    run = shop.score(partition_by=("carrier",), allow_remove=True)
    assert run.files["scored"] == 1
    assert sorted(shop.rows()["parcel_id"].to_pylist()) == records(400)["parcel_id"].to_pylist()


def test_files_of_the_wanted_size_stay(shop: Workshop) -> None:
    shop.write_days(("1",), files=3)
    shop.score()
    largest = max(file.size_bytes for file in shop.table().live_files())
    assert merge(shop.table(), target_bytes=100) == (0, 0)
    assert merge(shop.table(), target_bytes=largest * 2 + 1)[0] == 2


@pytest.mark.parametrize("column", ["flag", "day", "at", "number", "text"])
def test_partition_values_of_every_type_survive(shop: Workshop, column: str) -> None:
    values = {
        "flag": pa.array([True, False, None] * 4),
        "day": pa.array([15_000, 16_000, None] * 4, pa.date32()),
        "at": pa.array([1_385_856_000_000_001, -1, None] * 4, pa.timestamp("us", tz="UTC")),
        "number": pa.array([1, -7, None] * 4, pa.int16()),
        "text": pa.array(["a b/c=d%20é", "plain", None] * 4, pa.large_string()).dictionary_encode(),
    }
    for i in range(2):
        shop.write(f"{i}.parquet", records(12, i * 12, **{column: values[column]}))
    shop.score(partition_by=(column,))
    expected = [None if value is None else value for value in values[column].to_pylist()] * 2
    assert shop.rows()[column].to_pylist() == expected
    assert merge(shop.table()) == (6, 3)
    assert shop.rows()[column].to_pylist() == expected
    assert shop.score(partition_by=(column,)).status == "unchanged"


def test_rejects_may_be_merged_and_still_follow_the_scores(shop: Workshop) -> None:
    for i in range(3):
        shop.write(f"ds=1/{i}.parquet", with_values("weight_kg", {i: -1.0}, 50, i * 50))
    shop.score()
    before = shop.rejects()
    assert merge(shop.rejects_table()) == (3, 1)
    assert shop.rejects().equals(before)
    assert shop.score().status == "unchanged"
    assert shop.rejects().equals(before)
    shop.write("ds=1/1.parquet", with_values("weight_kg", {7: -1.0, 8: None}, 50, 50))
    shop.score()
    places = list(zip(shop.rejects()["source_path"].to_pylist(), shop.rejects()["source_row"].to_pylist(), strict=True))
    assert places == [("ds=1/0.parquet", 0), ("ds=1/1.parquet", 7), ("ds=1/1.parquet", 8), ("ds=1/2.parquet", 2)]


def test_a_run_that_publishes_meanwhile_wins(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write_days(("1",), files=2)
    shop.score()

    def slowly(*arguments: Any, **options: Any) -> OutputFile:
        merged = merge_files(*arguments, **options)
        shop.write("ds=1/0.parquet", records(40, 700))
        shop.score()
        return merged

    monkeypatch.setattr(maintain, "merge_files", slowly)
    with pytest.raises(ConflictError):
        merge(shop.table())
    expected = records(40, 700)["parcel_id"].to_pylist() + records(40, 40)["parcel_id"].to_pylist()
    assert shop.rows()["parcel_id"].to_pylist() == expected
    monkeypatch.undo()
    assert merge(shop.table()) == (2, 1)  # the ledger entry of the merge that lost does no harm
    assert shop.score().status == "unchanged"


def test_vacuum_spares_what_is_live_and_what_the_retention_keeps(shop: Workshop) -> None:
    shop.write_days(("1", "2"))
    shop.score("models:/parcel/1.0.0")
    shop.score("models:/parcel/1.1.0")
    live = shop.live_paths()
    assert clean(shop.table()) == []
    gone = clean(shop.table(), days=0, dry_run=True)
    there = {str(path.relative_to(shop.output)) for path in Path(shop.output).rglob("*.parquet")}
    there -= {path for path in there if path.startswith("_")}
    assert set(gone) == there - live
    assert clean(shop.table(), days=0) == gone
    assert shop.rows().num_rows == 80
    assert not any((Path(shop.output) / path).exists() for path in gone)


def test_vacuum_removes_old_orphans_and_no_young_ones(shop: Workshop) -> None:
    shop.write_days(("1",))
    shop.score()
    [live] = shop.live_paths()
    orphan = Path(shop.output) / live.replace("-0-", "-1-")
    orphan.write_bytes(b"an attempt that was killed")
    beside = Path(shop.output) / "ds=1" / "notes.txt"
    beside.write_text("not ours")
    assert clean(shop.table(), now=datetime.now(UTC)) == []
    assert clean(shop.table()) == [str(orphan.relative_to(shop.output))]
    assert (orphan.exists(), beside.exists(), shop.rows().num_rows) == (False, True, 40)


def test_vacuum_spares_held_unfinished_and_refused_runs(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.batch.publication import publish

    shop.write("ds=1/a.parquet", with_values("weight_kg", {0: -1.0}, 30))
    with pytest.raises(HeldError):
        shop.score(hold=True, run_id="held")
    with pytest.raises(RejectLimitError):
        shop.score(settings={"batch.max_reject_ratio": 0.0}, run_id="refused")
    with monkeypatch.context() as patched:
        patched.setattr(publish, "publish", _die)
        with pytest.raises(KeyboardInterrupt):
            shop.score(run_id="unfinished")
    files = sorted(path for table in (shop.output, f"{shop.output}_rejects") for path in Path(table).rglob("part-*"))
    assert len(files) == 6
    for path in files:
        os.utime(path, (0, 0))
    for table in (shop.table(), shop.rejects_table()):
        assert clean(table, days=0) == []
    assert shop.score(run_id="unfinished").status == "published"
    assert {row["run_id"] for row in shop.rejects().to_pylist()} == {"unfinished"}


def test_time_travel_works_within_the_retention(shop: Workshop) -> None:
    shop.write_days(("1",))
    shop.score("models:/parcel/1.0.0")
    version = shop.table().version
    assert version is not None
    shop.score("models:/parcel/1.1.0")
    merge(shop.table())
    clean(shop.table())
    before = shop.table().at(version).to_pyarrow_dataset().to_table()
    assert set(before["model_version"].to_pylist()) == {"1.0.0"}
    assert pc.count(before["score"]).as_py() == 40


def _die(*_: object) -> None:
    raise KeyboardInterrupt
