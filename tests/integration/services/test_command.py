"""``scoretrail services`` from up to down: what it starts outlives it, is found again, and is gone in the end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.services import local
from jobs.services.process import running
from tests.factory.services import or_skip, read_committed

ROOT = Path(__file__).parents[3]
Scoretrail = Callable[..., Any]


@pytest.fixture
def scoretrail(tmp_path: Path) -> Iterator[Scoretrail]:
    """Return a function that runs a command in a process of its own and returns its JSON; ends what is left."""
    or_skip(lambda: local.kafka(tmp_path / "never-started"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(*arguments: str, code: int = 0) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "jobs.cli", "services", *arguments, "--json", "--quiet"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    yield run
    run("down", "--purge")


def by_name(answer: Any) -> dict[str, Any]:
    return {one["name"]: one for one in answer["services"]}


def test_from_up_to_down(scoretrail: Scoretrail, tmp_path: Path) -> None:
    first = scoretrail("up", "--topics", "--partitions", "2")
    assert set(first["topics_made"]) == {"events", "events.redrive", "predictions", "dead-letters"}
    assert all(one["reachable"] for one in first["services"])
    kafka = by_name(first)["kafka"]
    assert first["environment"]["SCORETRAIL__KAFKA__BOOTSTRAP"] == f'["{kafka["address"]}"]'
    assert read_committed(kafka["address"], "events") == []

    again = scoretrail("up", "--topics", "--partitions", "2")
    assert again["topics_made"] == []
    assert again["services"] == first["services"] == scoretrail("status")["services"]

    os.kill(by_name(first)["valkey"]["pid"], signal.SIGKILL)
    standing = by_name(scoretrail("status"))["valkey"]
    assert (standing["running"], standing["reachable"]) == (False, False)
    assert standing["address"] == by_name(first)["valkey"]["address"]
    mended = by_name(scoretrail("up"))
    assert mended["kafka"] == kafka
    assert mended["valkey"]["address"] == standing["address"]

    assert scoretrail("down")["stopped"] == ["kafka", "valkey"]
    assert running(kafka["pid"]) is None
    assert scoretrail("down")["stopped"] == []
    assert (tmp_path / ".scoretrail" / "services" / "kafka" / "data").is_dir()
    assert scoretrail("down", "--purge")["purged"] is True
    assert not (tmp_path / ".scoretrail" / "services" / "kafka").exists()
