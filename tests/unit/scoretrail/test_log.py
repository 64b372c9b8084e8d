from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from scoretrail import log


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def test_events_are_json_on_standard_error_and_standard_output_stays_free(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")

    log.get(run_id="r1").info(log.RUN_FINISHED, rows=3)

    out, err = capsys.readouterr()
    event = json.loads(err)
    assert out == ""
    assert {key: event[key] for key in ("event", "level", "rows", "run_id")} == {
        "event": "run_finished",
        "level": "info",
        "rows": 3,
        "run_id": "r1",
    }
    assert event["timestamp"].endswith("Z")


def test_an_error_is_logged_with_its_traceback_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")

    try:
        raise ValueError("wrong")  # noqa: TRY301  (a traceback is what is wanted)
    except ValueError:
        log.get().exception(log.RUN_FINISHED)

    assert json.loads(capsys.readouterr().err)["exception"][0]["exc_type"] == "ValueError"


def test_what_lies_below_the_level_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("warning", "json")

    log.get().info(log.RUN_PLANNED)
    log.get().warning(log.PUBLISH_CONFLICT)

    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["publish_conflict"]


def test_auto_is_json_unless_a_person_watches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log.configure("info", "auto")
    log.get().info(log.RUN_PLANNED)
    assert json.loads(capsys.readouterr().err)["event"] == "run_planned"

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    log.configure("info", "auto")
    log.get().info(log.RUN_PLANNED, files=2)
    line = capsys.readouterr().err
    assert "run_planned" in line
    with pytest.raises(json.JSONDecodeError):
        json.loads(line)


def test_where_nobody_configured_logs_only_warnings_appear_and_on_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.get().debug(log.BUNDLE_LOADED)
    log.get(a=1).warning(log.PUBLISH_CONFLICT)

    out, err = capsys.readouterr()
    assert out == ""
    assert [json.loads(line)["event"] for line in err.splitlines()] == ["publish_conflict"]


def test_a_configuration_by_the_application_is_left_alone() -> None:
    with structlog.testing.capture_logs() as events:
        log.get(a=1).info(log.RUN_PLANNED)

    assert events == [{"event": "run_planned", "log_level": "info", "a": 1}]


def test_event_names_are_unique_and_speakable() -> None:
    constants: dict[str, Any] = {
        key: value for key, value in vars(log).items() if key.isupper() and key != "TYPE_CHECKING"
    }

    assert len(set(constants.values())) == len(constants)
    assert [value for key, value in constants.items() if value != key.lower()] == []
