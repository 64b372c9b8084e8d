"""Branches of a run's life that need no Spark."""

from pathlib import Path

import pyarrow as pa
import pytest

from jobs.batch.request import outcome_of
from scoretrail.errors import InputError, LimitExceededError, UsageError
from tests.factory.registered import Registered
from tests.factory.workshop import CHALLENGER, Workshop, records


@pytest.mark.parametrize(
    "run_id", ["", "../x", "a/b", "a b", "é", "cache", "ledger", "scopes", "vacuum", ".hidden", "x" * 201]
)
def test_an_id_that_is_no_folder_of_a_run_is_refused(shop: Workshop, run_id: str) -> None:
    shop.write("a.parquet", records(5))
    with pytest.raises(UsageError, match="cannot be a run's id"):
        shop.score(run_id=run_id)
    assert not Path(shop.output).exists()


@pytest.mark.parametrize("run_id", ["scheduled__2013-12-02T00:00:00+00:00", "r1", "a.b_c:d@e=f-g", "x" * 200])
def test_ids_of_orchestrators_will_do(shop: Workshop, run_id: str) -> None:
    shop.write("a.parquet", records(5))
    assert shop.score(run_id=run_id).run_id == run_id
    assert shop.store().run_ids() == [run_id]
    assert set(shop.rows()["run_id"].to_pylist()) == {run_id}


def test_a_finished_run_is_told_again_without_a_look_at_its_input(shop: Workshop) -> None:
    path = shop.write("a.parquet", records(5))
    run = shop.score(run_id="r1")
    path.unlink()
    assert shop.score(run_id="r1") == run


@pytest.mark.parametrize("change", ["model", "input", "where"])
def test_an_id_stands_for_one_plan(shop: Workshop, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write("a.parquet", records(20))
    with monkeypatch.context() as patched:
        patched.setattr("jobs.batch.publication.publish.publish", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            shop.score(run_id="r1")
    if change == "input":
        shop.write("b.parquet", records(20, 20))
    model = CHALLENGER if change == "model" else "models:/parcel@champion"
    where = "n_items > 2" if change == "where" else None
    with pytest.raises(UsageError, match="set out to do something else"):
        shop.score(model, run_id="r1", where=where)


def test_the_newest_unfinished_run_of_a_plan_is_taken_up(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write("a.parquet", records(20))
    with monkeypatch.context() as patched:
        patched.setattr("jobs.batch.publication.publish.publish", _interrupt)
        for run_id in ("20131201T000000-a", "20131202T000000-b"):
            with pytest.raises(KeyboardInterrupt):
                shop.score(run_id=run_id)
    assert shop.score().run_id == "20131202T000000-b"
    assert shop.store().status("20131201T000000-a") == "unfinished"
    assert shop.score().status == "unchanged"


def test_a_damaged_record_of_one_run_keeps_no_other_from_its_work(shop: Workshop) -> None:
    shop.write("a.parquet", records(20))
    shop.score(run_id="r1")
    for name in ("intent.json", "run.json"):
        (Path(shop.output) / "_scoretrail" / "r1" / name).write_bytes(b"{")
        shop.write("a.parquet", records(20, 20 if name == "intent.json" else 40))
        assert shop.score().status == "published"


def test_the_outcome_is_what_the_command_prints(shop: Workshop) -> None:
    shop.write("a.parquet", records(20))
    outcome = outcome_of(shop.score(run_id="r1")).to_json()
    assert {**outcome, "seconds": 0, "rows_per_s": 0} == {
        "run_id": "r1",
        "status": "published",
        "rows_in": 20,
        "rows_scored": 20,
        "rows_rejected": 0,
        "rows_skipped": 0,
        "files_scored": 1,
        "files_skipped": 0,
        "files_removed": 0,
        "table": shop.output,
        "rejects": f"{shop.output}_rejects",
        "table_version": shop.table().version,
        "seconds": 0,
        "rows_per_s": 0,
        "drift": None,
        "drifted": (),
    }
    assert shop.dry_run().to_json()["files_skipped"] == 1


def test_a_refused_run_creates_no_table(shop: Workshop) -> None:
    shop.write("a.parquet", records(20))
    shop.score()
    (shop.input / "a.parquet").unlink()
    shop.write("b.parquet", records(20, 20))
    with pytest.raises(LimitExceededError):
        shop.score(run_id="r2")
    assert shop.rows().num_rows == 20


def test_without_files_and_without_a_table_there_is_nothing_to_do(shop: Workshop) -> None:
    shop.input.mkdir(parents=True)
    with pytest.raises(InputError, match="no Parquet files"):
        shop.score()
    with pytest.raises(InputError, match="no Parquet files"):
        shop.dry_run()


def test_a_key_of_the_folders_may_serve_the_view(shop: Workshop, registered_pipeline: Registered) -> None:
    """As Spark writes partitions: the column is in the path alone."""
    shop.registry = registered_pipeline.root
    shop.write("carrier=AIR/a.parquet", records(20, carrier=None))
    shop.write("carrier=SEA/a.parquet", records(20, 20, carrier=None))
    run = shop.score("models:/parcel-one-hot@champion")
    assert run.rows["scored"] == 40
    by_path = shop.rows()["score"].to_pylist()
    shop.write("carrier=AIR/a.parquet", records(20, carrier=pa.array(["AIR"] * 20)))
    shop.write("carrier=SEA/a.parquet", records(20, 20, carrier=pa.array(["SEA"] * 20)))
    shop.score("models:/parcel-one-hot@champion")
    assert shop.rows()["score"].to_pylist() == by_path


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
