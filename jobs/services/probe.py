"""Whether a server at an address does its work: one request by hand, so that a look needs no client library."""

from __future__ import annotations

import socket
import ssl
import struct
from typing import Final

_LIMIT_S: Final = 1.0
_METADATA: Final = struct.pack(">hhihiB", 3, 4, 1, -1, 0, 0)
"""Metadata, version 4: correlation 1, no client id; of no topic, creating none."""
_ANSWER: Final = struct.Struct(">iiii")
"""Size, correlation, throttle time, number of brokers."""
_INLINE_PING: Final = b"PING\r\n"
_ALIVE: Final = (b"+PONG", b"-NOAUTH", b"-NOPERM")
"""Asking who we are is an answer; loading its data (``-LOADING``) is none yet."""


def kafka_answers(host: str, port: int) -> bool:
    """Tell whether a broker without encryption counts itself among the brokers: then it takes and gives records."""
    try:
        with socket.create_connection((host, port), _LIMIT_S) as connection:
            connection.settimeout(_LIMIT_S)
            connection.sendall(struct.pack(">i", len(_METADATA)) + _METADATA)
            answer = b""
            while len(answer) < _ANSWER.size:
                received = connection.recv(_ANSWER.size - len(answer))
                if not received:
                    return False
                answer += received
    except OSError:
        return False
    brokers: int = _ANSWER.unpack(answer)[3]
    return brokers > 0


def redis_answers(host: str, port: int, *, tls: bool = False) -> bool:
    """Tell whether a Redis or Valkey answers to PING, with an answer or with the demand for a password."""
    try:
        with socket.create_connection((host, port), _LIMIT_S) as plain:
            plain.settimeout(_LIMIT_S)
            with _unproven().wrap_socket(plain) if tls else plain as connection:
                connection.sendall(_INLINE_PING)
                return connection.recv(64).startswith(_ALIVE)
    except OSError:
        return False


def _unproven() -> ssl.SSLContext:
    # Whether it answers is asked here, not whether it is the one that it says it is; no secret is sent.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
