"""What a run tells Prometheus: published, held, released, refused, unchanged; and nothing is lost by telling."""

from pathlib import Path
from typing import cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobs.batch.publication.release import release
from jobs.batch.spark.engine import SparkEngine
from scoretrail.clock import SystemClock
from scoretrail.errors import ConfigurationError, HeldError, RejectLimitError
from tests.factory.registered import Registered, open_registry
from tests.factory.workshop import InlineEngine, Workshop, make_registry, records, with_values


@pytest.fixture(scope="module")
def registry(
    tmp_path_factory: pytest.TempPathFactory, registered_linear: Registered, registered_trees: Registered
) -> Path:
    return make_registry(tmp_path_factory.mktemp("registry"), registered_linear, registered_trees)


@pytest.fixture
def told(tmp_path: Path, registry: Path) -> Workshop:
    folder = tmp_path / "textfiles"
    folder.mkdir()
    settings = {"metrics.textfile_folder": str(folder), "metrics.owners": {"parcel": "parcels"}}
    return Workshop(tmp_path / "shop", registry, cast("SparkEngine", InlineEngine()), settings)


def value(shop: Workshop, name: str, **labels: str) -> float | None:
    """Return the value of a metric, or None where nobody tells it."""
    found = [
        one
        for path in (shop.folder.parent / "textfiles").iterdir()
        for family in text_string_to_metric_families(path.read_text(encoding="utf-8"))
        for one in family.samples
        if one.name == f"scoretrail_{name}" and labels.items() <= one.labels.items()
    ]
    assert len(found) <= 1
    assert all(one.labels["owner"] == "parcels" and one.labels["output"] == shop.output for one in found)
    return found[0].value if found else None


def test_a_published_run_is_told_and_the_next_one_without_work_is_a_success_too(told: Workshop) -> None:
    told.write("ds=1/a.parquet", with_values("weight_kg", {0: -1.0}, 50))
    told.score()
    assert value(told, "batch_rows", outcome="scored") == 49
    assert value(told, "batch_rejected_ratio") == 0.02
    assert value(told, "model_info", version="1.0.0") == 1
    first = value(told, "batch_last_success_timestamp_seconds")
    told.score()
    again = value(told, "batch_last_success_timestamp_seconds")
    assert first is not None
    assert again is not None
    assert again > first
    assert value(told, "batch_status", status="unchanged") == 1
    assert value(told, "batch_rejected_ratio") == 0.02


def test_a_held_run_is_no_success_until_it_is_released(told: Workshop) -> None:
    told.write("ds=1/a.parquet", records(50))
    with pytest.raises(HeldError):
        told.score(hold=True, run_id="h1")
    assert value(told, "batch_status", status="held") == 1
    assert value(told, "batch_last_success_timestamp_seconds") is None
    release(told.output, "h1", open_registry(told.registry), told.resolved().settings, SystemClock())
    assert value(told, "batch_status", status="held") == 0
    assert value(told, "batch_status", status="published") == 1
    assert value(told, "batch_last_success_timestamp_seconds") is not None


def test_a_refused_run_is_told_with_what_it_would_have_rejected(told: Workshop) -> None:
    told.write("ds=1/a.parquet", with_values("weight_kg", dict.fromkeys(range(10), -1.0), 50))
    with pytest.raises(RejectLimitError):
        told.score()
    assert value(told, "batch_status", status="refused") == 1
    assert value(told, "batch_rejected_ratio") == 0.2


def test_a_folder_that_is_gone_stops_a_run_before_it_scores(told: Workshop) -> None:
    told.write("ds=1/a.parquet", records(50))
    (told.folder.parent / "textfiles").rmdir()
    with pytest.raises(ConfigurationError, match="metrics cannot be written"):
        told.score()
    assert told.store().run_ids() == []
