"""The windows are kept up from time to time, and nothing about them stops the archive."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.archive.judgement import DayJudge
from jobs.archive.keeping import WindowKeeper
from tests.factory.watched import START_US, readings
from tests.factory.windowed import RETENTION_DAYS, SETTINGS, Windowed


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def stage(tmp_path: Path) -> Windowed:
    return Windowed(tmp_path)


def keeper(stage: Windowed, clock: Hand, every: int = 0) -> WindowKeeper:
    table = stage.windows
    judge = DayJudge(table, stage.counter, SETTINGS, {})
    return WindowKeeper(table, judge, clock, retention_days=RETENTION_DAYS, merge=(every, 2**20))  # type: ignore[arg-type]


def rows(stage: Windowed) -> int:
    table = stage.windows.table
    return int(table.to_pyarrow_dataset().count_rows()) if table.exists else 0


def test_it_copies_at_once_and_then_from_time_to_time(stage: Windowed) -> None:
    clock = Hand()
    stage.score(readings(1, days=1))
    kept = keeper(stage, clock)
    kept.turn()
    assert rows(stage) == 1
    stage.score(readings(1, days=1, start_us=START_US + 3_600_000_000))
    kept.turn()
    assert rows(stage) == 1
    clock.at = 300.0
    kept.turn()
    assert rows(stage) == 2


def test_at_the_end_it_copies_whatever_the_time(stage: Windowed) -> None:
    kept = keeper(stage, Hand())
    kept.turn()
    stage.score(readings(1, days=1))
    kept.keep()
    assert rows(stage) == 1


def test_small_files_are_merged_after_some_copies(stage: Windowed) -> None:
    kept = keeper(stage, Hand(), every=3)
    for _ in range(3):
        stage.score(readings(1, days=1))
        kept.keep()
    assert len(stage.windows.table.live_files()) == 1
    assert rows(stage) == 3


def test_what_goes_wrong_is_said_and_tried_again(stage: Windowed, capsys: pytest.CaptureFixture[str]) -> None:
    stage.score(readings(1, days=1))
    kept = keeper(stage, Hand())
    in_its_place = Path(stage.windows.table.uri)
    in_its_place.write_bytes(b"a file")
    kept.keep()
    assert "windows_left" in capsys.readouterr().err
    in_its_place.unlink()
    kept.keep()
    assert rows(stage) == 1


def test_what_is_said_of_the_newest_day_is_told(stage: Windowed) -> None:
    table, told = stage.windows, []
    judge = DayJudge(table, stage.counter, SETTINGS, {})
    kept = WindowKeeper(
        table,
        judge,
        Hand(),  # type: ignore[arg-type]
        retention_days=RETENTION_DAYS,
        merge=(0, 0),
        tell=lambda judged: told.append(judged.span.start),
    )
    stage.score(readings(600, days=3))
    kept.keep()
    assert told == sorted(told)
    assert len(told) == 2
    stage.score(readings(5, 4, days=1))
    kept.keep()
    assert len(told) == 2, "a day of last week was told of"
