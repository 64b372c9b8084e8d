"""A real Valkey: passwords, users, certificates, freezing, and what survives a crash."""

from pathlib import Path

import pytest
import redis
import trustme

from jobs.services.service import Service
from jobs.services.valkey_server import TlsFiles
from tests.factory.services import Redis, StartService


def client(service: Service, **options: object) -> redis.Redis:
    host, _, port = service.address.partition(":")
    return redis.Redis(host, int(port), socket_timeout=1, retry=None, **options)  # type: ignore[arg-type]


def test_the_shared_store_takes_and_gives(valkey: Redis) -> None:
    with redis.Redis.from_url(valkey.uri) as connected:
        connected.set("test-services:a", b"\x00\xff")
        assert connected.get("test-services:a") == b"\x00\xff"


def test_a_password_is_demanded(start_valkey: StartService) -> None:
    password = 'se "cret'  # noqa: S105
    service = start_valkey(password=password)
    with client(service, password=password) as connected:
        assert connected.ping()
    with client(service) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    service.stop()


def test_a_user_may_do_what_its_line_says(start_valkey: StartService, tmp_path: Path) -> None:
    users = tmp_path / "users.acl"
    users.write_text("user default off\nuser reader on >pass ~fs:* +@read +ping\n")
    service = start_valkey(acl_file=users)
    with client(service, username="reader", password="pass") as connected:  # noqa: S106
        assert connected.get("fs:a") is None
        with pytest.raises(redis.exceptions.NoPermissionError):
            connected.set("fs:a", 1)
        with pytest.raises(redis.exceptions.NoPermissionError):
            connected.get("other")
    service.stop()


def test_with_certificates_it_speaks_tls_only(start_valkey: StartService, tmp_path: Path) -> None:
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    own.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    files = TlsFiles(certificate=tmp_path / "certificate.pem", key=tmp_path / "key.pem", ca=tmp_path / "ca.pem")
    service = start_valkey(tls=files)
    with client(service, ssl=True, ssl_ca_certs=str(files.ca)) as connected:
        assert connected.ping()
    with client(service) as plain, pytest.raises(redis.ConnectionError):
        plain.ping()
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    with client(service, ssl=True, ssl_ca_certs=str(other)) as deceived, pytest.raises(redis.ConnectionError):
        deceived.ping()
    service.stop()


def test_a_frozen_one_keeps_its_connections(start_valkey: StartService) -> None:
    service = start_valkey()
    with client(service) as connected:
        assert connected.ping()
        service.pause()
        with pytest.raises(redis.TimeoutError):
            connected.ping()
        service.resume()
        assert connected.ping()
    service.stop()


@pytest.mark.parametrize("persistent", [False, True])
def test_values_survive_a_crash_only_if_asked(start_valkey: StartService, persistent: bool) -> None:
    service = start_valkey(persistent=persistent, settings={"appendfsync": "always"})
    with client(service) as connected:
        connected.set("a", 1)
    service.kill()
    service.restart()
    with client(service) as connected:
        assert connected.get("a") == (b"1" if persistent else None)
    service.stop()
