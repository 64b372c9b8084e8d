"""The proxy of the storms does what they rely on: it passes, delays, drips, swallows, cuts and heals."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from jobs.services.port import free_port
from tests.factory.proxy import Proxy


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy before a server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server, Proxy(server.getsockname()[1]) as found:
        thread = threading.Thread(target=echo, args=(server,), daemon=True)
        thread.start()
        yield found
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def echo(server: socket.socket) -> None:
    def answer(client: socket.socket) -> None:
        with client:
            while data := client.recv(1000):
                client.sendall(data)

    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(client,), daemon=True).start()


def connect(proxy: Proxy, limit_s: float = 10) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), limit_s)


def ask(client: socket.socket, data: bytes = b"hello") -> float:
    """Send, wait until all came back, and return the seconds."""
    began = time.monotonic()
    client.sendall(data)
    got = b""
    while len(got) < len(data):
        more = client.recv(1000)
        assert more, "cut"
        got += more
    assert got == data
    return time.monotonic() - began


def test_it_passes_delays_and_drips(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert ask(client) < 0.2
        proxy.delay_s = 0.2
        assert ask(client) >= 0.4  # both ways
        proxy.heal()
        proxy.drip_s = 0.02
        assert ask(client) >= 4 * 0.02  # the last byte has waited for the others
        proxy.heal()
        assert ask(client) < 0.2


def test_what_it_swallows_comes_late(proxy: Proxy) -> None:
    with connect(proxy, 0.3) as client:
        ask(client)
        proxy.swallow()
        time.sleep(0.05)
        client.sendall(b"hello")
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.heal()
        client.settimeout(10)
        assert client.recv(5) == b"hello"


def test_after_a_cut_new_connections_are_taken(proxy: Proxy) -> None:
    with connect(proxy) as client, connect(proxy) as again:
        ask(client)
        proxy.cut()
        assert client.recv(1) == b""
        assert again.recv(1) == b""
    with connect(proxy) as client:
        ask(client)


def test_without_a_server_a_connection_is_closed() -> None:
    with Proxy(free_port()) as proxy, connect(proxy) as client:
        assert client.recv(1) == b""
