"""What is known of services that an earlier command started, and what is left alone."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from jobs.services.development import NAMES, Development
from jobs.services.jars import JarCache
from jobs.services.process import Process, running
from scoretrail.errors import ServiceError, UsageError


@pytest.fixture
def development(tmp_path: Path) -> Development:
    return Development(folder=tmp_path / "state", cache=JarCache(folder=tmp_path / "cache"))


def ourselves() -> Process:
    process = running(os.getpid())
    assert process is not None
    return process


def write(development: Development, name: str, **record: Any) -> None:
    place = development.folder / name
    place.mkdir(parents=True)
    (place / "service.json").write_text(json.dumps(record))


def test_at_first_nothing_runs_and_nothing_is_made(development: Development) -> None:
    standings = development.status()
    assert [one.name for one in standings] == list(NAMES)
    assert {(one.address, one.pid, one.reachable) for one in standings} == {(None, None, False)}
    assert not development.folder.exists()


def test_a_process_that_got_the_same_id_later_is_left_alone(development: Development) -> None:
    """The record has this very process's id, and another start: a signal would end the test."""
    write(development, "valkey", port=1, pid=os.getpid(), started="before")
    said: list[str] = []
    assert development.down(said.append) == []
    assert said == []
    assert development.status()[1].pid is None


def test_its_own_process_is_told_by_its_start(development: Development) -> None:
    write(development, "valkey", port=1, pid=os.getpid(), started=ourselves().started)
    (_, standing) = development.status()
    assert (standing.pid, standing.address, standing.reachable) == (os.getpid(), "127.0.0.1:1", False)


def test_one_that_runs_and_does_not_answer_is_not_started_again(development: Development) -> None:
    write(development, "valkey", port=1, pid=os.getpid(), started=ourselves().started)
    with pytest.raises(ServiceError, match="runs and does not answer"):
        development.up({"valkey": None}, print)


def test_one_that_runs_does_not_move(development: Development) -> None:
    write(development, "valkey", port=1, pid=os.getpid(), started=ourselves().started)
    with pytest.raises(UsageError, match="another port"):
        development.up({"valkey": 2}, print)


def test_what_was_stored_goes_only_when_asked(development: Development) -> None:
    write(development, "valkey", port=1, pid=os.getpid(), started="before")
    development.down(print)
    assert (development.folder / "valkey").is_dir()
    development.down(print, purge=True)
    assert not (development.folder / "valkey").exists()
