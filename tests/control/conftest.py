"""What the tests of the control environment share: the DAGs, parsed once, in a home that is thrown away."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DAGS, PLUGINS = ROOT / "dags", ROOT / "plugins"

#: Airflow reads its settings when it is imported, and without a home it writes into that of the user.
_HOME = tempfile.TemporaryDirectory(prefix="scoretrail-airflow-")
os.environ |= {
    "AIRFLOW_HOME": _HOME.name,
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(PLUGINS),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
}
sys.path += [str(DAGS), str(PLUGINS)]  # as Airflow does

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # those of Airflow's own modules
    from airflow.dag_processing.dagbag import BundleDagBag


@pytest.fixture(scope="session")
def bag() -> BundleDagBag:
    """Every DAG of the folder."""
    return BundleDagBag(dag_folder=DAGS, bundle_path=DAGS, bundle_name="dags-folder")


@pytest.fixture
def scoretrail_connection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A connection to a scoring environment that is a folder with one program; return the folder."""
    program = tmp_path / "venv" / "bin" / "scoretrail"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    extra = {"home": str(tmp_path), "environment": str(tmp_path / "venv"), "variables": {"A": "1"}}
    monkeypatch.setenv("AIRFLOW_CONN_SCORETRAIL", json.dumps({"conn_type": "generic", "extra": extra}))
    return tmp_path
