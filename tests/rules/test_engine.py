"""One engine, one module: who may import which library, and what an entry point pulls in."""

import subprocess
import sys
from collections.abc import Collection

import pytest

from tests.rules.source import ROOT, Module, modules

#: The only modules that may import these libraries, in ``scoretrail`` and ``jobs`` alike.
HOMES = {
    "evidently": {"scoretrail.monitor.report"},
    "deltalake": {"scoretrail.table"},
    "jinja2": {"jobs.health.page"},
    "obstore": {"scoretrail.storage"},
    "llvmlite": {"scoretrail.assembly"},
    "onnx": {"scoretrail.model.graph", "scoretrail.model.trees.cut"},
    "onnxruntime": {"scoretrail.model.scorer"},
    "kafka": {
        "jobs.services.topics",
        *(f"jobs.stream.kafka.{name}" for name in ("broker", "cluster", "connection", "reader")),
    },
    "prometheus_client": {"jobs.metrics.exposition"},
    "redis": {"scoretrail.feature.online_redis"},
    "sqlglot": {"jobs.batch.input.predicate"},
}

#: What the core does not know, neither in its text nor through a library that it imports; but for a home above.
FOREIGN_TO_CORE = {
    "airflow",
    "evidently",
    "kafka",
    "lightgbm",
    "onnxmltools",
    "pandas",
    "pyspark",
    "redis",
    "skl2onnx",
    "sklearn",
}

#: Loaded by what publishes, registers or describes, never by what scores.
LOADED_IN = {
    "deltalake": {"scoretrail.table"},
    "onnx": {
        "scoretrail.model.graph",
        "scoretrail.model.registration",
        "scoretrail.model.trees.cut",
        "scoretrail.model.trees.planning",
        "scoretrail.model.trees.trial",
    },
}

CORE = modules("scoretrail")
ALL = modules()


def violations(candidates: Collection[Module]) -> list[str]:
    found = []
    for module in candidates:
        for root in sorted(module.imported_roots()):
            foreign = module.name.startswith("scoretrail") and root in (FOREIGN_TO_CORE - HOMES.keys()) | {"jobs"}
            if foreign or module.name not in HOMES.get(root, {module.name}):
                found.append(f"{module.name} imports {root}")
    return found


def loaded_by(statement: str) -> set[str]:
    """Return the top-level names in ``sys.modules`` after the statement, in a fresh interpreter."""
    program = f"{statement}\nimport sys; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr
    return {module.partition(".")[0] for module in run.stdout.splitlines()[-1].split()}


def unwelcome_in(name: str) -> set[str]:
    """Return what may not be loaded when the module ``name`` is imported."""
    welcome = {engine for engine, homes in HOMES.items() if name in homes}
    return FOREIGN_TO_CORE - welcome | {engine for engine, homes in LOADED_IN.items() if name not in homes}


def test_one_engine_one_module() -> None:
    assert violations(ALL) == []


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("jobs.batch.plan.plan", "import deltalake", "jobs.batch.plan.plan imports deltalake"),
        ("scoretrail.scoring", "def f():\n    from onnx import helper", "scoretrail.scoring imports onnx"),
        ("scoretrail.digest", "import pyspark.sql", "scoretrail.digest imports pyspark"),
        (
            "scoretrail.log",
            "import importlib\nimportlib.import_module('redis')",
            "scoretrail.log imports redis",
        ),
        ("scoretrail.config", "from jobs import cli", "scoretrail.config imports jobs"),
    ],
)
def test_a_forbidden_import_is_found(name: str, text: str, expected: str) -> None:
    assert violations([Module(name=name, text=text)]) == [expected]


def test_an_engine_is_welcome_at_home() -> None:
    home = Module(name="scoretrail.model.scorer", text="import onnxruntime\nimport numpy as np")
    assert violations([home]) == []


def test_every_home_exists() -> None:
    homes = set().union(*HOMES.values(), *LOADED_IN.values())
    assert homes <= {module.name for module in ALL}


#: Modules in which an engine is welcome that is not in the others; each is looked at alone.
SPECIAL = set().union(*HOMES.values(), *LOADED_IN.values())
PLAIN = [module.name for module in CORE if module.name not in SPECIAL]


def test_the_core_loads_no_foreign_engine() -> None:
    """All that are alike at once: an interpreter for each takes a minute, and none may load what another may not."""
    for name in PLAIN:
        assert unwelcome_in(name) == unwelcome_in("scoretrail")
    found = loaded_by("\n".join(f"import {name}" for name in PLAIN)) & unwelcome_in("scoretrail")
    guilty = [name for name in PLAIN if found & loaded_by(f"import {name}")] if found else []
    assert (found, guilty) == (set(), [])


@pytest.mark.parametrize("name", [module.name for module in CORE if module.name in SPECIAL])
def test_a_home_of_an_engine_loads_no_other(name: str) -> None:
    assert loaded_by(f"import {name}") & unwelcome_in(name) == set()


def test_the_command_line_starts_without_engines() -> None:
    assert loaded_by("import jobs.cli") & {*FOREIGN_TO_CORE, "onnx", "onnxruntime", "sqlglot"} == set()


def test_a_loaded_engine_is_seen() -> None:
    assert "onnxruntime" in loaded_by("import onnxruntime")
