"""The console script: what each way of failing prints and exits with, and what it does not import."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from jobs import cli
from scoretrail import __version__, config
from scoretrail.errors import ScoretrailError

#: What help may not load; typer itself loads pydantic, for groups.
HEAVY = {"deltalake", "numpy", "obstore", "onnx", "onnxruntime", "pandas", "pyarrow", "pyspark", "structlog", "yaml"}
LOADED = (
    "import sys; from jobs import cli; code = cli.run(sys.argv[1:]); print(*sys.modules, file=sys.stderr); exit(code)"
)


@pytest.fixture(autouse=True)
def _logs_of_their_own() -> Iterator[None]:
    """Forget the log's stream, which is closed when the test ends."""
    yield
    structlog.reset_defaults()


def program(
    *arguments: str, cwd: Path, entry: tuple[str, ...] = ("-m", "jobs.cli"), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own."""
    return subprocess.run(
        [sys.executable, *entry, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def loaded_by(*arguments: str, cwd: Path) -> set[str]:
    """Return the top-level names in ``sys.modules`` after a command line."""
    done = program(*arguments, cwd=cwd, entry=("-c", LOADED))
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stderr.splitlines()[-1].split()}


@pytest.mark.parametrize("arguments", [["--help"], ["model", "--help"], ["model", "register", "--help"], ["--version"]])
def test_help_loads_no_engine(tmp_path: Path, arguments: list[str]) -> None:
    assert loaded_by(*arguments, cwd=tmp_path) & HEAVY == set()


def test_a_list_of_models_loads_nothing_that_only_others_need(tmp_path: Path) -> None:
    loaded = loaded_by("model", "list", cwd=tmp_path)
    assert loaded & {"deltalake", "onnx", "pandas", "pyspark", "sqlglot"} == set()
    assert "obstore" in loaded


def test_every_command_explains_itself() -> None:
    runner = CliRunner()
    shown = runner.invoke(cli.app, ["--help"])
    assert shown.exit_code == 0
    for name in ("model", "config", "doctor"):
        assert name in shown.output
    for arguments in (["model"], ["config"]):
        help_of_group = runner.invoke(cli.app, arguments)
        assert help_of_group.exit_code == 2
        assert "Usage:" in help_of_group.output


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    done = program("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"scoretrail {__version__}\n")


def test_the_console_script_is_installed(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("scoretrail")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == f"scoretrail {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["modl"], ["model", "lst"], ["model", "list", "--jsn"], ["model", "show"], ["model", "list", "a", "b"]],
)
def test_a_command_line_that_is_none_exits_with_2(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "Error" in err


def test_an_error_of_ours_is_told_without_a_traceback(tmp_path: Path) -> None:
    done = program("model", "show", "models:/house/1.0.0", cwd=tmp_path)
    assert done.returncode == 65
    assert done.stdout == ""
    assert done.stderr.startswith("error: there is no house 1.0.0\n  where: ")
    assert "Traceback" not in done.stderr


def test_debug_adds_the_traceback(tmp_path: Path) -> None:
    done = program("model", "show", "models:/house/1.0.0", "--debug", cwd=tmp_path)
    assert done.returncode == 65
    assert "Traceback" in done.stderr
    assert "RegistryError" in done.stderr


def test_under_json_an_error_is_the_one_object(tmp_path: Path) -> None:
    done = program("model", "show", "models:/house/1.0.0", "--json", cwd=tmp_path)
    error = json.loads(done.stdout)["error"]
    assert (error["type"], error["exit_code"], done.returncode) == ("RegistryError", 65, 65)
    assert "error: there is no house 1.0.0" in done.stderr


def every_error(cls: type[ScoretrailError] = ScoretrailError) -> list[type[ScoretrailError]]:
    """Return all of our errors."""
    return [cls, *(found for sub in cls.__subclasses__() for found in every_error(sub))]


@pytest.mark.parametrize("cls", every_error(), ids=lambda cls: cls.__name__)
def test_the_class_of_an_error_is_the_exit_code(
    cls: type[ScoretrailError], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def load(*_: object, **__: object) -> None:
        raise cls("told", fix="mend")

    monkeypatch.setattr(config, "load", load)
    assert cli.run(["config", "show"]) == int(cls.exit_code)
    assert capfd.readouterr().err == "error: told\n  what to do: mend\n"


def test_what_nobody_foresaw_exits_with_1_and_tells_how_to_see_more(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def load(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(config, "load", load)
    assert cli.run(["config", "show", "--set", "a.b=c d"]) == 1
    err = capfd.readouterr().err
    assert "ZeroDivisionError: division by zero" in err
    assert "scoretrail --debug config show --set 'a.b=c d'" in err
    assert "Traceback" not in err
    assert cli.run(["config", "show", "--debug"]) == 1
    assert "Traceback" in capfd.readouterr().err


@pytest.mark.integration
def test_an_interrupt_exits_with_130_and_says_nothing_more(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "jobs.cli", "doctor"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "examining the environment\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in out + err


@pytest.mark.parametrize("arguments", [["config", "show"], ["config", "show", "--json"], ["--help"]])
def test_a_reader_that_went_away_is_no_news(tmp_path: Path, arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", *arguments],
        cwd=tmp_path,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(writer)
    assert done.returncode == 1
    assert "Broken" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stream_that_cannot_spell_a_letter_does_not_end_the_run(tmp_path: Path) -> None:
    done = program("config", "show", "--set", "registry.uri=münchen", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert r"m\xfcnchen" in done.stdout


def test_the_shell_completes_commands(tmp_path: Path) -> None:
    done = program(cwd=tmp_path, _SCORETRAIL_COMPLETE="complete_bash", COMP_WORDS="scoretrail mod", COMP_CWORD="1")
    assert done.stdout.split() == ["model"]
