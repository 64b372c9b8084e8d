"""A run is held against its model's baseline: the verdict covers all rows of its scopes, and may hold it."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from jobs.batch.audit.picture import picture
from jobs.batch.audit.reproduce import reproduce
from jobs.batch.publication.release import release
from jobs.batch.spark.engine import SparkEngine
from jobs.cli import run as command_line
from jobs.progress import SilentProgress
from scoretrail import digest
from scoretrail.clock import SystemClock
from scoretrail.errors import BundleError, DependencyError, HeldError, InputError, TrailError
from scoretrail.model.bundle import open_bundle
from scoretrail.model.manifest import FEATURES, GOLDEN, MODEL
from scoretrail.monitor.baseline import BASELINE
from scoretrail.monitor.learning import of_table
from scoretrail.monitor.report import render
from scoretrail.monitor.tally import Tally
from scoretrail.trail.run import RunStore
from tests.factory import example
from tests.factory.registered import Registered, open_registry
from tests.factory.workshop import InlineEngine, Workshop, records, with_values

WATCHED = "watched"
MODEL_URI = f"models:/{WATCHED}@champion"
BARE_URI = "models:/bare@champion"
ROWS = 2_000


def publish(registry: Path, like: Registered, name: str, further: dict[str, bytes]) -> None:
    """Publish a proven bundle once more, with further files."""
    files = {key: like.resolved.files[key] for key in (MODEL, FEATURES, GOLDEN)} | further
    hashes = {key: digest.of_bytes(data) for key, data in files.items()}
    opened = open_registry(registry)
    opened.publish(like.manifest.model_copy(update={"name": name, "version": "1.0.0", "files": hashes}), files)
    opened.move_alias(name, "champion", "1.0.0")


@pytest.fixture(scope="module")
def watched_registry(tmp_path_factory: pytest.TempPathFactory, registered_linear: Registered) -> Path:
    """One model with a baseline of all parcels, and the same without."""
    folder = tmp_path_factory.mktemp("watched")
    bundle = open_bundle(registered_linear.resolved.files)
    publish(folder, registered_linear, WATCHED, of_table(example.parcels())(bundle))
    publish(folder, registered_linear, "bare", {})
    return folder


@pytest.fixture
def watched(tmp_path: Path, watched_registry: Path) -> Workshop:
    return Workshop(tmp_path / "shop", watched_registry, cast("SparkEngine", InlineEngine()))


def shifted(rows: int, start: int = 0, by: float = 200.0) -> pa.Table:
    """Return parcels that all travel farther."""
    table = records(rows, start)
    farther = pa.array(np.asarray(table["distance_km"], np.float32) + np.float32(by))
    return records(rows, start, distance_km=farther)


def verdict_of(store: RunStore, run_id: str) -> dict[str, Any]:
    found = store.verdict(run_id)
    assert found is not None
    return found


def columns_at(verdict: dict[str, Any], level: str) -> set[str]:
    return {one["name"] for one in verdict["columns"] if one["level"] == level}


def test_rows_like_those_it_was_trained_on_are_ok(watched: Workshop) -> None:
    watched.write("ds=1/a.parquet", records(ROWS))
    run = watched.score(MODEL_URI)
    assert run.drift is not None
    assert (run.drift["level"], run.drift["columns"], run.drift["rows"]) == ("ok", [], ROWS)
    assert set(verdict_of(watched.store(), run.run_id)["kinds"].values()) == {"ok"}


def test_a_shifted_column_is_named_and_published_all_the_same(watched: Workshop) -> None:
    watched.write("ds=1/a.parquet", shifted(ROWS))
    run = watched.score(MODEL_URI)
    assert run.status == "published"
    assert run.drift is not None
    assert run.drift["level"] == "drift"
    assert "distance_km" in run.drift["columns"]
    assert "weight_kg" not in run.drift["columns"]
    assert run.drift["kinds"]["data"] == "drift"


def test_a_run_that_drifts_is_held_where_that_is_asked_and_released_by_hand(watched: Workshop) -> None:
    watched.write("ds=1/a.parquet", shifted(ROWS))
    settings = {"drift.on_drift": "hold"}
    with pytest.raises(HeldError, match="held") as caught:
        watched.score(MODEL_URI, settings=settings, run_id="r1")
    assert "distance_km" in (caught.value.got or "")
    assert watched.rows().num_rows == 0
    released = release(
        watched.output, "r1", open_registry(watched.registry), watched.resolved().settings, SystemClock()
    )
    assert (released.status, released.drift and released.drift["level"]) == ("published", "drift")
    assert watched.rows().num_rows == ROWS


def test_rows_as_usual_are_not_held(watched: Workshop) -> None:
    watched.write("ds=1/a.parquet", records(ROWS))
    assert watched.score(MODEL_URI, settings={"drift.on_drift": "hold"}).status == "published"


def test_the_verdict_covers_what_was_skipped(watched: Workshop) -> None:
    watched.write("ds=1/a.parquet", records(ROWS))
    alone = watched.score(MODEL_URI)
    watched.write("ds=2/a.parquet", records(ROWS, ROWS))
    both = watched.score(MODEL_URI)
    assert (both.rows["scored"], both.rows["skipped"]) == (ROWS, ROWS)
    assert both.drift is not None
    assert alone.drift is not None
    assert both.drift["rows"] == 2 * ROWS
    whole = watched.copy("whole").score(MODEL_URI)
    assert whole.drift is not None
    assert whole.drift["tally_sha256"] == both.drift["tally_sha256"] != alone.drift["tally_sha256"]


def test_one_day_scored_on_its_own_is_judged_on_its_own(watched: Workshop) -> None:
    watched.write("ds=1/a.parquet", records(ROWS))
    watched.write("ds=2/a.parquet", shifted(ROWS))
    first = watched.score(MODEL_URI, slices=("ds=1",))
    second = watched.score(MODEL_URI, slices=("ds=2",))
    assert first.drift is not None
    assert second.drift is not None
    assert (first.drift["level"], second.drift["level"]) == ("ok", "drift")


def test_a_second_run_that_agrees_confirms(watched: Workshop) -> None:
    for day, table in (("1", shifted(ROWS)), ("2", shifted(ROWS, ROWS)), ("3", records(ROWS)), ("4", shifted(ROWS))):
        watched.write(f"ds={day}/a.parquet", table)
    confirmed = []
    for day in "1234":
        run = watched.score(MODEL_URI, slices=(f"ds={day}",), run_id=f"r{day}")
        assert run.drift is not None
        confirmed.append("distance_km" in run.drift["confirmed"])
    assert confirmed == [False, True, False, False]
    assert verdict_of(watched.store(), "r2")["before"] == "r1"


def test_the_same_rows_once_more_confirm_nothing(watched: Workshop) -> None:
    watched.write("ds=1/a.parquet", shifted(ROWS))
    for run_id in ("r1", "r2"):
        with pytest.raises(HeldError):
            watched.score(MODEL_URI, settings={"drift.on_drift": "hold"}, run_id=run_id)
    verdict = verdict_of(watched.store(), "r2")
    assert (verdict["level"], verdict["before"], verdict["confirmed"]) == ("drift", None, [])


def test_rows_without_counts_in_this_baseline_are_told(watched: Workshop) -> None:
    watched.write("ds=1/a.parquet", records(ROWS))
    watched.write("ds=1/b.parquet", records(ROWS, ROWS))
    first = watched.score(MODEL_URI, run_id="r1")
    (Path(watched.output) / "_scoretrail" / "r1" / "run.json").unlink()  # as retention by hand would
    watched.write("ds=1/c.parquet", records(ROWS, 2 * ROWS))
    second = watched.score(MODEL_URI, run_id="r2")
    assert first.drift is not None
    assert second.drift is not None
    assert (first.drift["rows"], first.drift["rows_left_out"]) == (2 * ROWS, 0)
    assert (second.drift["rows"], second.drift["rows_left_out"]) == (ROWS, 2 * ROWS)


def test_without_evidently_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evidently", None)
    nothing = pa.table({"a": [1.0]})
    with pytest.raises(DependencyError) as caught:
        render(nothing, nothing, ["a"], [], {})
    assert "scoretrail[drift]" in (caught.value.fix or "")


def test_files_batches_and_engine_change_no_count(watched: Workshop, engine: SparkEngine) -> None:
    watched.write("ds=1/a.parquet", records(ROWS))
    once = watched.score(MODEL_URI)
    parted = Workshop(watched.folder.with_name("parted"), watched.registry, engine)
    for i in range(4):
        parted.write(f"ds=1/{i}.parquet", records(ROWS // 4, i * ROWS // 4))
    on_spark = parted.score(MODEL_URI, settings={"batch.batch_rows": 77})
    assert once.drift is not None
    assert on_spark.drift is not None
    assert on_spark.drift["tally_sha256"] == once.drift["tally_sha256"]


def test_refused_rows_count_before_validation(watched: Workshop) -> None:
    nulls = dict.fromkeys(range(0, ROWS, 10))
    watched.write("ds=1/a.parquet", with_values("distance_km", nulls, ROWS))
    run = watched.score(MODEL_URI, settings={"batch.max_reject_ratio": 0.2})
    assert run.rows["rejected"] == len(nulls)
    verdict = verdict_of(watched.store(), run.run_id)
    assert verdict["kinds"]["upstream"] == "drift"
    column = next(one for one in verdict["columns"] if one["name"] == "distance_km")
    assert column["rows"] == ROWS
    missing = next(one for one in column["checks"] if one["measure"] == "missing")
    assert missing["value"] == pytest.approx(0.1)
    assert next(one["rows"] for one in verdict["columns"] if one["name"] == "score") == ROWS - len(nulls)


def test_few_rows_are_not_enough(watched: Workshop) -> None:
    watched.write("ds=1/a.parquet", shifted(100))
    run = watched.score(MODEL_URI, settings={"drift.on_drift": "hold"})
    assert run.drift is not None
    assert run.drift["level"] == "not_enough_data"


def test_without_a_baseline_there_is_no_verdict(watched: Workshop) -> None:
    watched.write("ds=1/a.parquet", shifted(ROWS))
    run = watched.score(BARE_URI, settings={"drift.on_drift": "hold"})
    assert (run.status, run.drift) == ("published", None)
    assert watched.store().verdict(run.run_id) is None


def test_the_baseline_of_another_model_is_refused_and_nothing_published(
    watched: Workshop, registered_pipeline: Registered, registered_linear: Registered, tmp_path: Path
) -> None:
    other = of_table(example.parcels())(open_bundle(registered_pipeline.resolved.files))
    publish(tmp_path / "mixed", registered_linear, "mixed", other)
    shop = Workshop(watched.folder, tmp_path / "mixed", watched.engine)
    shop.write("ds=1/a.parquet", records(10))
    with pytest.raises(BundleError, match="of another model"):
        shop.score("models:/mixed@champion")
    assert not shop.table().exists


def test_a_run_comes_out_with_the_same_counts_and_forged_counts_are_found(watched: Workshop) -> None:
    watched.write("ds=1/a.parquet", records(ROWS))
    run = watched.score(MODEL_URI)
    registry, settings = open_registry(watched.registry), watched.resolved().settings

    def again() -> list[str]:
        found = reproduce(watched.table(), run.run_id, registry, settings, SilentProgress())
        assert found.equal == ROWS
        return [one.column for one in found.differences]

    assert again() == []
    (message,) = (Path(watched.output) / "_scoretrail" / run.run_id / "work").iterdir()
    forged = json.loads(message.read_bytes())
    tally = Tally.from_text(forged["tally"])
    forged["tally"] = (tally + tally).to_text()
    message.write_text(json.dumps(forged))
    assert again() == ["tally"]


def test_the_command_shows_the_verdict_and_gates(
    watched: Workshop, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    watched.write("ds=1/a.parquet", shifted(ROWS))
    run = watched.score(MODEL_URI)
    report = ["drift", "report", "--run", run.run_id, "--table", watched.output, "--no-page"]
    assert command_line(report) == 0
    shown = capsys.readouterr().out
    assert "DRIFT" in shown
    assert "distance_km" in shown
    assert command_line([*report, "--gate", "--json"]) == 3
    printed = capsys.readouterr()
    assert json.loads(printed.out.splitlines()[0])["level"] == "drift"
    assert "drifted from the baseline" in printed.err + printed.out


def test_the_command_says_where_there_is_no_verdict(watched: Workshop) -> None:
    watched.write("ds=1/a.parquet", records(10))
    run = watched.score(BARE_URI)
    assert command_line(["drift", "report", "--run", run.run_id, "--table", watched.output]) == 65


def test_evidently_shows_a_sample_beside_the_references(watched: Workshop) -> None:
    nowhere = pa.nulls(ROWS, pa.float32())  # takes its default, so that no row is refused
    watched.write("ds=1/a.parquet", shifted(ROWS).drop_columns(["height_m"]).append_column("height_m", nowhere))
    run = watched.score(MODEL_URI)
    registry, settings = open_registry(watched.registry), watched.resolved().settings
    page, place = picture(watched.output, run.run_id, registry, settings)
    assert Path(place).read_text(encoding="utf-8") == page.html
    assert "height_m" in page.left_out
    figures = json.loads(page.json)
    drifted = {one["config"].get("column"): one["value"] for one in figures["metrics"] if "column" in one["config"]}
    assert "distance_km" in drifted
    shutil.rmtree(watched.input)
    watched.write("ds=1/a.parquet", records(ROWS))
    with pytest.raises(InputError, match="not the one that was scored"):
        picture(watched.output, run.run_id, registry, settings)


def test_a_bundle_without_a_sample_has_no_page(
    watched: Workshop, registered_linear: Registered, tmp_path: Path
) -> None:
    bundle = open_bundle(registered_linear.resolved.files)
    made = of_table(example.parcels())(bundle)
    publish(tmp_path / "no-sample", registered_linear, WATCHED, {BASELINE: made[BASELINE]})
    shop = Workshop(watched.folder, tmp_path / "no-sample", watched.engine)
    shop.write("ds=1/a.parquet", records(ROWS))
    run = shop.score(MODEL_URI)
    with pytest.raises(BundleError, match="no sample"):
        picture(shop.output, run.run_id, open_registry(shop.registry), shop.resolved().settings)
    with pytest.raises(TrailError, match="no run"):
        picture(shop.output, "unknown", open_registry(shop.registry), shop.resolved().settings)
