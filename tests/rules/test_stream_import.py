"""What a streaming worker has in memory: it scores without the libraries that others need."""

import subprocess
import sys

import pytest

from tests.rules.source import ROOT

UNWELCOME = {"pandas", "pyspark", "evidently", "deltalake", "airflow", "kafka", "redis", "onnx", "sklearn"}

SCORE = """
import sys
from scoretrail.feature.lean import keep_pandas_out
keep_pandas_out()
{imports}
from jobs.stream.handling.handler import Handler
from jobs.stream.message.identity import Identity, Topics
from jobs.stream.handling.lookup import Lookup, StorePolicy
from jobs.stream.record import Record
from jobs.stream.audit.reproduction import reproduce_prediction
from scoretrail.model.bundle import open_bundle
from scoretrail.model.registry import Registry
from scoretrail.clock import SystemClock
from scoretrail.storage import Storage
bundle = open_bundle(Registry(Storage(sys.argv[1]), SystemClock()).resolve("models:/parcel-trees@champion").files)
handler = Handler(
    bundle, Lookup(None, StorePolicy.PAUSE), Topics(predictions="p", dead_letters="d"), Identity(app="a", cluster="c")
)
value = b'{{"parcel_id":"p1","sent_at":0,"weight_kg":1,"distance_km":2}}'
records = [Record("e", 0, i, 0, None, value if i else b"x") for i in range(3)]
messages = handler.handle(records)
assert [message.topic for message in messages] == ["d", "p", "p"]
assert reproduce_prediction(messages[1].value, bundle) == []
print(*sys.modules)
"""


def loaded(registry: str, imports: str = "") -> set[str]:
    """Return the top-level names in ``sys.modules`` of a process that has scored events."""
    run = subprocess.run(
        [sys.executable, "-c", SCORE.format(imports=imports), registry],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return {name.partition(".")[0] for name in run.stdout.splitlines()[-1].split()}


@pytest.fixture(scope="module")
def registry(registered_trees: "object") -> str:
    return str(registered_trees.root)  # type: ignore[attr-defined]


def test_scoring_events_loads_none_of_them(registry: str) -> None:
    assert loaded(registry) & UNWELCOME == set()


def test_one_of_them_would_be_seen(registry: str) -> None:
    assert "pandas" in loaded(registry, "import pandas")
