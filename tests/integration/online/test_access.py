"""Who may read and write, over what, and what is said of it: an ACL user, a wrong password, TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from scoretrail.errors import StoreUnavailableError
from scoretrail.feature.online import OnlineValue, WriteResult, encode_value
from scoretrail.feature.online_redis import RedisAddress, RedisOnlineStore
from tests.factory import valkey_server
from tests.factory.valkey_server import ValkeyServer

DEADLINE_S = 10.0
SECRET = "no-one-may-see-this"  # noqa: S105  (of a server that lives for one test)
VALUE = OnlineValue("fs:v:s:0:e", 1, encode_value(1, 1, b"row"))
READER = b"+mget +ping"
WRITER = b"+evalsha +script|load +getrange +set"


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    with valkey_server.running(tmp_path) as server:
        yield server


def allow(server: ValkeyServer, user: str, commands: bytes) -> RedisOnlineStore:
    """Make an ACL user with some commands on our keys, and return its store."""
    line = b"ACL SETUSER %s on >%s ~fs:* %s\r\n" % (user.encode(), SECRET.encode(), commands)
    assert server.command(line) == b"+OK\r\n"
    return RedisOnlineStore(replace(server.address, username=user, password=SECRET))


def refusal(store: RedisOnlineStore, *, writes: bool = False, key: str = VALUE.key) -> StoreUnavailableError:
    with pytest.raises(StoreUnavailableError) as caught:
        store.write([VALUE]) if writes else store.read([key], DEADLINE_S)
    store.close()
    assert SECRET not in str(caught.value)
    assert key not in str(caught.value)
    return caught.value


def test_the_commands_that_the_docs_name_are_enough(valkey: ValkeyServer) -> None:
    writer, reader = allow(valkey, "writer", WRITER), allow(valkey, "reader", READER)

    assert writer.write([VALUE]) == WriteResult(1, 0)
    assert reader.read([VALUE.key], DEADLINE_S) == [VALUE.payload]
    reader.ping()

    writer.close()
    reader.close()


def test_a_reader_may_not_write_and_nobody_reads_other_keys(valkey: ValkeyServer) -> None:
    said = "the online store does not allow the user what is asked"
    assert refusal(allow(valkey, "reader", READER), writes=True).what == said
    assert refusal(allow(valkey, "reader", READER), key="other").what == said
    assert refusal(allow(valkey, "writer", WRITER)).what == said


def test_a_wrong_password_is_said_so_and_not_shown(valkey: ValkeyServer) -> None:
    allow(valkey, "reader", READER).close()
    address = replace(valkey.address, username="reader", password=SECRET[::-1])

    error = refusal(RedisOnlineStore(address))

    assert error.what == "the online store does not accept the user or the password"
    assert SECRET[::-1] not in str(error) + repr(address)


def test_a_password_alone_is_the_default_users(valkey: ValkeyServer) -> None:
    assert valkey.command(b"CONFIG SET requirepass %s\r\n" % SECRET.encode()) == b"+OK\r\n"
    store = RedisOnlineStore(replace(valkey.address, password=SECRET))
    store.ping()
    store.close()
    assert "password" in refusal(RedisOnlineStore(valkey.address)).what


def test_a_replica_takes_no_writes(valkey: ValkeyServer) -> None:
    assert valkey.command(b"REPLICAOF 127.0.0.1 1\r\n").startswith(b"+OK")
    assert valkey.command(b"CONFIG SET replica-serve-stale-data yes\r\n") == b"+OK\r\n"
    error = refusal(RedisOnlineStore(valkey.address), writes=True)
    assert error.what == "the online store is a replica and takes no writes"


def test_a_cluster_is_told_from_a_server(tmp_path: Path) -> None:
    with valkey_server.running(tmp_path, "--cluster-enabled", "yes") as server:
        assert server.command(b"CLUSTER ADDSLOTSRANGE 0 16383\r\n") == b"+OK\r\n"
        limit = time.monotonic() + 30
        while b"cluster_state:ok" not in server.command(b"CLUSTER INFO\r\n"):
            assert time.monotonic() < limit
            time.sleep(0.05)
        store = RedisOnlineStore(server.address)
        with pytest.raises(StoreUnavailableError, match="is a cluster"):
            store.read(["a", "b"], DEADLINE_S)
        store.close()


# --- TLS --------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def tls_before(server: ValkeyServer, certificate: trustme.LeafCert) -> Iterator[int]:
    """Listen with TLS on a free port and pass everything on to the server, which the wheel built without it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def serve(plain: socket.socket) -> None:
        with (
            plain,
            contextlib.suppress(OSError),
            context.wrap_socket(plain, server_side=True) as inner,
            socket.create_connection(("127.0.0.1", server.port)) as outer,
        ):
            back = threading.Thread(target=pump, args=(outer, inner))
            back.start()
            pump(inner, outer)
            back.join(30)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threads.append(threading.Thread(target=serve, args=(listener.accept()[0],)))
                threads[-1].start()

    threads: list[threading.Thread] = []
    listener = socket.create_server(("127.0.0.1", 0))
    first = threading.Thread(target=accept)
    first.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (first, *threads):
            thread.join(30)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def test_a_server_with_a_certificate_that_is_trusted_is_read_and_written(
    valkey: ValkeyServer, authority: trustme.CA, ca_file: str
) -> None:
    with tls_before(valkey, authority.issue_cert("127.0.0.1")) as port:
        store = RedisOnlineStore(RedisAddress(port=port, tls=True, ca_file=ca_file))
        keys = [f"fs:{i}" for i in range(3_000)]

        assert store.write(OnlineValue(key, 1, VALUE.payload) for key in keys) == WriteResult(3_000, 0)
        assert store.read(keys, DEADLINE_S) == [VALUE.payload] * 3_000

        store.close()


@pytest.mark.parametrize(
    ("identity", "trusted", "said"),
    [("127.0.0.1", False, "issuer"), ("localhost", True, "127.0.0.1")],
    ids=["of-an-authority-nobody-trusts", "for-another-name"],
)
def test_a_certificate_that_is_not_right_is_refused(
    valkey: ValkeyServer, authority: trustme.CA, ca_file: str, identity: str, trusted: bool, said: str
) -> None:
    issuer = authority if trusted else trustme.CA()
    with tls_before(valkey, issuer.issue_cert(identity)) as port:
        error = refusal(RedisOnlineStore(RedisAddress(port=port, tls=True, ca_file=ca_file)))

    assert "certificate verify failed" in str(error.got)
    assert said in str(error.got)
    assert str(error.where).endswith(" over TLS")


def test_tls_with_a_server_that_speaks_none_is_refused(valkey: ValkeyServer, ca_file: str) -> None:
    error = refusal(RedisOnlineStore(RedisAddress(port=valkey.port, tls=True, ca_file=ca_file)))
    assert error.what.startswith("the online store")


def test_certificates_that_cannot_be_read_are_said_so(valkey: ValkeyServer, tmp_path: Path) -> None:
    error = refusal(RedisOnlineStore(RedisAddress(port=valkey.port, tls=True, ca_file=str(tmp_path / "none.pem"))))
    assert error.what.startswith("the online store")
