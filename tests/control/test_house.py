"""Rules of the house over all DAGs: they parse at once and without what they schedule, and each says whose it is."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import DAGS, PLUGINS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.dag_processing.dagbag import BundleDagBag

NAMES = {"backfill_scores", "build_features", "join_labels", "materialize_features", "monitor_drift", "score_daily"}
PARSE_LIMIT_S = 1.0
#: A DAG knows Airflow's SDK and its Spark provider, and what lies beside it.
ALLOWED = {"airflow.sdk", "airflow.providers.apache.spark", "scoretrail_airflow", *sys.stdlib_module_names}
SOURCES = sorted(DAGS.rglob("*.py"))


def every_task(bag: BundleDagBag) -> Iterator[Any]:
    for dag in bag.dags.values():
        yield from dag.tasks


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def foreign(names: set[str]) -> set[str]:
    return {name for name in names if not any(name == one or name.startswith(f"{one}.") for one in ALLOWED)}


def test_every_dag_is_there_and_imports_cleanly(bag: BundleDagBag) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == NAMES
    assert {Path(dag.fileloc).stem: dag.dag_id for dag in bag.dags.values()} == {name: name for name in NAMES}


def test_all_of_them_parse_within_a_second() -> None:
    program = (
        "import json, sys, time; from airflow.dag_processing.dagbag import BundleDagBag as Bag\n"
        "began = time.monotonic()\n"
        f"bag = Bag(dag_folder={str(DAGS)!r}, bundle_path={str(DAGS)!r}, bundle_name='dags-folder')\n"
        "seconds = time.monotonic() - began\n"
        "print(json.dumps([seconds, len(bag.dags), sorted({name.partition('.')[0] for name in sys.modules})]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    seconds, dags, modules = json.loads(done.stdout.splitlines()[-1])
    assert dags == len(NAMES)
    assert seconds < PARSE_LIMIT_S
    assert {"pyspark", "scoretrail", "jobs", "pandas", "pyarrow", "numpy"}.isdisjoint(modules)


@pytest.mark.parametrize("package", ["scoretrail", "jobs", "pyspark", "pyspark_client", "onnxruntime", "deltalake"])
def test_the_environment_that_schedules_has_nothing_that_scores(package: str) -> None:
    assert importlib.util.find_spec(package) is None


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_dag_knows_airflow_and_the_standard_library(path: Path) -> None:
    assert foreign(imported(path)) == set()


def test_what_a_dag_may_not_import_is_found() -> None:
    names = {"airflow.sdk", "json", "scoretrail_airflow.link", "scoretrail.errors", "airflow.models", "pyspark.sql"}
    assert foreign(names) == {"scoretrail.errors", "airflow.models", "pyspark.sql"}


@pytest.mark.parametrize("path", [*SOURCES, *PLUGINS.glob("*.py")], ids=lambda path: path.name)
def test_no_host_is_in_a_dag_file(path: Path) -> None:
    """Hosts are in connections; an asset's URI is a name, and links in comments lead to documentation."""
    text = path.read_text(encoding="utf-8")
    for scheme in ("spark://", "redis://", "s3://", "jdbc:", "127.0.0.1", "localhost"):
        assert scheme not in text


def test_every_dag_says_what_it_does_and_whose_it_is(bag: BundleDagBag) -> None:
    for dag in bag.dags.values():
        assert dag.doc_md, dag.dag_id
        assert len(dag.doc_md) > 200, dag.dag_id
        assert {"scoretrail"} <= set(dag.tags), dag.dag_id
        assert dag.owner not in {"", "airflow"}, dag.dag_id
        assert dag.max_active_runs < 16, dag.dag_id
        assert dag.catchup is False, dag.dag_id


def test_every_task_has_an_owner_retries_a_limit_a_policy_a_notifier_and_documentation(bag: BundleDagBag) -> None:
    for task in every_task(bag):
        where = f"{task.dag_id}.{task.task_id}"
        assert task.owner not in {"", "airflow"}, where
        assert task.retries >= 1 or task.task_id == "judge", where
        assert timedelta(0) < task.execution_timeout <= timedelta(hours=2), where
        assert task.retry_policy is not None, where
        assert task.on_failure_callback, where
        assert task.doc_md or task.doc, where


def test_whatever_starts_spark_waits_for_a_place_in_its_pool(bag: BundleDagBag) -> None:
    spark = [task for task in every_task(bag) if task.task_type == "SubmitOperator"]
    assert {task.dag_id for task in spark} == {"backfill_scores", "build_features", "score_daily"}
    assert {task.pool for task in spark} == {"scoretrail_spark"}


def test_every_dag_can_be_tried_dry(bag: BundleDagBag) -> None:
    for dag in bag.dags.values():
        assert dag.params["dry_run"] is False, dag.dag_id
