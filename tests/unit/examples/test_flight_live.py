"""The demo's model with stored features on a part of the real flights: what it sees, and how it is registered."""

from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import pytest

from examples.flights import train as module
from examples.flights.prepare import PreparedFlights
from examples.flights.register import GUARDS, LIVE_CHANGES, LIVE_NAME, Provenance, register_live
from examples.flights.stored import StoredFlights, prepare_stored
from examples.flights.train import LiveCandidate, train_live
from scoretrail.clock import SystemClock
from scoretrail.config import BudgetSettings
from scoretrail.errors import RegistryError
from scoretrail.model.bundle import open_bundle
from scoretrail.model.registry import Registry
from scoretrail.scoring import score_batch
from scoretrail.storage import Storage
from tests.factory.flights import source_folder
from tests.factory.live_flights import LIVE_CODE, LIVE_VIEW, built_by_hand, read_files
from tests.factory.registered import QUICK
from tests.unit.examples.conftest import DAYS, Source

ORIGIN = Provenance(code_commit="0" * 40, lock_sha256="1" * 64)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredFlights:
    folder = tmp_path_factory.mktemp("stored")
    return prepare_stored(folder / "data", source=source_folder(folder / "source", DAYS))


@pytest.fixture(scope="module")
def built(stored: StoredFlights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_by_hand(stored, stored.training, tmp_path_factory.mktemp("built") / "training")


@pytest.fixture(scope="module")
def candidate(prepared: PreparedFlights, built: Path) -> LiveCandidate:
    return train_live(prepared, built, LIVE_CODE)


def test_it_is_trained_on_the_landed_flights_of_its_months(source: Source, candidate: LiveCandidate) -> None:
    landed = [row for row in source.rows if int(row["month"]) <= 8 and row["arr_delay"] != "NA"]
    stated = candidate.trees.training
    assert stated.rows == candidate.records.num_rows == len(landed)
    assert (stated.window_start, stated.window_end) == ("2013-01-09", "2013-08-10")
    assert candidate.records.column_names == list(LIVE_VIEW.record_columns), "nothing of the label"


def test_it_scores_as_its_export_and_better_than_chance(candidate: LiveCandidate) -> None:
    value = {metric.name: metric.value for metric in candidate.trees.metrics}
    assert value["onnx_max_difference"] <= module.MAX_DIFFERENCE
    assert value["roc_auc"] > 0.6
    assert value["pr_auc"] > value["late_share"]
    assert 0 < candidate.trees.band.low <= candidate.trees.threshold < candidate.trees.band.high < 1


def test_stored_features_decide(candidate: LiveCandidate, stored: StoredFlights, tmp_path: Path) -> None:
    days = read_files(built_by_hand(stored, stored.december, tmp_path / "december")).combine_chunks()
    (batch,) = days.to_batches()
    features = LIVE_VIEW.derive(LIVE_VIEW.prepare(batch)[0])[0]
    matrix = np.column_stack([np.asarray(column.fill_null(np.nan)) for column in features.columns]).astype(np.float32)
    session = onnxruntime.InferenceSession(candidate.trees.onnx, providers=["CPUExecutionProvider"])
    with_them = session.run(None, {"features": matrix})[1][:, 1]
    n_timetable = LIVE_VIEW.inputs.index("temp")
    matrix[:, n_timetable:] = np.nan
    without = session.run(None, {"features": matrix})[1][:, 1]
    assert np.mean(with_them != without) > 0.9


def test_training_again_gives_the_same_bytes(candidate: LiveCandidate, prepared: PreparedFlights, built: Path) -> None:
    assert train_live(prepared, built, LIVE_CODE).trees.onnx == candidate.trees.onnx


def test_the_data_digest_follows_the_joined_records(
    candidate: LiveCandidate, prepared: PreparedFlights, built: Path
) -> None:
    (file,) = (built / "month=2013-03").glob("*.parquet")
    before = file.read_bytes()
    try:
        pq.write_table(pq.read_table(file, partitioning=None), file, compression="none")
        again = train_live(prepared, built, LIVE_CODE)
    finally:
        file.write_bytes(before)
    assert again.trees.onnx == candidate.trees.onnx
    assert again.trees.training.data_sha256 != candidate.trees.training.data_sha256


# --- Registered: measured in a process of its own ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def registry(candidate: LiveCandidate, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    made = Registry(Storage(str(tmp_path_factory.mktemp("registry"))), SystemClock())
    registered(made, candidate)
    return made


def registered(registry: Registry, candidate: LiveCandidate) -> list[str]:
    said: list[str] = []
    register_live(
        registry,
        candidate,
        clock=SystemClock(),
        budget=BudgetSettings(),
        engines=QUICK,
        origin=ORIGIN,
        progress=said.append,
    )
    return said


@pytest.mark.integration
def test_it_is_registered_with_its_story(registry: Registry, candidate: LiveCandidate) -> None:
    assert registry.aliases(LIVE_NAME) == {"champion": "1.0.0"}
    manifest = registry.manifest(LIVE_NAME, "1.0.0")
    assert manifest.output.classes == ("on_time", "late")
    assert manifest.training.code_commit == ORIGIN.code_commit
    assert manifest.metrics == candidate.trees.metrics
    assert manifest.card.changes == LIVE_CHANGES
    assert manifest.guards == GUARDS
    assert manifest.block is None, "trees give the same bits at any batch size"


@pytest.mark.integration
def test_a_day_is_scored_and_says_what_became_of_its_stored_features(
    registry: Registry, stored: StoredFlights, tmp_path: Path
) -> None:
    bundle = open_bundle(registry.resolve(f"models:/{LIVE_NAME}@champion").files)
    (batch,) = read_files(built_by_hand(stored, stored.december, tmp_path / "december")).combine_chunks().to_batches()
    scored, rejected = score_batch(bundle, batch)
    assert (len(scored.rows), len(rejected.rows)) == (batch.num_rows, 0)
    assert set(scored.stored) == {one.name for one in LIVE_VIEW.stored}
    outcomes = scored.stored["origin_weather"].outcome.to_pylist()
    assert outcomes.count("fresh") > 0.9 * batch.num_rows
    late = np.asarray(scored.score) >= bundle.manifest.threshold
    assert scored.label.to_pylist() == ["late" if one else "on_time" for one in late]


@pytest.mark.integration
def test_what_is_registered_is_left_alone_and_other_code_is_refused(
    registry: Registry, candidate: LiveCandidate
) -> None:
    before = registry.history(LIVE_NAME)
    assert registered(registry, candidate) == [f"{LIVE_NAME} 1.0.0 is registered already"]
    assert registry.history(LIVE_NAME) == before
    other = LiveCandidate(candidate.trees, candidate.features + b"\n", candidate.records)
    with pytest.raises(RegistryError, match=r"registered already, with other bytes(.|\n)*features\.py"):
        registered(registry, other)
