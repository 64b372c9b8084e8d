"""Rows that cannot be scored: each is in the rejects table with its reason, or nothing at all is published."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from onnx import helper

from scoretrail.errors import ExitCode, LimitExceededError, RejectLimitError
from scoretrail.model.manifest import Guards
from tests.factory.example import NUMBER_VIEW, Example
from tests.factory.onnx_graph import matrix_in, model_bytes, scores_out
from tests.factory.registered import Registered, open_registry, register_example
from tests.factory.workshop import Workshop, publish_variant, records, with_values

ANY = {"batch.max_reject_ratio": 1.0}


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("weight_kg", None, "null_not_allowed"),
        ("weight_kg", float("nan"), "null_not_allowed"),
        ("weight_kg", float("inf"), "infinite"),
        ("weight_kg", float("-inf"), "infinite"),
        ("weight_kg", -1.0, "out_of_range"),
        ("distance_km", None, "null_not_allowed"),
        ("parcel_id", None, "null_not_allowed"),
        ("sent_at", None, "null_not_allowed"),
    ],
)
def test_a_row_that_breaks_the_contract_is_rejected_with_its_reason(
    shop: Workshop, column: str, value: float | None, reason: str
) -> None:
    shop.write("ds=1/a.parquet", with_values(column, {3: value}, 100))
    run = shop.score()
    assert (run.rows["scored"], run.rows["rejected"], run.reasons) == (99, 1, {reason: 1})
    [row] = shop.rejects().to_pylist()
    assert (row["reason"], row["field"], row["reasons"].split(",")[0]) == (reason, column, f"{reason}:{column}")
    assert (row["source_path"], row["source_row"], row["ds"], row["run_id"]) == ("ds=1/a.parquet", 3, "1", run.run_id)
    assert 3 not in shop.rows()["source_row"].to_pylist()
    assert row["parcel_id"] == (None if column == "parcel_id" else "p000003")
    assert "weight_kg" not in row  # values of features are nobody's business here


def test_defaults_take_the_place_of_null(shop: Workshop) -> None:
    shop.write("a.parquet", with_values("height_m", {3: None, 4: float("nan")}, 10))
    filled = shop.copy("filled")
    filled.write("a.parquet", with_values("height_m", {3: 1.0, 4: 1.0}, 10))
    assert shop.score().rows["rejected"] == 0
    filled.score()
    assert shop.rows()["score"].to_pylist() == filled.rows()["score"].to_pylist()


def test_an_unknown_category_is_rejected(shop: Workshop, registered_pipeline: Registered) -> None:
    shop.registry = registered_pipeline.root
    shop.write("a.parquet", with_values("carrier", {0: " air ", 1: "ROCKET", 2: None}, 40))
    run = shop.score("models:/parcel-one-hot@champion", settings=ANY)
    assert run.reasons == {"null_not_allowed": 1, "unknown_category": 1}
    assert shop.rejects()["field"].to_pylist() == ["carrier", "carrier"]
    assert shop.rows()["source_row"].to_pylist()[0] == 0  # " air " is AIR after normalisation


def test_every_reason_of_a_row_is_told(shop: Workshop) -> None:
    table = with_values("weight_kg", {0: -1.0}, 50)
    at = table.schema.get_field_index("distance_km")
    distances = table["distance_km"].to_pylist()
    distances[0] = None
    shop.write("a.parquet", table.set_column(at, "distance_km", pa.array(distances, pa.float32())))
    shop.score()
    [row] = shop.rejects().to_pylist()
    assert row["reasons"] == "out_of_range:weight_kg,null_not_allowed:distance_km"
    assert row["expected"] == "0 to 1000"


def test_a_file_that_is_wholly_rejected_still_shows_in_the_table(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", with_values("weight_kg", dict.fromkeys(range(10), -1.0), 10))
    shop.write("ds=1/b.parquet", records(300, 10))
    run = shop.score()
    assert (run.rows["scored"], run.rows["rejected"]) == (300, 10)
    assert sorted(file.rows for file in shop.table().live_files()) == [0, 300]
    assert shop.score().status == "unchanged"


def test_a_score_outside_its_bounds_is_rejected_and_one_beyond_a_cap_is_capped(
    shop: Workshop, registered_linear: Registered, tmp_path: Path
) -> None:
    shop.write("a.parquet", records(200))
    shop.score()
    plain = np.array(shop.rows()["score"])
    registry = open_registry(tmp_path / "guarded")
    middle = float(np.median(plain))
    guards = Guards(minimum=0.0, maximum=middle, cap_minimum=0.1)
    model = publish_variant(registry, registered_linear, "1.0.0", guards=guards)
    guarded = shop.copy("guarded")
    guarded.registry = tmp_path / "guarded"
    run = guarded.score(model, settings=ANY)
    assert run.reasons == {"score_out_of_bounds": int((plain > middle).sum())}
    kept = plain[plain <= middle]
    rows = guarded.rows()
    assert np.array_equal(np.array(rows["score"]), np.maximum(kept, 0.1))
    assert rows["guard"].to_pylist() == ["capped" if score < 0.1 else None for score in kept]
    assert 0 < sum(kept < 0.1) < len(kept)


def test_a_score_that_is_no_number_is_rejected(shop: Workshop, tmp_path: Path) -> None:
    node = helper.make_node("Log", ["weight_kg"], ["scores"])
    view = NUMBER_VIEW.replace(b'inputs=["weight_kg", "distance_km", "height_m", "density"]', b'inputs=["weight_kg"]')
    model = Example(name="log", onnx=model_bytes([node], [matrix_in(1, "weight_kg")], [scores_out(1)]), features=view)
    register_example(model, tmp_path / "log")
    shop.registry = tmp_path / "log"
    shop.write("a.parquet", with_values("weight_kg", {0: 0.0}, 30))
    run = shop.score("models:/log@champion")
    assert (run.rows["scored"], run.reasons) == (29, {"score_not_finite": 1})
    [row] = shop.rejects().to_pylist()
    assert (row["source_row"], row["field"], row["expected"]) == (0, "score", "a finite score")


def test_above_the_limit_nothing_is_published_and_the_rejects_can_be_read(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", with_values("weight_kg", dict.fromkeys(range(6), -1.0), 100))
    with pytest.raises(RejectLimitError) as caught:
        shop.score()
    assert caught.value.exit_code is ExitCode.LIMIT
    assert caught.value.got == "6 of 100 rows (6.00%)"
    assert not shop.table().exists
    assert not shop.rejects_table().exists
    [run_id] = shop.store().run_ids()
    run = json.loads((Path(shop.output) / "_scoretrail" / run_id / "run.json").read_bytes())
    assert (run["status"], run["reasons"], run["rows"]["rejected"]) == ("refused", {"out_of_range": 6}, 6)
    files = list(Path(f"{shop.output}_rejects").rglob("*.parquet"))
    assert len(files) == 1
    rejects = pq.read_table(files[0], partitioning=None)
    assert rejects["source_row"].to_pylist() == list(range(6))
    assert set(rejects["run_id"].to_pylist()) == {run_id}


def test_the_limit_is_a_share_of_the_rows_that_were_asked_for(shop: Workshop) -> None:
    shop.write("a.parquet", with_values("weight_kg", dict.fromkeys(range(5), -1.0), 100))
    assert shop.score(settings={"batch.max_reject_ratio": 0.05}).rows["rejected"] == 5
    with pytest.raises(RejectLimitError):
        shop.copy("less").score(settings={"batch.max_reject_ratio": 0.049})


def test_a_refused_run_scores_afresh_and_its_id_is_taken(shop: Workshop) -> None:
    shop.write("a.parquet", with_values("weight_kg", dict.fromkeys(range(6), -1.0), 100))
    with pytest.raises(RejectLimitError):
        shop.score(run_id="first")
    with pytest.raises(LimitExceededError, match="run first was refused"):
        shop.score(run_id="first", settings=ANY)
    run = shop.score(settings=ANY)
    assert (run.status, run.run_id != "first") == ("published", True)
    assert set(shop.rejects()["run_id"].to_pylist()) == {run.run_id}


def test_rejects_follow_the_scores(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", with_values("weight_kg", {0: -1.0}, 50))
    shop.write("ds=2/a.parquet", with_values("weight_kg", {1: -1.0}, 50, 50))
    first = shop.score()
    shop.write("ds=1/a.parquet", with_values("weight_kg", {2: -1.0, 3: -1.0}, 50, 100))
    second = shop.score()
    found = {(row["source_path"], row["source_row"], row["run_id"]) for row in shop.rejects().to_pylist()}
    assert found == {
        ("ds=1/a.parquet", 2, second.run_id),
        ("ds=1/a.parquet", 3, second.run_id),
        ("ds=2/a.parquet", 1, first.run_id),
    }
    shop.write("ds=1/a.parquet", records(50, 200))  # mended
    shop.score()
    assert shop.rejects()["source_path"].to_pylist() == ["ds=2/a.parquet"]
    (shop.input / "ds=2" / "a.parquet").unlink()
    shop.score(allow_remove=True)
    assert shop.rejects().num_rows == 0


def test_a_rejects_table_may_lie_elsewhere_and_is_partitioned_as_the_scores_are(shop: Workshop, tmp_path: Path) -> None:
    shop.write("a.parquet", with_values("weight_kg", {0: -1.0, 1: -1.0}, 50))
    run = shop.score(rejects=str(tmp_path / "refused"), partition_by=("carrier",))
    assert run.output["rejects"] == str(tmp_path / "refused")
    assert not Path(f"{shop.output}_rejects").exists()
    assert len(list((tmp_path / "refused").glob("carrier=*"))) == len(set(records(2)["carrier"].to_pylist()))


def test_an_event_time_before_1970_and_one_to_the_microsecond(shop: Workshop) -> None:
    times = {0: datetime(1921, 3, 4, 5, 6, 7, 89, tzinfo=UTC), 1: datetime(2999, 1, 1, 0, 0, 0, 1, tzinfo=UTC)}
    shop.write("a.parquet", with_values("sent_at", times, 10))
    shop.score()
    assert shop.rows()["sent_at"].to_pylist()[:2] == list(times.values())
    for at in times.values():  # the ranges that files state must not hide a row from readers
        found = shop.table().to_pyarrow_dataset().to_table(filter=ds.field("sent_at") == pa.scalar(at))
        assert found.num_rows == 1
