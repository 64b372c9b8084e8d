"""Archivers are killed again and again while predictions come; each prediction is one row in the end."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.stream.conftest import length
from tests.factory.archive_stage import LIMIT_S, ArchiveStage
from tests.factory.registered import Registered
from tests.factory.services import Kafka
from tests.factory.workshop import make_registry

STEPS = ("polled", "written", "committed")
#: Few rows a commit, and a merge of files every few commits, so that each kind of commit is met.
OFTEN: dict[str, Any] = {"archive__commit_rows": 40, "archive__commit_s": 0.2, "archive__compact_commits": 4}
KILLS_FOR_ONE = 10
"""Of workers, in a storm of so many kills for each of an archiver, which takes seconds to start."""


@pytest.fixture
def stage(
    kafka: Kafka, tmp_path: Path, registered_linear: Registered, registered_trees: Registered
) -> Iterator[ArchiveStage]:
    found = ArchiveStage(kafka, tmp_path, make_registry(tmp_path / "registry", registered_linear, registered_trees))
    yield found
    found.end()


def feed_until_it_ends(stage: ArchiveStage, archiver: subprocess.Popen[str], limit_s: float) -> None:
    """Write predictions while an archiver runs, and kill it at the limit."""
    end = time.monotonic() + limit_s
    while archiver.poll() is None and time.monotonic() < end:
        stage.write(stage.predictions(30))
        time.sleep(0.05)
    archiver.kill()
    archiver.communicate(timeout=LIMIT_S)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_archivers_that_are_killed_lose_and_double_no_row(
    stage: ArchiveStage, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = length(kills=200, events=0, rate=0)
    chosen, began = random.Random(asked.seed), time.monotonic()
    done: Counter[str] = Counter()
    while done.total() < asked.kills // KILLS_FOR_ONE and time.monotonic() - began < asked.limit_s:
        stage.write(stage.predictions(60))
        step = chosen.choice((*STEPS, ""))
        rival = stage.start(once=False, **OFTEN) if chosen.random() < 0.2 else None
        archiver = stage.start(once=False, step=step, times=chosen.randint(1, 4), **OFTEN)
        assert archiver.stdout is not None
        archiver.stdout.readline()  # it polls
        feed_until_it_ends(stage, archiver, LIMIT_S if step else chosen.uniform(0.05, 2))
        assert archiver.returncode == -signal.SIGKILL
        if rival is not None:
            rival.kill()
            rival.communicate(timeout=LIMIT_S)
            done["a rival"] += 1
        done[step or "at any moment"] += 1
    stage.archive()
    with capsys.disabled():
        sys.stdout.write(f"\n{dict(done)}, {len(stage.rows())} rows, {time.monotonic() - began:.0f} s\n")
    stage.assert_each_once()
    told = stage.command("stream", "reproduce")
    assert (told["rows"], told["equal"], told["different"]) == (len(stage.rows()), len(stage.rows()), 0)


def test_the_control_a_row_that_is_there_twice_or_not_at_all_is_found_out(stage: ArchiveStage) -> None:
    stage.write(stage.predictions(50))
    stage.archive()
    stage.write(stage.predictions(10))
    with pytest.raises(AssertionError, match="10 lost"):
        stage.assert_each_once()
    rows = stage.rows
    stage.rows = lambda: [*rows(), rows()[0]]  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="some twice"):
        stage.assert_each_once()
