"""What the DAGs share, piece by piece: failures, days, places, connections, messages, links."""

from __future__ import annotations

import json
import os
import stat
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import RetryAction
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from scoretrail_airflow import asset, command, deployment, failure, notice, occasion
from scoretrail_airflow.environment import ScoringEnvironment, connection
from scoretrail_airflow.link import DriftReportLink, RunRecordLink
from scoretrail_airflow.submit import SubmitOperator

if TYPE_CHECKING:
    from collections.abc import Iterator

ERROR = {
    "error": {"what": "the golden rows differ", "where": "models:/a/1.0.0", "expected": None, "got": "2", "fix": "x"}
}

HELD = {"type": "HeldError", "what": "run r is held", "got": "drift", "fix": "scoretrail runs release r"}
TASK = SimpleNamespace(dag_id="score_daily", task_id="score", run_id="manual__1", try_number=2, log_url="/log")
CONTEXT: Any = {"ti": TASK, "partition_key": "2013-12-02"}


@pytest.mark.parametrize(
    ("code", "action"),
    [(75, RetryAction.RETRY), (1, RetryAction.DEFAULT), (-9, RetryAction.DEFAULT), (137, RetryAction.DEFAULT)]
    + [(code, RetryAction.FAIL) for code in (2, 3, 65, 70, 78)],
)
def test_the_exit_code_decides_whether_it_is_tried_again(code: int, action: RetryAction) -> None:
    error = failure.failure_of(code, "scoretrail batch score", None)
    assert failure.RETRY_POLICY.evaluate(error, 1, 3).action is action


def test_a_failure_says_what_the_command_said() -> None:
    text = str(failure.failure_of(65, "scoretrail batch score", ERROR))
    assert text.splitlines() == [
        "scoretrail batch score: the golden rows differ (exit code 65, the data or the bundle is bad)",
        "  where: models:/a/1.0.0",
        "  got: 2",
        "  what to do: x",
    ]
    assert "ended by signal 9" in str(failure.failure_of(-9, "scoretrail batch score", None, "Killed"))
    assert "Killed" in str(failure.failure_of(-9, "scoretrail batch score", None, "Killed"))


def test_the_result_is_the_last_object_that_is_no_log_event() -> None:
    lines = ["starting Spark", '{"run_id": "1"}', '{"event": "run finished"}', "{half", "bye"]
    assert command.result_of(lines) == {"run_id": "1"}
    assert command.result_of(["nothing"]) is None


@pytest.mark.parametrize(
    ("said", "code", "held"),
    [
        (json.dumps({"error": HELD}), 3, True),
        ('{"error": {"type": "DifferenceError", "what": "no"}}', 3, False),
        ("", 65, False),
    ],
)
def test_only_a_run_that_is_held_ends_well_with_another_code_and_people_are_told(
    said: str, code: int, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(notice.Notice, "tell", lambda _, *texts: told.append(texts))
    operator = SubmitOperator(task_id="score", arguments=["batch", "score"])
    operator.application_args = ["batch", "score", "--output", "scores"]
    ended = AirflowException(
        f"Cannot execute: spark-submit x. Error code is: {code}.\nLast spark-submit output:\n{said}"
    )
    result = command.result_of([said])
    if held:
        assert operator._judged(ended, result, CONTEXT)["status"] == "held"
        ((text,),) = told
        assert text.splitlines() == [
            "score_daily.score is held",
            "run: manual__1, partition 2013-12-02",
            "run r is held",
            "  got: drift",
            "  what to do: look at its drift report, then scoretrail runs release r --table scores",
            "log: /log",
        ]
    else:
        with pytest.raises(failure.RefusedError, match=f"exit code {code}"):
            operator._judged(ended, result, CONTEXT)
        assert told == []


def test_what_is_no_exit_code_stays_what_it_is() -> None:
    operator = SubmitOperator(task_id="score", arguments=[])
    with pytest.raises(AirflowException, match="keytab"):
        operator._judged(AirflowException("Failed to save keytab"), None, CONTEXT)


def test_the_day_is_the_forms_or_the_partitions() -> None:
    assert occasion.day_of({"day": "2013-12-02"}, "2013-12-03") == "2013-12-02"
    assert occasion.day_of({"day": None}, "2013-12-03") == "2013-12-03"
    with pytest.raises(AirflowFailException, match="which day"):
        occasion.day_of({"day": None}, None)


@pytest.mark.parametrize("text", ["2013-02-30", "2013-12-2", "20131202", "yesterday", "2013-12-02/../.."])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(AirflowFailException, match="is no day"):
        occasion.checked_day(text)


@pytest.mark.parametrize("text", ["five o'clock", "2013-12-02T05:00", "2013-12-02"])
def test_what_is_no_time_is_refused(text: str) -> None:
    assert occasion.checked_time("2013-12-02T05:00Z") == "2013-12-02T05:00Z"
    with pytest.raises(AirflowFailException, match="is no time with a zone"):
        occasion.checked_time(text)


def test_a_run_id_begins_with_its_time_and_is_not_given_twice() -> None:
    one, other = occasion.new_run_id(), occasion.new_run_id()
    assert one != other
    assert one[8] == "T"
    assert one[:8].isdigit()


def test_a_deployment_is_asked_for_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_VAR_SCORETRAIL", json.dumps({"model": "m", "stored": {"a": "b"}, "records_marker": None})
    )
    found = deployment.Deployment.load()
    assert found.text("model") == "m"
    assert found.pairs("stored") == {"a": "b"}
    assert found.maybe("records_marker") is None
    assert found.maybe("features_marker") == "_scoretrail_build.json"
    assert found.texts("segments") == []
    assert found.slice_of("2013-12-02") == "ds=2013-12-02"
    for wrong in (lambda: found.text("scores"), lambda: found.text("stored"), lambda: found.texts("model")):
        with pytest.raises(AirflowFailException, match="the variable 'scoretrail' has no"):
            wrong()


@pytest.mark.parametrize("value", ["[1]", '"text"', "no JSON"])
def test_a_variable_that_is_something_else_is_told(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_SCORETRAIL", value)
    with pytest.raises(AirflowFailException, match="is no JSON"):
        deployment.Deployment.load()


def test_a_missing_variable_and_connection_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow.sdk.Variable.get", lambda *_, default, **__: default)
    with pytest.raises(AirflowFailException, match="the variable 'scoretrail' is not set"):
        deployment.Deployment.load()


def test_the_environment_of_a_command_has_no_secrets_of_airflow(
    scoretrail_connection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "secret")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    environment = ScoringEnvironment.load()
    variables = environment.variables()
    assert variables["A"] == "1"
    assert variables["PATH"].startswith(f"{scoretrail_connection}/venv/bin:")
    assert not [name for name in variables if name.startswith(("AIRFLOW", "PYTHONPATH"))]
    assert environment.place("a/b") == f"{scoretrail_connection}/a/b"
    assert environment.place("s3://a/b") == "s3://a/b"


def test_a_command_is_run_in_its_home_and_its_result_is_read(scoretrail_connection: Path) -> None:
    program = scoretrail_connection / "venv" / "bin" / "scoretrail"
    program.write_text('#!/bin/sh\necho "said" >&2\nprintf \'{"home": "%s", "words": "%s"}\\n\' "$PWD" "$*"\n')
    lines: list[str] = []
    log = SimpleNamespace(info=lambda text, *values: lines.append(text % values))
    result = command.run_command(ScoringEnvironment.load(), ["runs", "list"], log)
    assert result == {"home": str(scoretrail_connection), "words": "runs list --json"}
    assert lines == ["said"]


@pytest.mark.parametrize(
    ("code", "kind"), [(75, failure.TryAgainError), (78, failure.RefusedError), (1, failure.CommandError)]
)
def test_a_command_that_fails_says_why(scoretrail_connection: Path, code: int, kind: type[Exception]) -> None:
    program = scoretrail_connection / "venv" / "bin" / "scoretrail"
    program.write_text(f"#!/bin/sh\necho '{json.dumps(ERROR)}'\nexit {code}\n")
    with pytest.raises(kind, match="the golden rows differ"):
        command.run_command(ScoringEnvironment.load(), ["runs", "list"])


def test_a_missing_environment_is_told(scoretrail_connection: Path) -> None:
    (scoretrail_connection / "venv" / "bin" / "scoretrail").unlink()
    with pytest.raises(AirflowFailException, match="the scoring environment is missing"):
        ScoringEnvironment.load()


def test_a_connection_without_a_place_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SCORETRAIL", '{"conn_type": "generic", "extra": {"home": "/x"}}')
    with pytest.raises(AirflowFailException, match="got: no environment"):
        ScoringEnvironment.load()
    assert connection("scoretrail").extra_dejson == {"home": "/x"}


@pytest.fixture
def hook() -> Iterator[tuple[str, list[Any]]]:
    """A web hook, and what it got."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.append((self.path, self.headers["Authorization"], body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()


def test_a_failure_is_told_to_the_web_hook(monkeypatch: pytest.MonkeyPatch, hook: tuple[str, list[Any]]) -> None:
    address, got = hook
    fields = {"conn_type": "http", "host": address, "password": "token", "extra": {"path": "/services/1"}}
    monkeypatch.setenv("AIRFLOW_CONN_SCORETRAIL_ALERTS", json.dumps(fields))
    error = failure.failure_of(65, "scoretrail batch score", ERROR)
    failed: Any = {**CONTEXT, "exception": error}
    notice.Notice().notify(failed)
    ((path, authorisation, body),) = got
    assert (path, authorisation) == ("/services/1", "Bearer token")
    lines = body["text"].splitlines()
    assert lines[:2] == ["score_daily.score failed, try 2", "run: manual__1, partition 2013-12-02"]
    assert "the golden rows differ" in lines[2]
    assert lines[-1] == "log: /log"


def test_the_links_lead_to_the_plugin_and_quote_what_they_are_given() -> None:
    key: Any = SimpleNamespace(
        dag_id="score_daily", run_id="manual__2013-12-02T00:00:00+00:00", task_id="score", map_index=-1
    )
    operator = SubmitOperator(task_id="score", arguments=[], trail="scores/_scoretrail/1")
    run = "/scoretrail/score_daily/manual__2013-12-02T00%3A00%3A00%2B00%3A00/score/-1"
    assert RunRecordLink().get_link(operator, ti_key=key).endswith(f"{run}/run.json")
    assert DriftReportLink().get_link(operator, ti_key=key).endswith(f"{run}/evidently.html")
    operator.trail = None
    assert RunRecordLink().get_link(operator, ti_key=key) == ""


def test_an_event_carries_the_hashes_of_its_run() -> None:
    record = {
        "run_id": "r",
        "status": "published",
        "model": {"name": "m", "version": "1.0.0", "role": "champion", "bundle_sha256": "b", "score_digest": "s"},
        "input": {"data_sha256": "d", "slices": ["ds=1"]},
        "output": {"messages_sha256": "x", "table": "t", "table_version": 3},
        "rows": {"scored": 1},
        "drift": None,
    }
    extra = asset.scores_extra(record)
    assert (extra["model"], extra["bundle_sha256"], extra["data_sha256"], extra["drift"]) == ("m/1.0.0", "b", "d", None)
    assert json.loads(json.dumps(extra)) == extra


def test_the_home_of_the_tests_is_not_the_users() -> None:
    assert Path(os.environ["AIRFLOW_HOME"]).is_dir()
    assert stat.S_ISDIR(Path(os.environ["AIRFLOW_HOME"]).stat().st_mode)
    assert not os.environ["AIRFLOW_HOME"].startswith(str(Path.home() / "airflow"))
