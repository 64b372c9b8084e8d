"""``scoretrail drift report --window``: what a command line may say, and what comes of it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jobs.command.span import parse_span
from scoretrail.errors import UsageError
from tests.factory.watched import START_US, readings
from tests.factory.windowed import RETENTION_DAYS, Windowed
from tests.unit.jobs.command.conftest import Call

WEEK = "2013-12-02..2013-12-09"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Windowed:
    """A calm week and one that drifts."""
    found = Windowed(tmp_path_factory.mktemp("stage"))
    moved = pa.array(np.random.default_rng(5).normal(1.5, 1, 1400), pa.float32())
    found.score(readings(1400, 3, days=7, start_us=START_US))
    found.score(readings(1400, 4, days=7, start_us=START_US + 7 * 86_400_000_000, x=moved))
    found.windows.copy(RETENTION_DAYS)
    return found


def asked(stage: Windowed, *words: str) -> list[str]:
    place = ["--table", stage.archive.uri, "--set", f"registry.uri={stage.folder / 'registry'}"]
    return ["drift", "report", *words, *place, "--no-page", "--json"]


def test_a_window_of_the_stream(call: Call, stage: Windowed) -> None:
    found = call(*asked(stage, "--window", WEEK)).object
    assert (found["level"], found["rows"], found["rows_left_out"], found["role"]) == ("ok", 1400, 0, "champion")
    assert found["start"] == "2013-12-02T00:00:00.000000Z"
    assert found["page"] is None


def test_the_gate_says_no(call: Call, stage: Windowed) -> None:
    answer = call(*asked(stage, "--window", "2013-12-09..2013-12-16", "--gate"))
    assert (answer.code, answer.object["level"], "half" in answer.err) == (3, "drift", True)
    assert call(*asked(stage, "--window", WEEK, "--gate")).code == 0


def test_a_model_can_be_named(call: Call, stage: Windowed) -> None:
    found = call(*asked(stage, "--window", WEEK, "--model", "models:/readings/1.0.0")).object
    assert found["model_version"] == "1.0.0"


def test_what_is_asked_must_be_one_thing(call: Call, stage: Windowed) -> None:
    for words in ((), ("--run", "latest", "--window", WEEK)):
        answer = call(*asked(stage, *words))
        assert (answer.code, "either --run RUN or --window A..B" in answer.err) == (2, True)


def test_a_span_without_windows(call: Call, stage: Windowed) -> None:
    answer = call(*asked(stage, "--window", "2014-01-01..2014-01-02"))
    assert (answer.code, "no window of the stream" in answer.err) == (65, True)


def test_an_archive_without_windows(call: Call, tmp_path: Path) -> None:
    answer = call("drift", "report", "--window", WEEK, "--table", str(tmp_path / "none"))
    assert (answer.code, "there is no table here" in answer.err) == (65, True)


@pytest.mark.parametrize(
    "text",
    [
        "2013-12-02",
        "2013-12-02..",
        "2013-12-02..2013-12-02",
        "2013-12-09..2013-12-02",
        "2013-12-02T05:30Z..2013-12-03",
        "2013-12-02T05:00..2013-12-03",
        "monday..tuesday",
    ],
)
def test_a_span_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no span of time"):
        parse_span(text)


def test_an_hour_may_have_any_time_zone() -> None:
    assert parse_span("2013-12-02T05:00+05:00..2013-12-03") == parse_span("2013-12-02..2013-12-03T00:00Z")
