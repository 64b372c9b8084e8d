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
from pydantic import SecretStr

from jobs.stream.kafka.cluster import Topic
from jobs.stream.preflight.login import look_at_login
from jobs.stream.preflight.preflight import _limits, _login_fix, _reached, check_limits, check_topics, preflight
from jobs.stream.preflight.seen import Seen
from scoretrail.errors import ConfigurationError
from scoretrail.setting import KafkaSettings, OnlineSettings, StreamSettings

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


def test_a_limit_that_may_not_be_read_is_said_to_be_unseen() -> None:
    (seen,) = _limits(topics(dead_letters=None), KafkaSettings(), StreamSettings())
    assert (seen.ok, seen.text.startswith("not seen")) == (True, True)


def test_nothing_is_claimed_of_a_login_that_nobody_got_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    seen = preflight(KafkaSettings(bootstrap=(address,), bootstrap_s=1), StreamSettings())
    assert [one.name for one in seen] == [f"tcp {address}"]


def test_a_certificate_that_is_wrong_ends_the_look_even_where_the_port_answers(ca_file: str) -> None:
    with listening(trustme.CA().issue_cert("127.0.0.1")) as address:
        kafka = KafkaSettings(bootstrap=(address,), bootstrap_s=2, security="SSL", ca_file=ca_file)
        seen = preflight(kafka, StreamSettings())
    assert [(one.name, one.ok) for one in seen] == [(f"tcp {address}", True), (f"tls {address}", False)]


def test_credentials_are_blamed_only_where_they_were_refused() -> None:
    assert "kafka.password" in _login_fix("[Error 58] SaslAuthenticationFailedError: Authentication failed")
    assert "kafka.password" not in _login_fix("Connection reset by peer")


def test_a_port_that_hangs_up_on_a_login_is_not_taken_for_a_wrong_password() -> None:
    with listening() as address:
        kafka = KafkaSettings(
            bootstrap=(address,),
            bootstrap_s=2,
            security="SASL_PLAINTEXT",
            username="scorer",
            password=SecretStr("hunter2"),
        )
        tcp, sasl = preflight(kafka, StreamSettings())
    assert (tcp.ok, sasl.ok, sasl.name) == (True, False, f"sasl {address}")
    assert sasl.text.startswith("no answer to the login")
    assert "password" not in sasl.fix
    assert "hunter2" not in repr(sasl)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\x04abcd", b"\0\0\0\x0a" + bytes(10), b""]
)
def test_what_is_no_answer_of_kafkas_is_said_and_not_shown(answer: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        kafka = KafkaSettings(security="SASL_PLAINTEXT", username="scorer", password=SecretStr("hunter2"))
        seen = look_at_login(ours, "broker:9092", kafka)
    assert not seen.ok
    assert "HTTP" not in seen.text


def test_a_store_that_does_not_answer_is_named_beside_the_brokers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    kafka = KafkaSettings(bootstrap=(address,), bootstrap_s=1)
    seen = preflight(kafka, StreamSettings(), OnlineSettings(uri=f"redis://{address}/0"))
    assert (seen[-1].name, seen[-1].ok) == ("store", False)
    assert "not reachable" in seen[-1].text
    wrong = preflight(kafka, StreamSettings(), OnlineSettings(uri="redis://user:hunter2@store/0"))[-1]
    assert (wrong.ok, "hunter2" in repr(wrong)) == (False, False)
