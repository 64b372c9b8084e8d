"""``--hold`` and ``runs release``: what was planned is published as it was planned, once, or not at all."""

from pathlib import Path
from typing import Any

import pytest

from jobs.batch.publication.release import release
from scoretrail.clock import SystemClock
from scoretrail.errors import ConflictError, ExitCode, HeldError, TrailError, UsageError
from scoretrail.trail.run import RunStore, ScoringRun
from tests.factory.registered import open_registry
from tests.factory.workshop import Workshop, records, with_values


def hold(shop: Workshop, run_id: str, **request: Any) -> None:
    with pytest.raises(HeldError) as caught:
        shop.score(hold=True, run_id=run_id, **request)
    assert caught.value.exit_code is ExitCode.GATE
    assert f"scoretrail runs release {run_id}" in str(caught.value.fix)


def let_go(shop: Workshop, run_id: str) -> ScoringRun:
    return release(shop.output, run_id, open_registry(shop.registry), shop.resolved().settings, SystemClock())


def test_a_held_run_is_complete_and_invisible_until_it_is_released(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", with_values("weight_kg", {0: -1.0}, 50))
    hold(shop, "h1")
    assert shop.store().status("h1") == "held"
    assert shop.rows().num_rows == 0
    assert shop.rejects_table().live_files() == []
    run = let_go(shop, "h1")
    assert (run.status, run.rows["scored"], run.output["table_version"]) == ("published", 49, shop.table().version)
    assert (shop.rows().num_rows, shop.rejects().num_rows) == (49, 1)
    assert set(shop.rows()["run_id"].to_pylist()) == {"h1"}
    assert shop.store().find("h1") == run


def test_a_released_run_removes_what_was_planned_to_go(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", records(10))
    shop.write("ds=1/b.parquet", records(10, 10))
    shop.score()
    shop.write("ds=1/a.parquet", records(10, 20))
    hold(shop, "h1")
    assert shop.rows()["parcel_id"].to_pylist() == records(20)["parcel_id"].to_pylist()
    run = let_go(shop, "h1")
    assert (run.rows["removed"], run.files["skipped"]) == (10, 1)
    expected = [*records(10, 20)["parcel_id"].to_pylist(), *records(10, 10)["parcel_id"].to_pylist()]
    assert shop.rows()["parcel_id"].to_pylist() == expected


def test_a_second_release_changes_nothing(shop: Workshop) -> None:
    shop.write("a.parquet", records(10))
    hold(shop, "h1")
    first = let_go(shop, "h1")
    version = shop.table().version
    assert let_go(shop, "h1") == first
    assert shop.table().version == version


def test_a_release_whose_scope_has_moved_is_a_conflict(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", records(10))
    hold(shop, "h1")
    shop.score("models:/parcel/1.1.0")
    with pytest.raises(ConflictError) as caught:
        let_go(shop, "h1")
    assert caught.value.exit_code is ExitCode.RETRY
    assert set(shop.rows()["model_version"].to_pylist()) == {"1.1.0"}
    assert shop.store().status("h1") == "held"


def test_a_release_is_not_disturbed_by_another_day(shop: Workshop) -> None:
    shop.write("ds=1/a.parquet", records(10))
    shop.write("ds=2/a.parquet", records(10, 10))
    hold(shop, "h1", slices=("ds=1",))
    shop.score(slices=("ds=2",))
    let_go(shop, "h1")
    assert shop.rows().num_rows == 20


def test_a_held_run_is_held_again_under_its_id(shop: Workshop) -> None:
    shop.write("a.parquet", records(10))
    hold(shop, "h1")
    hold(shop, "h1")
    with pytest.raises(HeldError):
        shop.score(run_id="h1")  # without --hold as well: what is held waits for its release
    assert shop.rows().num_rows == 0
    let_go(shop, "h1")
    assert shop.score(run_id="h1").status == "published"


def test_only_a_held_run_can_be_released(shop: Workshop) -> None:
    shop.write("a.parquet", records(10))
    shop.score(run_id="unchanged-before")
    shop.score(run_id="unchanged")
    with pytest.raises(UsageError, match="is not held") as caught:
        let_go(shop, "unchanged")
    assert caught.value.got == "unchanged"
    with pytest.raises(TrailError, match="there is no run"):
        let_go(shop, "h9")


def test_a_release_that_died_after_its_commit_is_finished(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write("a.parquet", with_values("weight_kg", {0: -1.0}, 50))
    hold(shop, "h1")
    with monkeypatch.context() as patched:
        patched.setattr(RunStore, "finish", _die)
        with pytest.raises(KeyboardInterrupt):
            let_go(shop, "h1")
    version = shop.table().version
    run = let_go(shop, "h1")
    assert (run.status, run.output["table_version"], shop.table().version) == ("published", version, version)
    assert run.output["rejects_version"] == shop.rejects_table().version


def test_a_held_run_whose_message_is_gone_is_not_published_in_part(shop: Workshop) -> None:
    shop.write_days(("1", "2"))
    hold(shop, "h1")
    next(Path(shop.output, "_scoretrail", "h1", "work").iterdir()).unlink()
    with pytest.raises(TrailError, match="messages of the held run are missing"):
        let_go(shop, "h1")
    assert shop.rows().num_rows == 0


def _die(*_: object) -> None:
    raise KeyboardInterrupt
