"""The demo's models from training to scores: registered once, resolved by alias, opened, scored."""

import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from examples.flights.prepare import PreparedFlights
from examples.flights.register import CHANGES, GUARDS, MODEL_NAME, Provenance, provenance, register_models
from examples.flights.train import Candidates, train
from scoretrail.clock import SystemClock
from scoretrail.config import BudgetSettings
from scoretrail.errors import RegistryError
from scoretrail.feature import FeatureView
from scoretrail.model.bundle import open_bundle
from scoretrail.model.registry import Registry
from scoretrail.scoring import score_batch
from scoretrail.storage import Storage
from tests.factory.registered import QUICK

pytestmark = pytest.mark.integration  # registration measures each bundle in a process of its own

ORIGIN = Provenance(code_commit="0" * 40, lock_sha256="1" * 64)


@pytest.fixture(scope="module")
def candidates(prepared: PreparedFlights, features: bytes) -> Candidates:
    return train(prepared, features)


@pytest.fixture(scope="module")
def registry(candidates: Candidates, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    made = Registry(Storage(str(tmp_path_factory.mktemp("registry"))), SystemClock())
    registered(made, candidates)
    return made


def registered(registry: Registry, candidates: Candidates) -> list[str]:
    said: list[str] = []
    register_models(
        registry,
        candidates,
        clock=SystemClock(),
        budget=BudgetSettings(),
        engines=QUICK,
        origin=ORIGIN,
        progress=said.append,
    )
    return said


def test_both_models_are_registered_with_their_story(registry: Registry, candidates: Candidates) -> None:
    assert registry.aliases(MODEL_NAME) == {"champion": "1.0.0", "challenger": "2.0.0"}
    for version, candidate in (("1.0.0", candidates.linear), ("2.0.0", candidates.trees)):
        manifest = registry.manifest(MODEL_NAME, version)
        assert manifest.output.classes == ("on_time", "late")
        assert manifest.training.code_commit == ORIGIN.code_commit
        assert manifest.training.lock_sha256 == ORIGIN.lock_sha256
        assert manifest.metrics == candidate.metrics
        assert manifest.card.changes == CHANGES[version]
        assert manifest.guards == GUARDS
    assert registry.manifest(MODEL_NAME, "1.0.0").block == 1024
    assert registry.manifest(MODEL_NAME, "2.0.0").block is None, "trees give the same bits at any batch size"


@pytest.mark.parametrize("alias", ["champion", "challenger"])
def test_a_day_is_scored_as_the_model_says(
    registry: Registry, candidates: Candidates, prepared: PreparedFlights, view: FeatureView, alias: str
) -> None:
    bundle = open_bundle(registry.resolve(f"models:/{MODEL_NAME}@{alias}").files)
    table = pq.read_table(prepared.flights / "ds=2013-12-10" / "flights.parquet", partitioning=None)
    (batch,) = table.combine_chunks().to_batches()
    scored, rejected = score_batch(bundle, batch)
    assert (len(scored.rows), len(rejected.rows)) == (batch.num_rows, 0)
    matrix = np.column_stack([np.asarray(column) for column in view.derive(view.prepare(batch)[0])[0].columns])
    model = candidates.linear.onnx if alias == "champion" else candidates.trees.onnx
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    alone = session.run(None, {"features": matrix})[1][:, 1]
    capped = np.clip(alone, GUARDS.cap_minimum, GUARDS.cap_maximum)
    assert np.asarray(scored.score) == pytest.approx(capped, abs=1e-6)
    assert set(scored.decision.to_pylist()) == {"on_time", "late", "watch"}
    late = np.asarray(scored.score) >= bundle.manifest.threshold
    assert scored.label.to_pylist() == ["late" if one else "on_time" for one in late]


def test_flights_that_cannot_be_are_rejected_and_the_others_scored(
    registry: Registry, prepared: PreparedFlights
) -> None:
    bundle = open_bundle(registry.resolve(f"models:/{MODEL_NAME}@champion").files)
    table = pq.read_table(prepared.flights / "ds=2013-12-10" / "flights.parquet", partitioning=None)
    (batch,) = table.slice(0, 5).combine_chunks().to_batches()
    carrier = batch.schema.get_field_index("carrier")
    changed = batch.set_column(carrier, "carrier", pa.array(["UA", "??", "UA", None, "UA"]))
    scored, rejected = score_batch(bundle, changed)
    assert scored.rows.tolist() == [0, 2, 4]
    assert rejected.reason.to_pylist() == ["unknown_category", "null_not_allowed"]


def test_what_is_registered_is_left_alone(registry: Registry, candidates: Candidates) -> None:
    before = registry.history(MODEL_NAME)
    assert registered(registry, candidates) == [
        "flight-delay 1.0.0 is registered already",
        "flight-delay 2.0.0 is registered already",
    ]
    assert registry.history(MODEL_NAME) == before


def test_an_alias_that_was_moved_stands_again(registry: Registry, candidates: Candidates) -> None:
    registry.move_alias(MODEL_NAME, "champion", "2.0.0")
    assert registered(registry, candidates)[1] == "champion is flight-delay 1.0.0"
    assert registry.aliases(MODEL_NAME)["champion"] == "1.0.0"


def test_other_feature_code_under_the_same_version_is_refused(registry: Registry, candidates: Candidates) -> None:
    other = Candidates(candidates.linear, candidates.trees, candidates.features + b"\n", candidates.records)
    with pytest.raises(RegistryError, match=r"registered already, with other bytes(.|\n)*features\.py"):
        registered(registry, other)


def test_the_origin_is_the_commit_and_the_lock(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    assert provenance(tmp_path) == Provenance(None, None)
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "scoring.txt").write_bytes(b"")
    git("init", "--quiet")
    assert provenance(tmp_path).code_commit is None
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert provenance(tmp_path) == Provenance(git("rev-parse", "HEAD"), empty)
    (tmp_path / "new.py").touch()
    assert provenance(tmp_path).code_commit == git("rev-parse", "HEAD") + "-dirty"
