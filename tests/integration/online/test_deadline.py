"""A read ends at its deadline, whatever the server does, and nothing of it is left for the next one."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.services.port import free_port
from scoretrail.errors import Disposition, ExitCode, StoreUnavailableError
from scoretrail.feature.online import OnlineValue, encode_value
from scoretrail.feature.online_redis import RedisAddress, RedisOnlineStore
from tests.factory import valkey_server
from tests.factory.valkey_server import ValkeyServer

DEADLINE_S = 0.05
DECISION_S = 0.1
"""What the issue allows from the question to the decision, at that deadline."""
PATIENCE_S = 10.0
"""Where an answer is expected, and its speed is not what is tested."""

Answer = Callable[[socket.socket], None]


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[RedisAddress]:
    """Listen on a free port and hand each connection to ``answer``, in a thread of its own."""
    stopped = threading.Event()

    def serve(plain: socket.socket) -> None:
        with plain, contextlib.suppress(OSError):
            answer(plain)
            stopped.wait(30)

    def accept(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(plain,)))
                threads[-1].start()

    threads: list[threading.Thread] = []
    listener = socket.create_server(("127.0.0.1", 0))
    first = threading.Thread(target=accept, args=(listener,))
    first.start()
    try:
        yield RedisAddress(port=listener.getsockname()[1])
    finally:
        stopped.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        first.join(30)
        for thread in threads:
            thread.join(30)


def dripping(interval_s: float, size: int = 1000) -> Answer:
    """Answer one MGET of one key, a byte at a time: each byte comes well within any timeout of a receive."""

    def answer(plain: socket.socket) -> None:
        plain.recv(65_536)
        for byte in b"*1\r\n$%d\r\n" % size + b"x" * size + b"\r\n":
            plain.sendall(bytes([byte]))
            time.sleep(interval_s)

    return answer


def silent(plain: socket.socket) -> None:
    """Take what comes and say nothing."""
    plain.recv(65_536)


def deaf(plain: socket.socket) -> None:
    """Not even take what comes."""


def decision_s(store: RedisOnlineStore, keys: list[str] | None = None, deadline_s: float = DEADLINE_S) -> float:
    """Return how long a read took that had to fail."""
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError) as caught:
        store.read(keys or ["k"], deadline_s)
    took_s = time.monotonic() - started
    assert caught.value.disposition is Disposition.RETRY
    assert caught.value.exit_code is ExitCode.RETRY
    assert str(caught.value.where).startswith("127.0.0.1:")
    return took_s


def least(*times_s: float) -> float:
    """Return the shortest of several tries: another process may take the processor away from one of them."""
    return min(times_s)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    with valkey_server.running(tmp_path) as server:
        yield server


@pytest.mark.parametrize("answer", [dripping(0.005), silent, deaf], ids=["dripping", "silent", "deaf"])
def test_a_server_that_is_too_slow_is_cut_off_at_the_deadline(answer: Answer) -> None:
    with serving(answer) as address:
        store = RedisOnlineStore(address)
        took_s = [decision_s(store) for _ in range(5)]
        store.close()

    assert all(one >= DEADLINE_S * 0.99 for one in took_s)
    assert least(*took_s) <= DECISION_S


def test_the_control_a_timeout_of_each_receive_alone_lets_a_dripping_server_take_its_time() -> None:
    from redis.connection import Connection

    with serving(dripping(0.005, 200)) as address:
        plain = Connection(port=address.port, socket_timeout=DEADLINE_S, protocol=2, driver_info=None)
        plain.send_command("MGET", "k")
        started = time.monotonic()
        (found,) = plain.read_response()
        took_s = time.monotonic() - started
        plain.disconnect()

    assert found == b"x" * 200
    assert took_s > 10 * DEADLINE_S


def test_a_frozen_server_is_cut_off_on_a_known_and_on_a_new_connection(valkey: ValkeyServer) -> None:
    store = RedisOnlineStore(valkey.address)
    store.ping()
    with valkey.frozen():
        known, *new = (decision_s(store) for _ in range(4))
    assert least(known, *new) <= DECISION_S
    assert max(known, *new) < 1

    assert store.read(["k"], PATIENCE_S) == [None]
    store.close()


def test_one_deadline_holds_for_all_the_chunks_of_a_read(valkey: ValkeyServer) -> None:
    store = RedisOnlineStore(valkey.address, read_keys=10)
    keys = [f"key {i}" for i in range(200)]
    assert store.read(keys, PATIENCE_S) == [None] * 200
    with valkey.frozen():
        assert least(*(decision_s(store, keys) for _ in range(3))) <= DECISION_S
    store.close()


def test_requests_larger_than_the_sockets_buffers_end_in_time(valkey: ValkeyServer) -> None:
    store = RedisOnlineStore(valkey.address)
    keys = ["k" * 10_000 + str(i) for i in range(2_000)]
    assert store.read(keys, PATIENCE_S) == [None] * 2_000
    with valkey.frozen():
        assert least(*(decision_s(store, keys, 0.2) for _ in range(3))) <= 0.4
    store.close()


def test_no_late_answer_is_taken_for_the_next_ones(valkey: ValkeyServer) -> None:
    """The server answers what it was asked before once it wakes up; nobody may be listening."""
    store = RedisOnlineStore(valkey.address)
    values = {name: encode_value(1, 1, name.encode()) for name in ("a", "b")}
    store.write(OnlineValue(name, 1, payload) for name, payload in values.items())

    for _ in range(5):
        with valkey.frozen():
            decision_s(store, ["a"])
        assert store.read(["b"], PATIENCE_S) == [values["b"]]
        assert store.read(["a", "b"], PATIENCE_S) == [values["a"], values["b"]]
    store.close()


def test_a_slow_answer_to_one_read_never_reaches_another() -> None:
    """The same against a server that answers exactly one request behind."""

    def late(plain: socket.socket) -> None:
        asked = 0
        while plain.recv(65_536):
            asked += 1
            if asked > 1:
                plain.sendall(b"*1\r\n$3\r\nold\r\n")

    with serving(late) as address:
        store = RedisOnlineStore(address)
        for _ in range(3):
            decision_s(store)
        store.close()


def test_nobody_there_is_said_at_once() -> None:
    store = RedisOnlineStore(RedisAddress(port=free_port()))
    with pytest.raises(StoreUnavailableError, match="is not reachable") as caught:
        store.read(["secret key"], PATIENCE_S)
    assert "secret key" not in str(caught.value)
    assert "refused" in str(caught.value.got)


def test_a_name_server_that_does_not_answer_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    look_up = socket.getaddrinfo

    def stuck(*arguments: object, **options: object) -> object:
        released.wait(30)
        return look_up(*arguments, **options)  # type: ignore[arg-type]

    with serving(silent) as address:
        monkeypatch.setattr(socket, "getaddrinfo", stuck)
        store = RedisOnlineStore(address)
        took_s = [decision_s(store) for _ in range(3)]
        waiting = [thread for thread in threading.enumerate() if thread.name == "online-store-connect"]
        store.close()
        released.set()
        for thread in waiting:
            thread.join(30)

    assert least(*took_s) <= DECISION_S
    assert len(waiting) == 1, "later reads wait for the same attempt"


def test_a_server_that_comes_up_later_is_found(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path, free_port())
    store = RedisOnlineStore(server.address)
    decision_s(store)
    server.start()
    try:
        valkey_server.wait_until_answered(store)
        assert store.read(["k"], PATIENCE_S) == [None]
    finally:
        store.close()
        server.stop()


@pytest.mark.parametrize("reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b":what\r\n", b"*x\r\n", b"*1\r\n!\r\n"])
def test_what_is_no_redis_is_no_store(reply: bytes) -> None:
    def answer(plain: socket.socket) -> None:
        plain.recv(65_536)
        plain.sendall(reply)

    with serving(answer) as address:
        store = RedisOnlineStore(address)
        with pytest.raises(StoreUnavailableError):
            store.read(["k"], PATIENCE_S)
        store.close()


def test_a_connection_that_is_cut_in_the_middle_of_an_answer_is_an_error() -> None:
    def answer(plain: socket.socket) -> None:
        plain.recv(65_536)
        plain.sendall(b"*2\r\n$3\r\nabc\r\n$3\r\nd")
        plain.shutdown(socket.SHUT_RDWR)

    with serving(answer) as address:
        store = RedisOnlineStore(address)
        with pytest.raises(StoreUnavailableError, match="is not reachable"):
            store.read(["k", "l"], PATIENCE_S)
        store.close()


def test_nothing_stays_open(valkey: ValkeyServer) -> None:
    """With warnings as errors, a socket that was forgotten fails here."""
    for _ in range(3):
        store = RedisOnlineStore(valkey.address)
        store.ping()
        with valkey.frozen():
            decision_s(store)
        store.close()
        del store
    gc.collect()
