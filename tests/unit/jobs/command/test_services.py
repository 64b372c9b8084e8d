"""``scoretrail services``, as far as nothing is started."""

from pathlib import Path

from jobs.command.services import environment_of, topics_of
from jobs.services.development import Standing
from scoretrail.setting import StreamSettings
from tests.unit.jobs.command.conftest import Call


def standing(name: str, *, reachable: bool) -> Standing:
    return Standing(name=name, address="127.0.0.1:7", pid=1, reachable=reachable, log="log")


def test_the_topics_are_those_of_the_settings() -> None:
    settings = StreamSettings(input=("a", "b"), predictions="p", dead_letters="d", control="c")
    assert topics_of(settings, 3) == {"a": 3, "b": 3, "a.redrive": 3, "b.redrive": 3, "p": 3, "d": 3, "c": 1}
    assert "c" not in topics_of(settings.model_copy(update={"control": None}), 3)


def test_only_what_answers_is_exported() -> None:
    both = [standing("kafka", reachable=True), standing("valkey", reachable=True)]
    assert environment_of(both) == {
        "SCORETRAIL__KAFKA__BOOTSTRAP": '["127.0.0.1:7"]',
        "SCORETRAIL__ONLINE__URI": "redis://127.0.0.1:7/0",
    }
    assert environment_of([standing("kafka", reachable=False)]) == {}


def test_status_and_down_where_nothing_runs(call: Call, tmp_path: Path) -> None:
    answer = call("services", "status", "--json")
    assert answer.code == 0
    assert [(one["name"], one["running"], one["reachable"]) for one in answer.object["services"]] == [
        ("kafka", False, False),
        ("valkey", False, False),
    ]
    assert answer.object["environment"] == {}
    assert "kafka" in call("services", "status").out
    assert call("services", "down", "--json").object == {"stopped": [], "purged": False}


def test_topics_say_that_no_broker_answers(call: Call) -> None:
    answer = call("services", "topics", "--set", 'kafka.bootstrap=["127.0.0.1:1"]')
    assert answer.code == 75
    assert "no broker answers" in answer.err
