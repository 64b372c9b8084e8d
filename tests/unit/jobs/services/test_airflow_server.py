import stat
from pathlib import Path

import pytest

from jobs.services.airflow_server import AirflowServer
from scoretrail.errors import DependencyError


def server(folder: Path, **settings: str) -> AirflowServer:
    return AirflowServer(
        folder=folder / "home", control=folder / "venv", dags=folder, plugins=folder, port=15000, settings=settings
    )


def test_what_is_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first = server(tmp_path).environment()
    assert server(tmp_path).environment() == first
    file = tmp_path / "home" / "secrets.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    keys = [first[f"AIRFLOW__{name}"] for name in ("CORE__FERNET_KEY", "API__SECRET_KEY", "API_AUTH__JWT_SECRET")]
    assert len(set(keys)) == len(keys)
    assert server(tmp_path).password not in repr(server(tmp_path))


def test_the_environment_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "somebody else's")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    made = server(tmp_path, AIRFLOW__API__WORKERS="2").environment()
    assert made["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert made["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert made["AIRFLOW__API__WORKERS"] == "2", "what is given wins"
    assert "PYTHONPATH" not in made


def test_without_the_control_environment_it_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(DependencyError) as caught:
        server(tmp_path).run("version")
    assert caught.value.fix == "make setup-control"
