"""Equal bits, however Spark cuts the work: tasks, packs, row-group ranges, batches; and the same from a DataFrame."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from jobs.batch import score_dataframe
from jobs.batch.spark.engine import SparkEngine
from scoretrail.config import MIB
from scoretrail.errors import SchemaMismatchError
from tests.factory.workshop import CHALLENGER, CHAMPION, Workshop, bits, bits_by_key, records, with_values

MODELS = pytest.mark.parametrize("model", [CHAMPION, CHALLENGER], ids=["linear", "trees"])


@pytest.fixture(scope="module")
def scattered(tmp_path_factory: pytest.TempPathFactory, parcel_registry: Path, engine: SparkEngine) -> Workshop:
    """5,001 records in ten files of very different sizes, scored by both models in calls as large as can be."""
    shop = Workshop(tmp_path_factory.mktemp("bits") / "shop", parcel_registry, engine)
    at = 0
    for i, rows in enumerate((1, 2, 6, 1023, 1024, 1025, 257, 700, 7, 956)):
        shop.write(f"ds={i % 3}/{i}.parquet", records(rows, at), row_group_size=200)
        at += rows
    for model in (CHAMPION, CHALLENGER):
        shop.score(model, settings={"batch.batch_rows": 10_000, "batch.tasks": 1})
    return shop


@MODELS
@pytest.mark.parametrize(
    "settings",
    [
        {"batch.tasks": 1},
        {"batch.tasks": 2, "batch.pack_files": 1},
        {"batch.tasks": 4, "batch.pack_files": 3},
        {"batch.batch_rows": 1},
        {"batch.batch_rows": 7, "batch.tasks": 2},
        {"batch.batch_rows": 1000, "batch.row_group_rows": 100},
    ],
    ids=lambda settings: ",".join(f"{key.split('.')[1]}={value}" for key, value in settings.items()),
)
def test_scores_do_not_depend_on_how_the_work_is_cut(scattered: Workshop, model: str, settings: dict[str, int]) -> None:
    other = scattered.copy("-".join([model.partition("@")[2], *settings, *map(str, settings.values())]))
    run = other.score(model, settings=settings)
    rows = scattered.rows()
    reference = rows.filter(pc.equal(rows["role"], run.model["role"]))
    assert other.rows().num_rows == 5001
    assert bits(other.rows()) == bits(reference)
    own = ["run_id", "scored_at"]
    assert other.rows().drop_columns(own).equals(reference.drop_columns(own))


def large(rows: int) -> pa.Table:
    """Return records with noise that no codec makes smaller: the least split is a megabyte."""
    random = np.random.default_rng(1)
    noise = pa.array([random.bytes(48) for _ in range(rows)])
    table = pa.concat_tables([records(10_000)] * (rows // 10_000))
    return table.set_column(0, "parcel_id", pa.array([f"p{i}" for i in range(rows)])).append_column("noise", noise)


@MODELS
def test_a_file_in_ranges_gives_the_bits_of_the_file_in_one_piece(shop: Workshop, model: str) -> None:
    path = shop.write("ds=1/large.parquet", large(60_000), row_group_size=5000)
    assert path.stat().st_size > 3 * MIB
    cut = shop.copy("cut")
    shop.score(model)
    run = cut.score(model, settings={"batch.split_mib": 1})
    messages = cut.store().messages(run.run_id, run.work)
    ranges = sorted(message.row_groups for message in messages if message.row_groups is not None)
    assert len(ranges) == len(run.work) >= 4
    assert ranges[0][0] == 0
    assert [low for low, _ in ranges[1:]] == [high for _, high in ranges[:-1]]
    assert bits_by_key(cut.rows()) == bits_by_key(shop.rows())
    assert cut.rows()["source_row"].to_pylist() == list(range(60_000))
    assert set(cut.rows()["data_sha256"].to_pylist()) == set(shop.rows()["data_sha256"].to_pylist())
    assert cut.score(model, settings={"batch.split_mib": 1}).status == "unchanged"


def test_a_row_group_above_the_split_size_is_streamed_to_the_same_bits(shop: Workshop) -> None:
    path = shop.write("large.parquet", large(60_000), row_group_size=60_000)
    assert path.stat().st_size > 3 * MIB
    streamed = shop.copy("streamed")
    shop.score()
    run = streamed.score(settings={"batch.split_mib": 1})
    assert len(run.work) == 1
    assert bits_by_key(streamed.rows()) == bits_by_key(shop.rows())


@MODELS
def test_a_dataframe_gives_the_bits_of_the_batch_run(shop: Workshop, model: str) -> None:
    table = with_values("weight_kg", {5: -1.0, 17: None}, 1500)
    shop.write("a.parquet", table)
    shop.score(model)
    spark = shop.engine.session()
    frame = spark.createDataFrame(table.drop_columns(["late", "speed", "delay_h"]).to_pandas()).repartition(3)
    scored = score_dataframe(frame, shop.bundle(model)).toArrow()
    refused = scored.filter(scored["score"].is_null())
    assert sorted(refused["parcel_id"].to_pylist()) == ["p000005", "p000017"]
    reasons = dict(zip(refused["parcel_id"].to_pylist(), refused["reject_reasons"].to_pylist(), strict=True))
    assert reasons["p000005"] == "out_of_range:weight_kg"
    accepted = scored.filter(scored["score"].is_valid())
    assert bits_by_key(accepted) == bits_by_key(shop.rows())
    ordered, rows = accepted.sort_by("parcel_id"), shop.rows().sort_by("parcel_id")
    for column in ("label", "decision", "guard", "sent_at", "model_version", "bundle_sha256"):
        assert ordered[column].to_pylist() == rows[column].to_pylist(), column
    assert set(scored["reproducible"].to_pylist()) == {False}


def test_a_dataframe_that_does_not_fit_is_refused_before_it_is_scored(shop: Workshop) -> None:
    frame = shop.engine.session().createDataFrame(records(5, weight_kg=None).drop_columns(["speed"]).to_pandas())
    with pytest.raises(SchemaMismatchError, match="weight_kg"):
        score_dataframe(frame, shop.bundle())
