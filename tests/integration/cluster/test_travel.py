"""A bundle travels to the executors by itself: they score although the registry is gone before they start."""

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from tests.integration.cluster.conftest import BAD_ROWS, GOOD_ROWS
from tests.integration.cluster.launch import Launcher
from tests.integration.cluster.standalone import HOSTS

PROGRAM = Path(__file__).with_name("vanishing.py")


def test_files_and_dataframes_are_scored_without_a_registry(
    launcher: Launcher, local_run: Launcher, tmp_path: Path
) -> None:
    registry, frame = tmp_path / "registry", tmp_path / "frame.parquet"
    shutil.copytree(launcher.registry, registry)
    outcome = replace(launcher, registry=registry).program(PROGRAM, str(frame)).outcome()
    assert outcome.code == 0, outcome.said
    assert outcome.result == {"registry_when_spark_started": False, "registry_at_the_end": False}
    assert not registry.exists()
    assert launcher.history().hosts("score_works") == set(HOSTS)

    rows = local_run.rows()
    assert launcher.rows().equals(rows)

    scored = pq.read_table(frame).sort_by("parcel_id")
    good = scored.filter(scored["score"].is_valid()).combine_chunks()
    assert (good.num_rows, scored.num_rows - good.num_rows) == (GOOD_ROWS, BAD_ROWS)
    shared = [name for name in good.column_names if name in rows.column_names]
    assert {"score", "label", "decision", "model_sha256", "bundle_sha256"} <= set(shared)
    assert good.select(shared).equals(rows.sort_by("parcel_id").select(shared).cast(good.select(shared).schema))
