"""A run from files to a published table, whatever the input's layout; and the run after it."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from jobs.batch.spark.engine import SparkEngine
from scoretrail.config import SparkSettings
from scoretrail.digest import of_bytes
from scoretrail.model.bundle import open_bundle
from scoretrail.scoring import score_batch
from tests.factory.driver import Driver
from tests.factory.workshop import CHALLENGER, Workshop, bits_by_key, records

DAYS = ("2013-12-01", "2013-12-02", "2013-12-03")


def expected_bits(shop: Workshop, table: pa.Table, model: str) -> dict[str, bytes]:
    """Return what the scoring of one batch in this process gives, by parcel."""
    bundle = open_bundle(shop.bundle(model).files)
    scored, rejected = score_batch(bundle, table.combine_chunks().to_batches()[0])
    assert not len(rejected.rows)
    keys = scored.entity_key.to_pylist()
    return dict(zip(keys, (value.tobytes() for value in np.asarray(scored.score)), strict=True))


def test_days_are_scored_and_carry_their_trail(shop: Workshop) -> None:
    shop.write_days(DAYS, rows=50, files=2)
    run = shop.score(command="scoretrail batch score …")
    rows = shop.rows()
    assert (run.status, run.rows["in"], run.rows["scored"], run.rows["rejected"]) == ("published", 300, 300, 0)
    assert run.files == {"scored": 6, "skipped": 0, "removed": 0}
    assert bits_by_key(rows) == expected_bits(shop, records(300), "models:/parcel@champion")
    days = [path.split("/")[0].removeprefix("ds=") for path in rows["source_path"].to_pylist()]
    assert rows["ds"].to_pylist() == days
    assert rows["source_row"].to_pylist() == list(range(50)) * 6
    bundle = shop.bundle()
    one_value = {
        "model_name": "parcel",
        "model_version": "1.0.0",
        "role": "champion",
        "model_sha256": bundle.manifest.files["model.onnx"],
        "bundle_sha256": bundle.digest,
        "run_id": run.run_id,
    }
    for column, value in one_value.items():
        assert set(rows[column].to_pylist()) == {value}, column
    digests = {path: of_bytes((shop.input / path).read_bytes()) for path in set(rows["source_path"].to_pylist())}
    assert rows["data_sha256"].to_pylist() == [digests[path] for path in rows["source_path"].to_pylist()]
    assert rows["parcel_id"].to_pylist() == records(300)["parcel_id"].to_pylist()
    assert rows["sent_at"].to_pylist() == records(300)["sent_at"].to_pylist()


@pytest.mark.parametrize(
    ("paths", "partition", "slices"),
    [
        (("a.parquet", "deeper/b.parquet"), [], [""]),
        (("ds=1/a.parquet", "ds=2/b.parquet"), ["ds"], ["ds=1", "ds=2"]),
        (("ds=1/hour=0/a.parquet", "ds=1/hour=1/b.parquet"), ["ds", "hour"], ["ds=1/hour=0", "ds=1/hour=1"]),
        (("ds=2013-12-01%2005%3A00/a.parquet",), ["ds"], ["ds=2013-12-01%2005%3A00"]),
    ],
    ids=["unpartitioned", "days", "nested", "percent-encoded"],
)
def test_layouts(shop: Workshop, paths: tuple[str, ...], partition: list[str], slices: list[str]) -> None:
    for i, path in enumerate(paths):
        shop.write(path, records(20, i * 20))
    run = shop.score()
    assert run.input["slices"] == slices
    assert [name for name, _ in shop.table().partitions] == partition
    assert bits_by_key(shop.rows()) == expected_bits(shop, records(20 * len(paths)), "models:/parcel@champion")
    if "%" in paths[0]:
        assert set(shop.rows()["ds"].to_pylist()) == {"2013-12-01 05:00"}


def test_what_is_no_data_is_left_alone(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", records(10))
    no_data = ("_SUCCESS", "ds=1/.a.parquet.crc", "ds=1/_temporary/0.parquet", "ds=1/notes.txt", "_old/ds=1/a.parquet")
    for path in no_data:
        target = shop.input / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"no data")
    assert shop.score().rows["in"] == 10


def test_several_row_groups_keep_their_physical_rows(shop: Workshop) -> None:
    shop.write("a.parquet", records(1000), row_group_size=300)
    shop.score(settings={"batch.batch_rows": 128})
    rows = shop.rows()
    assert rows["source_row"].to_pylist() == list(range(1000))
    assert rows["parcel_id"].to_pylist() == records(1000)["parcel_id"].to_pylist()


def test_a_second_run_scores_nothing_and_starts_no_spark(shop: Workshop) -> None:
    shop.write_days(DAYS)
    first = shop.score()
    before = shop.table().version
    idle = SparkEngine(SparkSettings(master="local[2]"), "never started")
    shop.engine = idle
    again = shop.score()
    assert (again.status, again.rows["skipped"], again.rows["scored"]) == ("unchanged", 120, 0)
    assert again.run_id != first.run_id
    assert shop.table().version == before
    assert not idle.has_started


def test_a_second_run_in_a_process_of_its_own_does_not_even_load_spark(shop: Workshop) -> None:
    shop.write_days(DAYS)
    shop.score()
    code, answer = Driver(shop, engine="spark").finish()
    assert (code, answer["status"], answer["pyspark"]) == (0, "unchanged", False)


def test_one_changed_file_among_a_hundred(shop: Workshop) -> None:
    for i in range(100):
        shop.write(f"ds=2013-12-{i % 10 + 1:02d}/{i:03d}.parquet", records(5, i * 5))
    shop.score()
    before, version = shop.live_paths(), shop.table().version
    shop.write("ds=2013-12-08/007.parquet", records(5, 5000))
    run = shop.score()
    after = shop.live_paths()
    assert run.files == {"scored": 1, "skipped": 99, "removed": 1}
    assert version is not None
    assert shop.table().version == version + 1
    assert (len(before - after), len(after - before)) == (1, 1)
    kept = [i for i in range(500) if i // 5 != 7]
    everything = pa.concat_tables([records(500).take(kept), records(5, 5000)])
    assert bits_by_key(shop.rows()) == expected_bits(shop, everything, "models:/parcel@champion")


def test_an_added_file_is_added(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", records(10))
    shop.score()
    shop.write("ds=1/b.parquet", records(10, 10))
    shop.write("ds=2/c.parquet", records(10, 20))
    run = shop.score()
    assert run.files == {"scored": 2, "skipped": 1, "removed": 0}
    assert shop.rows().num_rows == 30


def test_identical_files_are_two_files(shop: Workshop) -> None:
    for path in ("ds=1/a.parquet", "ds=1/b.parquet", "ds=2/a.parquet"):
        shop.write(path, records(10))
    shop.score()
    rows = shop.rows()
    assert rows.num_rows == 30
    assert len(set(rows["work_key"].to_pylist())) == 3
    assert len(set(rows["data_sha256"].to_pylist())) == 1
    assert shop.score().status == "unchanged"


def test_cached_digests_are_believed_until_told_otherwise(shop: Workshop) -> None:
    def as_many_bytes(start: int) -> Path:
        table = records(10, start, carrier=None, speed=None)
        return shop.write("a.parquet", table, compression="none", use_dictionary=False)

    path = as_many_bytes(0)
    shop.score()
    stat = path.stat()
    as_many_bytes(10)
    assert path.stat().st_size == stat.st_size, "the size must not betray the change, or the test shows nothing"
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert shop.score().status == "unchanged"
    assert shop.score(rehash=True).files["scored"] == 1
    assert shop.rows()["parcel_id"].to_pylist() == records(10, 10)["parcel_id"].to_pylist()


def test_dry_run_tells_and_writes_nothing_but_digests(shop: Workshop) -> None:
    shop.write_days(DAYS[:2])
    plan = shop.dry_run()
    assert plan.files_to_score == ("ds=2013-12-01/0.parquet", "ds=2013-12-02/0.parquet")
    assert (plan.slices, plan.rows_to_score, plan.files_skipped) == (("ds=2013-12-01", "ds=2013-12-02"), 80, 0)
    written = [path for path in Path(shop.output).rglob("*") if path.is_file()]
    assert {path.parent.name for path in written} == {"cache"}
    shop.score()
    files = {path for path in Path(shop.output).rglob("*") if path.is_file()}
    shop.write("ds=2013-12-02/0.parquet", records(30, 500))
    (shop.input / "ds=2013-12-01" / "0.parquet").unlink()
    plan = shop.dry_run()
    assert (plan.files_to_score, plan.rows_to_score) == (("ds=2013-12-02/0.parquet",), 30)
    assert (len(plan.files_to_remove), plan.rows_to_remove) == (2, 80)
    assert {path for path in Path(shop.output).rglob("*") if path.is_file()} == files


def test_the_record_says_what_was_done(shop: Workshop) -> None:
    shop.write_days(DAYS[:2])
    at = datetime(2013, 12, 5, 6, tzinfo=UTC)
    run = shop.score(settings={"clock.fixed_at": at.isoformat()}, command="score it")
    stored = json.loads((Path(shop.output) / "_scoretrail" / run.run_id / "run.json").read_bytes())
    assert shop.store().find(run.run_id) == run
    assert (stored["command"], stored["started_at"]) == ("score it", "2013-12-05T06:00:00.000000Z")
    assert run.run_id.startswith("20131205T060000-")
    assert stored["settings"]["batch"]["split_mib"] == 128
    assert stored["model"]["score_digest"] == shop.bundle().manifest.score_digest
    assert stored["environment"]["onnxruntime"]
    assert stored["seconds"].keys() >= {"plan", "score", "publish", "total"}
    assert len(stored["work"]) == 2
    assert [scope["guard"] for scope in stored["scopes"].values()] == [0, 0]
    newest = shop.table().history(1)[0]
    assert newest["scoretrail.run_id"] == run.run_id
    assert newest["scoretrail.messages_sha256"] == run.output["messages_sha256"]
    assert newest["scoretrail.bundle_sha256"] == run.model["bundle_sha256"]
    assert set(shop.rows()["scored_at"].to_pylist()) == {at}


def test_a_patch_version_rescores_nothing(shop: Workshop) -> None:
    shop.write_days(DAYS)
    shop.score("models:/parcel/1.0.0")
    run = shop.score("models:/parcel/1.0.1")
    assert (run.status, run.rows["skipped"]) == ("unchanged", 120)
    assert set(shop.rows()["model_version"].to_pylist()) == {"1.0.0"}


def test_a_minor_version_rescores_everything(shop: Workshop) -> None:
    shop.write_days(DAYS)
    shop.score("models:/parcel/1.0.0")
    run = shop.score("models:/parcel/1.1.0")
    assert (run.rows["scored"], run.rows["removed"], run.files["removed"]) == (120, 120, 3)
    assert set(shop.rows()["model_version"].to_pylist()) == {"1.1.0"}


def test_champion_and_challenger_stand_side_by_side(shop: Workshop) -> None:
    shop.write_days(DAYS[:2])
    shop.score()
    champion = shop.live_paths()
    run = shop.score(CHALLENGER)
    assert run.files["removed"] == 0
    assert champion < shop.live_paths()
    rows = shop.rows()
    for role, version in (("champion", "1.0.0"), ("challenger", "2.0.0")):
        chosen = rows.filter(pc.equal(rows["role"], role))
        assert set(chosen["model_version"].to_pylist()) == {version}
        assert bits_by_key(chosen) == expected_bits(shop, records(80), f"models:/parcel@{role}")
    shop.write("ds=2013-12-01/0.parquet", records(40, 900))
    shop.score()
    assert shop.rows().num_rows == 160
    assert shop.score(CHALLENGER).files == {"scored": 1, "skipped": 1, "removed": 1}
