"""What counts as an answer of a broker and of a store, and what does not."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from jobs.services.port import is_free
from jobs.services.probe import kafka_answers, redis_answers


@contextlib.contextmanager
def answering(answer: bytes | None) -> Iterator[int]:
    """Listen, and answer the first request with these bytes; None closes without a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1024)
                if answer:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(10)


def brokers(number: int) -> bytes:
    return struct.pack(">iiii", 99, 1, 0, number)


@pytest.mark.parametrize(
    ("answer", "expected"), [(brokers(1), True), (brokers(0), False), (b"HTTP/1.1 400", False), (None, False)]
)
def test_a_broker_answers_once_it_counts_itself(answer: bytes | None, expected: bool) -> None:
    with answering(answer) as port:
        assert kafka_answers("127.0.0.1", port) is expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"+PONG\r\n", True),
        (b"-NOAUTH Authentication required.\r\n", True),
        (b"-LOADING Valkey is loading the dataset in memory\r\n", False),
        (None, False),
    ],
)
def test_a_store_answers_even_if_it_wants_a_password(answer: bytes | None, expected: bool) -> None:
    with answering(answer) as port:
        assert redis_answers("127.0.0.1", port) is expected


def test_a_store_without_tls_does_not_answer_to_tls() -> None:
    with answering(b"-ERR unknown command\r\n") as port:
        assert redis_answers("127.0.0.1", port, tls=True) is False


def test_nobody_at_all_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)
    assert not kafka_answers("127.0.0.1", port)
    assert not redis_answers("127.0.0.1", port)
