"""The console script on a cluster: it brings its own code, and says what is wrong with a master or an executor."""

import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factory.registered import Registered
from tests.integration.cluster.conftest import GOOD_ROWS
from tests.integration.cluster.launch import Launcher
from tests.integration.cluster.standalone import HOSTS, python_without_us


def test_it_scores_without_spark_submit_on_executors_without_our_code(launcher: Launcher, local_run: Launcher) -> None:
    outcome = launcher.score().outcome()
    assert outcome.code == 0, outcome.said
    assert launcher.rows().equals(local_run.rows())
    assert launcher.record()["environment"]["hosts"] == list(HOSTS)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["registered_trees", "registered_pipeline"])
def test_models_of_other_kinds_give_the_bits_of_a_local_run(
    launcher: Launcher, model: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    chosen: Registered = request.getfixturevalue(model)
    there = replace(launcher, registry=chosen.root, model=chosen.resolved.uri)
    (tmp_path / "local").mkdir()
    here = replace(there, folder=tmp_path / "local", master="local[2]", python=Path(sys.executable))
    for place in (there, here):
        outcome = place.score().outcome()
        assert outcome.code == 0, outcome.said
    assert there.rows().num_rows == GOOD_ROWS
    assert there.rows().equals(here.rows())


def test_doctor_finds_both_executors_and_what_they_import(launcher: Launcher) -> None:
    settings = ["--set=spark.conf.spark.executor.memory=512m", "--set=spark.conf.spark.cores.max=2"]
    outcome = launcher.command("doctor", "--spark", "--master", launcher.master, "--json", *settings).outcome()
    assert outcome.code == 0, outcome.said
    found = {one["check"]: one for one in outcome.result["findings"]}
    for host in HOSTS:
        assert found[f"executor on {host}"]["ok"]
        assert "scoretrail" in found[f"executor on {host}"]["found"]


def test_a_master_that_is_down_is_told_within_seconds(launcher: Launcher) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take the port
        away = replace(launcher, master=f"spark://127.0.0.1:{taken.getsockname()[1]}")
        began = time.monotonic()
        outcome = away.score().outcome()
        seconds = time.monotonic() - began
    assert outcome.code == 75, outcome.said
    error = outcome.result["error"]
    assert error["type"] == "EngineError"
    assert "does not answer" in error["what"]
    assert error["where"] == away.master
    assert seconds < 50, "Spark's own tries take a minute"


@pytest.mark.slow
def test_a_master_that_accepts_and_never_answers_is_given_up(launcher: Launcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        outcome = replace(launcher, master=f"spark://127.0.0.1:{silent.getsockname()[1]}").score().outcome()
    assert outcome.code == 75, outcome.said
    assert outcome.result["error"]["type"] == "EngineError"


@pytest.mark.slow
def test_an_executor_without_python_is_a_matter_of_configuration(launcher: Launcher, tmp_path: Path) -> None:
    outcome = replace(launcher, python=tmp_path / "no" / "python").score().outcome()
    assert outcome.code == 78, outcome.said
    assert "no/python" in outcome.result["error"]["got"]


@pytest.mark.slow
def test_an_executor_without_a_library_is_a_matter_of_configuration(launcher: Launcher, tmp_path: Path) -> None:
    python = python_without_us(tmp_path / "poor")
    (library,) = python.parents[1].glob("lib/python*/site-packages/onnxruntime")
    library.unlink()
    outcome = replace(launcher, python=python).score().outcome()
    assert outcome.code == 78, outcome.said
    assert "onnxruntime" in outcome.result["error"]["what"]
