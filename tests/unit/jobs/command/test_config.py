"""``scoretrail config show``."""

from pathlib import Path

import pytest

from tests.unit.jobs.command.conftest import Call


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    folder = tmp_path / "conf"
    (folder / "env").mkdir(parents=True)
    (folder / "base.yaml").write_text("batch: {tasks: 2, split_mib: 64}\nspark: {conf: {spark.ui.port: '4050'}}\n")
    (folder / "env" / "prod.yaml").write_text("batch: {tasks: 8}\n")
    return folder


def test_every_value_has_its_origin(call: Call, conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORETRAIL__REGISTRY__URI", "/models")
    monkeypatch.setenv("SCORETRAIL__STORAGE__OPTIONS__AWS_SECRET_ACCESS_KEY", "hunter2")
    answer = call("config", "show", "--origin", "--json", "--conf", conf, "--env", "prod", "--set", "log.level=error")
    settings = answer.object["settings"]
    assert settings["batch.tasks"] == {"value": 8, "origin": str(conf / "env" / "prod.yaml")}
    assert settings["batch.split_mib"] == {"value": 64, "origin": str(conf / "base.yaml")}
    assert settings["spark.conf.spark.ui.port"]["value"] == "4050"
    assert settings["registry.uri"] == {"value": "/models", "origin": "SCORETRAIL__REGISTRY__URI"}
    assert settings["log.level"] == {"value": "error", "origin": "command line"}
    assert settings["model.bits"] == {"value": "exact", "origin": "default"}
    assert "hunter2" not in answer.out + answer.err
    assert "aws_secret_access_key" in answer.out


def test_people_get_a_table_and_what_to_run_next(call: Call, conf: Path) -> None:
    answer = call("config", "show", "--conf", conf)
    assert answer.code == 0
    assert "batch.tasks" in answer.out
    assert "origin" not in answer.out
    assert answer.err == "next: scoretrail config show --origin\n"


def test_a_list_can_be_set(call: Call) -> None:
    answer = call("config", "show", "--json", "--set", 'registry.trusted_keys=["a.pem", "b.pem"]')
    assert answer.object["settings"]["registry.trusted_keys"] == ["a.pem", "b.pem"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--set", "batch.taks=2"], 78, "did you mean batch.tasks?"),
        (["--set", "batch.tasks=none"], 78, "command line"),
        (["--set", "batch.tasks"], 2, "SECTION.KEY=VALUE"),
        (["--set", "registry.trusted_keys=[a"], 2, "JSON"),
        (["--set", "storage.options.aws_secret_access_key=hunter2"], 2, "do not belong on a command line"),
        (["--env", "nowhere"], 78, "nowhere.yaml"),
        (["--conf", "nowhere"], 2, "does not exist"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told(call: Call, arguments: list[str], code: int, text: str) -> None:
    answer = call("config", "show", *arguments)
    assert answer.code == code
    assert text in answer.err
    assert "hunter2" not in answer.err
