"""``runs reproduce``: the same bits again from the trail alone, and every difference told."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.batch.audit.reproduce import Reproduction, reproduce
from jobs.batch.output.maintain import compact
from jobs.progress import SilentProgress
from scoretrail.errors import BundleError, TrailError
from scoretrail.table import OutputTable
from tests.factory.registered import open_registry
from tests.factory.workshop import CHALLENGER, CHAMPION, Workshop, records, with_values


def again(shop: Workshop, run_id: str = "r1", **options: object) -> Reproduction:
    registry, settings = open_registry(shop.registry), shop.resolved().settings
    return reproduce(shop.table(), run_id, registry, settings, SilentProgress(), **options)  # type: ignore[arg-type]


@pytest.fixture
def published(shop: Workshop) -> Workshop:
    """Three files, one row refused and some left out by a condition, scored as ``r1``."""
    shop.write("ds=1/a.parquet", with_values("weight_kg", {3: -1.0}, 300))
    shop.write("ds=1/b.parquet", records(200, 300))
    shop.write("ds=2/c.parquet", records(100, 500))
    shop.score(where="n_items > 2", run_id="r1")
    return shop


@pytest.mark.parametrize("model", [CHAMPION, CHALLENGER], ids=["linear", "trees"])
@pytest.mark.parametrize("settings", [{}, {"batch.batch_rows": 7}], ids=["as by default", "small batches"])
def test_every_bit_comes_out_again(shop: Workshop, model: str, settings: dict[str, int]) -> None:
    shop.write("ds=1/a.parquet", with_values("weight_kg", {3: -1.0, 77: None}, 1000))
    shop.score(model, settings=settings, run_id="r1")
    result = again(shop)
    assert (result.rows, result.equal, result.different, result.files) == (1000, 1000, 0, 1)
    assert (result.expired, result.differences) == ([], [])


def test_rows_that_a_condition_left_out_stay_out(published: Workshop) -> None:
    kept = sum(items > 2 for items in records(600)["n_items"].to_pylist())
    assert (again(published).equal, again(published).different) == (kept, 0)


def test_a_table_partitioned_by_a_column_of_the_record(shop: Workshop) -> None:
    shop.write("a.parquet", records(200))
    shop.score(partition_by=("carrier",), run_id="r1")
    assert (again(shop).equal, again(shop).different) == (200, 0)


def change_score(path: Path, row: int) -> float:
    """Move one score by one unit in its last place; return what it was."""
    table = pq.read_table(path, partitioning=None)
    scores = table["score"].to_numpy().copy()
    before = float(scores[row])
    scores[row] = np.nextafter(before, 1.0)
    pq.write_table(table.set_column(table.schema.get_field_index("score"), "score", pa.array(scores)), path)
    return before


def test_a_score_that_was_changed_in_its_last_bit_is_found(published: Workshop) -> None:
    path = next(Path(published.output).glob("ds=2/part-*.parquet"))
    before = change_score(path, 7)
    result = again(published)
    [difference] = result.differences
    assert (result.different, result.equal) == (1, result.rows - 1)
    assert (difference.source_path, difference.column) == ("ds=2/c.parquet", "score")
    assert difference.source_row == pq.read_table(path, partitioning=None)["source_row"][7].as_py()
    assert (float(difference.again), float(difference.published) != before) == (before, True)


@pytest.mark.parametrize("column", ["label", "decision", "parcel_id", "sent_at"])
def test_any_other_value_that_was_changed_is_found(published: Workshop, column: str) -> None:
    path = next(Path(published.output).glob("ds=2/part-*.parquet"))
    table = pq.read_table(path, partitioning=None)
    values = table[column].to_pylist()
    values[0], values[1] = (None, values[1]) if values[0] == values[1] else (values[1], values[0])
    changed = pa.array(values, table[column].type)
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, changed), path)
    assert {difference.column for difference in again(published).differences} == {column}


def test_a_reject_that_was_changed_or_taken_away_is_found(published: Workshop) -> None:
    path = next(Path(f"{published.output}_rejects").rglob("part-*.parquet"))
    table = pq.read_table(path, partitioning=None)
    at = table.schema.get_field_index("reason")
    pq.write_table(table.set_column(at, "reason", pa.array(["infinite"])), path)
    assert [one.column for one in again(published).differences] == ["reason"]
    pq.write_table(table.slice(0, 0), path)
    [difference] = again(published).differences
    assert (difference.column, difference.published, difference.again) == ("rows", "0", "1")


def test_a_published_file_that_cannot_be_read_is_a_difference(published: Workshop) -> None:
    path = next(Path(published.output).glob("ds=2/part-*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])
    result = again(published)
    assert [one.column for one in result.differences] == ["file"]
    assert 0 < result.different < result.rows


def test_at_most_some_differences_are_told_one_by_one(published: Workshop) -> None:
    path = next(Path(published.output).glob("ds=1/part-*.parquet"))
    table = pq.read_table(path, partitioning=None)
    at = table.schema.get_field_index("score")
    pq.write_table(table.set_column(at, "score", pa.array(np.zeros(table.num_rows))), path)
    result = again(published)
    assert (result.different, len(result.differences)) == (table.num_rows, 20)


def test_an_input_that_changed_is_a_difference_and_one_that_is_gone_is_expired(published: Workshop) -> None:
    whole = again(published).rows
    published.write("ds=1/a.parquet", records(300, 900))
    (published.input / "ds=2" / "c.parquet").unlink()
    result = again(published)
    assert result.expired == ["ds=2/c.parquet: the input file is no longer there"]
    assert [(one.source_path, one.column) for one in result.differences] == [("ds=1/a.parquet", "data_sha256")]
    assert 0 < result.equal < whole


def test_an_input_that_is_no_parquet_file_any_more_is_a_difference(published: Workshop) -> None:
    (published.input / "ds=2" / "c.parquet").write_bytes(b"gone")
    result = again(published)
    assert [one.source_path for one in result.differences] == ["ds=2/c.parquet"]
    assert result.different == 100


def test_a_file_that_is_gone_is_expired_unless_readers_need_it(published: Workshop) -> None:
    [path] = Path(published.output).glob("ds=2/part-*.parquet")
    published.score("models:/parcel/1.1.0", where="n_items > 2", run_id="r2")
    path.unlink()
    assert again(published).expired == ["ds=2/c.parquet: the published file is no longer there"]
    assert again(published).different == 0
    next(Path(published.output).glob("ds=2/part-*.parquet")).unlink()
    assert again(published, "r2").expired == []
    assert [one.column for one in again(published, "r2").differences] == ["file"]


def test_the_code_in_features_may_have_changed_since(published: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(published.folder)
    Path("features").mkdir()
    Path("features/parcels.py").write_text("raise RuntimeError('not the code that scored')")
    assert again(published).different == 0


def test_compaction_changes_nothing_about_it(published: Workshop) -> None:
    before = again(published)
    for table in (published.table(), OutputTable(f"{published.output}_rejects")):
        compact(table, target_bytes=2**20, row_group_rows=1000, options={})
    assert again(published) == before
    for replaced in Path(published.output).rglob("part-*.parquet"):
        if str(replaced.relative_to(published.output)) not in published.live_paths():
            replaced.unlink()
    assert again(published) == before
    merged = next(Path(published.output).rglob("merged-*.parquet"))
    change_score(merged, 0)
    assert again(published).different == 1


def test_what_readers_see_is_compared_and_not_what_lies_beside_it(published: Workshop) -> None:
    compact(published.table(), target_bytes=2**20, row_group_rows=1000, options={})
    change_score(next(Path(published.output).rglob("merged-*.parquet")), 0)
    assert len(list(Path(published.output).rglob("part-*.parquet"))) == 3  # as they were, and of no account
    assert again(published).different == 1


def test_a_superseded_run_is_still_reproduced(published: Workshop) -> None:
    rows = again(published).rows
    published.score("models:/parcel/1.1.0", where="n_items > 2", run_id="r2")
    assert (again(published).equal, again(published, "r2").equal) == (rows, rows)


def test_a_sample_of_the_files(published: Workshop) -> None:
    assert again(published, sample=2).files == 2
    assert again(published, sample=9) == again(published)


def test_the_input_may_have_moved(published: Workshop) -> None:
    moved = published.folder / "elsewhere"
    published.input.rename(moved)
    assert len(again(published).expired) == 3
    assert again(published, input_root=str(moved)).expired == []


def test_ranges_of_a_large_file(shop: Workshop) -> None:
    noise = np.random.default_rng(1)
    table = records(10_000).append_column("noise", pa.array([noise.bytes(200) for _ in range(10_000)]))
    shop.write("large.parquet", table, row_group_size=2000)
    run = shop.score(settings={"batch.split_mib": 1}, run_id="r1")
    assert len(run.work) > 1
    assert (again(shop).equal, again(shop).different) == (10_000, 0)


def test_another_bundle_is_refused(published: Workshop) -> None:
    registry = published.folder / "registry"
    shutil.copytree(published.registry, registry)
    copied = Workshop(published.folder, registry, published.engine)
    run = published.store().find("r1")
    assert run is not None
    bundle = Path(run.model["location"])
    kept = published.folder / "kept"
    shutil.copytree(bundle, kept)
    try:
        shutil.rmtree(bundle)
        shutil.copytree(registry / "parcel" / "1.1.0", bundle)
        with pytest.raises(TrailError, match="not the one that scored the run"):
            again(copied)
        (bundle / "model.onnx").write_bytes(b"no model")
        with pytest.raises(BundleError):
            again(copied)
    finally:
        shutil.rmtree(bundle)
        shutil.copytree(kept, bundle)
