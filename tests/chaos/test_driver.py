"""The driver is killed with SIGKILL, at every step; the same command then finishes, to the same bits."""

import shutil
import signal
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from jobs.batch.audit.reproduce import reproduce
from jobs.batch.audit.verify import verify
from jobs.batch.spark.engine import SparkEngine
from jobs.progress import SilentProgress
from scoretrail.clock import SystemClock
from scoretrail.trail.run import ScoringRun
from tests.factory.driver import Driver
from tests.factory.registered import open_registry
from tests.factory.workshop import Workshop, records, with_values

CLOCK = {"clock.fixed_at": "2013-12-05T06:00:00+00:00", "batch.tasks": 4, "batch.pack_files": 1}
FILES, ROWS = 24, 25
PUBLISHING = (
    "after the table is made",
    "before the rejects",
    "between the commits",
    "after the commit",
    "before the record",
    "after the record",
)


def write_input(shop: Workshop) -> None:
    for i in range(FILES):
        shop.write(f"ds={i % 3}/{i:02d}.parquet", with_values("weight_kg", {i: -1.0}, ROWS, i * ROWS))


def command(run_id: str | None) -> dict[str, Any]:
    return {"settings": CLOCK, "request": {"run_id": run_id, "command": "scoretrail batch score …"}}


def killed(shop: Workshop, at: str, run_id: str | None, **spec: Any) -> None:
    """Run the command in a process of its own, which is killed at a step."""
    code, _ = Driver(shop, at=at, **command(run_id), **spec).finish()
    assert code == -signal.SIGKILL


def finished(shop: Workshop, run_id: str | None) -> ScoringRun:
    """Run the same command in this process, to its end."""
    return shop.score(settings=CLOCK, run_id=run_id, command="scoretrail batch score …")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, parcel_registry: Path, engine: SparkEngine) -> Workshop:
    """The same input, run id and clock, and nothing in its way."""
    shop = Workshop(tmp_path_factory.mktemp("undisturbed") / "shop", parcel_registry, engine)
    write_input(shop)
    finished(shop, "r1")
    return shop


def assert_equal_to_the_bit(shop: Workshop, undisturbed: Workshop, but: tuple[str, ...] = ()) -> None:
    """Compare every column of both tables; floats compare by their bits, for none of them is NaN or a zero."""
    for ours, theirs in ((shop.rows(), undisturbed.rows()), (shop.rejects(), undisturbed.rejects())):
        assert ours.schema.equals(theirs.schema)
        assert ours.drop_columns(list(but)).equals(theirs.drop_columns(list(but)))
    assert shop.rows().num_rows == FILES * (ROWS - 1)
    assert shop.rejects().num_rows == FILES


def assert_sound(shop: Workshop, run_id: str) -> None:
    registry, settings = open_registry(shop.registry), shop.resolved().settings
    assert verify(shop.table(), run_id, registry, settings, SystemClock(), SilentProgress()).findings == []
    again = reproduce(shop.table(), run_id, registry, settings, SilentProgress())
    assert (again.equal, again.different) == (FILES * ROWS, 0)


@pytest.mark.parametrize("run_id", ["r1", None], ids=["by its id", "by the same command"])
@pytest.mark.parametrize("at", ["before the intent", "before scoring"])
def test_before_scoring(shop: Workshop, undisturbed: Workshop, at: str, run_id: str | None) -> None:
    write_input(shop)
    killed(shop, at, run_id)
    begun = shop.store().run_ids()
    assert begun == ([] if at == "before the intent" else [run_id or begun[0]])
    assert not shop.table().exists
    run = finished(shop, run_id)
    assert shop.store().run_ids() == [run.run_id]
    assert_equal_to_the_bit(shop, undisturbed, () if run_id else ("run_id",))


@pytest.mark.parametrize(
    "run_id", ["r1", pytest.param(None, marks=pytest.mark.slow)], ids=["by its id", "by the same command"]
)
def test_in_the_middle_of_scoring_on_spark(shop: Workshop, undisturbed: Workshop, run_id: str | None) -> None:
    write_input(shop)
    killed(shop, "in the middle", run_id, engine="spark", messages=FILES // 3)
    [begun] = shop.store().run_ids()
    done = shop.store().work_keys(begun)
    assert FILES // 3 <= len(done) < FILES
    assert not shop.table().exists
    before = {key: shop.store().message(begun, key) for key in done}
    run = finished(shop, run_id)
    assert (run.run_id, run.attempts) == (begun, 2)
    assert {key: shop.store().message(begun, key) for key in done} == before  # what was done was not done again
    assert_equal_to_the_bit(shop, undisturbed, () if run_id else ("run_id",))
    assert_sound(shop, begun)


@pytest.fixture(scope="module")
def scored(
    tmp_path_factory: pytest.TempPathFactory, parcel_registry: Path, engine: SparkEngine
) -> tuple[Workshop, Path]:
    """A run that scored everything on Spark and was killed before it published; and a copy to begin from again."""
    shop = Workshop(tmp_path_factory.mktemp("scored") / "shop", parcel_registry, engine)
    write_input(shop)
    killed(shop, "before publishing", "r1", engine="spark")
    assert len(shop.store().work_keys("r1")) == FILES
    assert not shop.table().exists
    backup = shop.folder.with_name("backup")
    shutil.copytree(shop.folder, backup)
    return shop, backup


@pytest.mark.parametrize("at", PUBLISHING)
def test_while_it_publishes(scored: tuple[Workshop, Path], undisturbed: Workshop, at: str) -> None:
    shop, backup = scored
    shutil.rmtree(shop.folder)
    shutil.copytree(backup, shop.folder)
    killed(shop, at, "r1")
    is_committed = PUBLISHING.index(at) >= PUBLISHING.index("after the commit")
    visible = shop.rows().num_rows if shop.table().exists else 0
    assert visible == (FILES * (ROWS - 1) if is_committed else 0)  # all or nothing
    assert shop.store().status("r1") == ("published" if at == "after the record" else "unfinished")
    version = shop.table().version
    run = finished(shop, "r1")
    assert run.status == "published"
    assert (shop.table().version == version) == is_committed
    assert_equal_to_the_bit(shop, undisturbed)
    assert_sound(shop, "r1")
    reference = undisturbed.store().find("r1")
    assert reference is not None
    assert (run.rows, run.reasons, run.files, run.work) == (
        reference.rows,
        reference.reasons,
        reference.files,
        reference.work,
    )
    assert run.output["messages_sha256"] != ""
    assert run.output["table_version"] == shop.table().version
    assert run.output["rejects_version"] == shop.rejects_table().version


def test_again_and_again_at_every_step(shop: Workshop, undisturbed: Workshop) -> None:
    """The kills of one night, one after the other, on the same command without a run id."""
    write_input(shop)
    for at in (
        "before scoring",
        "before publishing",
        "after the table is made",
        "between the commits",
        "before the record",
    ):
        killed(shop, at, None)
    run = finished(shop, None)
    assert (run.status, run.attempts) == ("published", 6)
    assert shop.store().run_ids() == [run.run_id]
    assert_equal_to_the_bit(shop, undisturbed, ("run_id",))


def test_a_replacement_that_is_killed_leaves_the_old_rows_or_the_new_ones(shop: Workshop) -> None:
    write_input(shop)
    shop.score("models:/parcel/1.1.0", settings=CLOCK)
    old = shop.rows()
    killed(shop, "between the commits", "r1")
    assert shop.rows().equals(old)
    killed(shop, "after the commit", "r1")
    assert set(shop.rows()["model_version"].to_pylist()) == {"1.0.0"}
    run = finished(shop, "r1")
    assert (run.files["removed"], run.rows["removed"]) == (FILES, old.num_rows)
    assert [entry["guard"] for entry in run.scopes.values()] == [1, 1, 1]
    assert set(shop.rejects()["run_id"].to_pylist()) == {"r1"}


def test_a_killed_run_whose_input_was_put_back_leaves_no_rejects_behind(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", with_values("weight_kg", {0: -1.0}, 30))
    first = shop.score()
    shop.write("ds=1/a.parquet", with_values("weight_kg", {1: -1.0}, 30, 60))
    killed(shop, "between the commits", "r2")
    assert set(shop.rejects()["run_id"].to_pylist()) == {first.run_id, "r2"}  # the latter do not count yet
    shop.write("ds=1/a.parquet", with_values("weight_kg", {0: -1.0}, 30))
    assert shop.score().status == "unchanged"
    [reject] = shop.rejects().to_pylist()
    assert (reject["run_id"], reject["source_row"]) == (first.run_id, 0)


def test_a_killed_run_of_other_input_is_not_taken_up(shop: Workshop) -> None:
    shop.write("a.parquet", records(30))
    killed(shop, "before publishing", None)
    shop.write("b.parquet", records(30, 30))
    run = finished(shop, None)
    assert run.rows["scored"] == 60
    assert len(shop.store().run_ids()) == 2
    assert pc.count_distinct(shop.rows()["parcel_id"]).as_py() == 60
