"""What is seen of one broker's port and certificate, and what topics must have."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from jobs.stream.cluster import Topic
from jobs.stream.preflight import Seen, _limits, _reached, check_limits, check_topics
from scoretrail.errors import ConfigurationError
from scoretrail.setting import KafkaSettings, StreamSettings

NAMES = ("events", "predictions", "dead-letters")


@contextlib.contextmanager
def listening(certificate: trustme.LeafCert | None = None) -> Iterator[str]:
    """Accept connections, by TLS where there is a certificate, and say nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
    if certificate and context:
        certificate.configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def accept() -> None:
            with contextlib.suppress(OSError):
                plain, _ = server.accept()
                with plain if context is None else context.wrap_socket(plain, server_side=True):
                    pass

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)


def look(address: str, **settings: object) -> list[Seen]:
    values = {"bootstrap": (address,), "bootstrap_s": 2, "security": "SSL", **settings}
    return list(_reached(address, KafkaSettings(**values)))  # type: ignore[arg-type]


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


def test_a_port_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    (seen,) = look(address)
    assert (seen.ok, seen.name) == (False, f"tcp {address}")
    assert "refused" in seen.text


def test_a_good_certificate(authority: trustme.CA, ca_file: str) -> None:
    with listening(authority.issue_cert("127.0.0.1")) as address:
        tcp, tls = look(address, ca_file=ca_file)
    assert (tcp.ok, tls.ok) == (True, True)
    assert "valid until" in tls.text


def test_a_certificate_of_another_authority_is_named(authority: trustme.CA, ca_file: str) -> None:
    with listening(trustme.CA().issue_cert("127.0.0.1")) as address:
        _, tls = look(address, ca_file=ca_file)
    assert not tls.ok
    assert "issuer" in tls.text or "self-signed" in tls.text


def test_a_self_signed_chain_is_named(authority: trustme.CA) -> None:
    with listening(authority.issue_cert("127.0.0.1")) as address:
        _, tls = look(address)  # the system's authorities only
    assert not tls.ok


def test_an_expired_certificate_is_named(authority: trustme.CA, ca_file: str) -> None:
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    with listening(authority.issue_cert("127.0.0.1", not_after=past)) as address:
        _, tls = look(address, ca_file=ca_file)
    assert (tls.ok, "expired" in tls.text) == (False, True)


def test_a_certificate_of_another_host_is_named(authority: trustme.CA, ca_file: str) -> None:
    with listening(authority.issue_cert("elsewhere.example")) as address:
        _, tls = look(address, ca_file=ca_file)
        assert (tls.ok, "match" in tls.text) == (False, True)
    with listening(authority.issue_cert("elsewhere.example")) as address:
        assert look(address, ca_file=ca_file, check_hostname=False)[1].ok


def test_a_port_without_tls_is_named(ca_file: str) -> None:
    with listening() as address:
        _, tls = look(address, ca_file=ca_file)
    assert not tls.ok
    assert "TLS" in tls.fix


def test_a_certificate_file_that_is_not_there() -> None:
    with listening() as address:
        _, tls = look(address, ca_file="/nowhere/ca.pem")
    assert not tls.ok


def topics(**limits: int | None) -> dict[str, Topic]:
    return {name: Topic(name, 1, frozenset(), limits.get(name.replace("-", "_"), 1_048_588)) for name in NAMES}


def test_a_topic_that_is_missing_is_named() -> None:
    there = topics()
    del there["predictions"]
    with pytest.raises(ConfigurationError, match="no topic 'predictions'"):
        check_topics(there, StreamSettings())
    assert check_topics(topics(), StreamSettings()) == topics()


def test_a_topic_of_dead_letters_without_room_is_refused() -> None:
    check_limits(topics(), StreamSettings(), KafkaSettings())
    check_limits(topics(dead_letters=None), StreamSettings(), KafkaSettings())
    with pytest.raises(ConfigurationError, match="no room"):
        check_limits(topics(dead_letters=1000), StreamSettings(), KafkaSettings())


def test_a_limit_that_is_smaller_than_the_inputs_is_named() -> None:
    (seen,) = _limits(topics(events=500_000, dead_letters=600_000), KafkaSettings(), StreamSettings())
    assert seen.fix == ""
    (seen,) = _limits(topics(events=600_000, dead_letters=500_000), KafkaSettings(), StreamSettings())
    assert "without their value" in seen.fix
    assert not list(_limits(topics(dead_letters=None), KafkaSettings(), StreamSettings()))
