"""The newest runs of a table: each with its state, and whether it still waits for somebody."""

from pathlib import Path

import pytest

from jobs.health.batch import judged, newest_model, of_model, read_runs
from jobs.health.fact import Run
from scoretrail.trail.run import Status
from tests.factory.health import MODEL, START, Ward, scoring_run, verdict

OTHER = {"name": "another", "version": "1.0.0", "role": "champion", "uri": "", "location": "", "bundle_sha256": ""}


def runs(ward: Ward) -> dict[str, Run]:
    return {one.run_id: one for one in of_model(read_runs(ward.store), MODEL)}


def test_a_run_has_its_rows_its_rate_and_its_verdict(ward: Ward) -> None:
    made = ward.run(judged=verdict("drift"))
    (found,) = runs(ward).values()
    assert (found.run_id, found.status, found.role, found.version) == (made.run_id, "published", "champion", "1.0.0")
    assert (found.rows["scored"], found.reasons, found.rows_per_s) == (1000, {"weight_kg: above 1000": 10}, 1234.5)
    assert (found.seconds, found.level, found.slices) == (30.0, "drift", ("ds=2013-12-01",))
    assert found.is_settled


@pytest.mark.parametrize("status", ["held", "refused", "unfinished"])
def test_what_waits_is_settled_once_a_later_run_did_the_same(ward: Ward, status: Status) -> None:
    waiting = ward.run(status)
    ward.run()
    assert not runs(ward)[waiting.run_id].is_settled, "the run of another day changes nothing"
    more = {**waiting.scopes, "another scope": {"slice": "ds=2", "guard": 1}}
    ward.run(**({"plan_sha256": waiting.plan_sha256} if status == "unfinished" else {"scopes": more}))
    assert runs(ward)[waiting.run_id].is_settled


def test_a_held_run_that_was_released_is_published(ward: Ward) -> None:
    held = ward.run("held")
    ward.store.finish(scoring_run(held.run_id, START, "published", None))
    assert runs(ward)[held.run_id].status == "published"


def test_a_refused_run_is_not_settled_by_one_that_is_refused_too(ward: Ward) -> None:
    first = ward.run("refused")
    ward.run("refused", scopes=first.scopes)
    assert [one.is_settled for one in runs(ward).values()] == [False, False]


def test_an_unfinished_run_has_what_its_intent_says(ward: Ward) -> None:
    made = ward.run("unfinished")
    found = runs(ward)[made.run_id]
    assert (found.status, found.role, found.version, found.finished_at) == ("unfinished", "champion", "1.0.0", None)


def test_a_damaged_record_stays_with_its_run(ward: Ward) -> None:
    good, bad = ward.run(), ward.run()
    (Path(ward.table) / "_scoretrail" / bad.run_id / "run.json").write_text('{"run_id": 1')
    found = runs(ward)
    assert (found[good.run_id].status, found[bad.run_id].status) == ("published", "damaged")
    assert (found[bad.run_id].damaged or "").endswith(f"{bad.run_id}/run.json")
    assert found[bad.run_id].started_at == bad.started_at
    (Path(ward.table) / "_scoretrail" / bad.run_id / "intent.json").write_text("{")
    assert runs(ward)[bad.run_id].status == "damaged", "whose model nobody knows, so that it is anybody's"


def test_runs_of_other_models_are_left_out(ward: Ward) -> None:
    ward.run(model=OTHER, judged=verdict())
    mine = ward.run()
    ward.run("unfinished", model=OTHER | {"location": "s3://bucket/registry/another/2.0.0"})
    found = read_runs(ward.store)
    assert [one.run_id for one in of_model(found, MODEL)] == [mine.run_id]
    assert judged(found, MODEL) == []
    assert newest_model(found) == "another"


def test_only_the_newest_are_read_whatever_an_orchestrator_calls_them(ward: Ward) -> None:
    for i in range(6):
        ward.run(run_id=f"scheduled__2013-12-0{i + 1}")
    ward.run(run_id="manual__2013-11-30")
    found = read_runs(ward.store, newest=3)
    assert [one.run.run_id for one in found] == [
        "scheduled__2013-12-05",
        "scheduled__2013-12-06",
        "manual__2013-11-30",
    ]


def test_runs_are_in_the_order_in_which_they_began(ward: Ward) -> None:
    for run_id in ("b", "c", "a"):
        ward.run(run_id=run_id)
    assert [one.run.run_id for one in read_runs(ward.store)] == ["b", "c", "a"]


def test_verdicts_are_called_after_what_they_are_on(ward: Ward) -> None:
    ward.run(judged=verdict("drift"))
    many = ward.run(judged=verdict(), input={"root": "/input", "slices": ["ds=1", "ds=2"]})
    found = judged(read_runs(ward.store), MODEL)
    assert [(one.point, one.verdict["level"]) for one in found] == [("ds=2013-12-01", "drift"), (many.run_id, "ok")]


def test_the_pages_own_folder_is_no_run(ward: Ward) -> None:
    folder = Path(ward.table) / "_scoretrail" / "health"
    folder.mkdir(parents=True)
    (folder / "parcel.html").write_text("<!DOCTYPE html>")
    assert read_runs(ward.store) == []


def test_a_table_without_runs(ward: Ward) -> None:
    assert read_runs(ward.store) == []
    assert newest_model([]) is None
