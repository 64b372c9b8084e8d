"""One SASL login, spoken by hand: the client library passes on that it failed, and not what the broker said of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
from typing import TYPE_CHECKING, Final

from jobs.stream.preflight.seen import Seen

if TYPE_CHECKING:
    import socket

    from scoretrail.setting import KafkaSettings

_HANDSHAKE: Final = 17
_AUTHENTICATE: Final = 36
_UNSUPPORTED: Final = 33
"""What a broker answers to a mechanism that is not among its own."""
_INT_BYTES: Final = 4
_NONCE_BYTES: Final = 24
_MAX_FRAME_BYTES: Final = 65_536
"""A longer answer is none of Kafka's."""
_CREDENTIALS: Final = "check kafka.username and kafka.password"
_LISTENER: Final = "compare kafka.security with what this listener of the broker speaks"


def look_at_login(connected: socket.socket, address: str, kafka: KafkaSettings) -> Seen:
    """Return what a broker says to our user; the connection is of no use afterwards.

    Args:
        connected: an open connection, by TLS where the settings say so.
        address: of the broker.
        kafka: has user and password, neither of which is told but the user.
    """
    name = f"sasl {address}"
    try:
        known = _handshake(connected, kafka.mechanism)
        if kafka.mechanism not in known:
            text = f"{kafka.mechanism} is not offered: {', '.join(known) or 'nothing is'}"
            return Seen(name, ok=False, text=text, fix="set kafka.mechanism to one that is offered")
        refused = _authenticate(connected, kafka)
    except (OSError, EOFError, struct.error, ValueError) as error:
        # Not a word of what was received: it may be anything.
        told = "the broker closed the connection" if isinstance(error, EOFError) else type(error).__name__
        return Seen(name, ok=False, text=f"no answer to the login: {told}", fix=_LISTENER)
    if refused:
        return Seen(name, ok=False, text=refused, fix=_CREDENTIALS)
    return Seen(name, ok=True, text=f"{kafka.mechanism} as {kafka.username}")


def _handshake(connected: socket.socket, mechanism: str) -> list[str]:
    """Return the mechanisms that the broker offers.

    Raises:
        ValueError: it answers something else.
    """
    answer = _asked(connected, _HANDSHAKE, 1, _text(mechanism))
    code, count = struct.unpack_from(">hi", answer)
    if code not in {0, _UNSUPPORTED}:
        raise ValueError(code)
    found, at = [], struct.calcsize(">hi")
    for _ in range(count):
        (length,) = struct.unpack_from(">h", answer, at)
        found.append(answer[at + 2 : at + 2 + length].decode())
        at += 2 + length
    return found


def _authenticate(connected: socket.socket, kafka: KafkaSettings) -> str:
    """Return why the broker refuses the user, in its words; empty where it does not."""
    user = kafka.username or ""
    password = kafka.password.get_secret_value() if kafka.password else ""
    if kafka.mechanism == "PLAIN":
        return _answered(connected, f"\0{user}\0{password}".encode())[0]
    scram = _Scram(kafka.mechanism.removeprefix("SCRAM-").replace("-", "").lower(), user, password)
    refused, first = _answered(connected, scram.first())
    return refused or _answered(connected, scram.final(first))[0]


def _answered(connected: socket.socket, data: bytes) -> tuple[str, bytes]:
    """Return why the broker refuses, and what it says for the next step."""
    answer = _asked(connected, _AUTHENTICATE, 0, struct.pack(">i", len(data)) + data)
    code, length = struct.unpack_from(">hh", answer)
    at = struct.calcsize(">hh") + max(length, 0)
    message = answer[struct.calcsize(">hh") : at].decode()
    (size,) = struct.unpack_from(">i", answer, at)
    at += _INT_BYTES
    return (message or f"error {code}") if code else "", answer[at : at + max(size, 0)]


def _asked(connected: socket.socket, key: int, version: int, body: bytes) -> bytes:
    """Return what a broker answers to one request, after the correlation id.

    Raises:
        ValueError: what comes is no answer of Kafka's.
    """
    request = struct.pack(">hhi", key, version, 0) + _text("preflight") + body
    connected.sendall(struct.pack(">i", len(request)) + request)
    (length,) = struct.unpack(">i", _received(connected, _INT_BYTES))
    if not _INT_BYTES <= length <= _MAX_FRAME_BYTES:
        raise ValueError(length)
    return _received(connected, length)[_INT_BYTES:]


def _received(connected: socket.socket, size: int) -> bytes:
    """Return so many bytes.

    Raises:
        EOFError: the connection was closed before.
    """
    data = b""
    while len(data) < size:
        more = connected.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">h", len(data)) + data


class _Scram:
    """The client's two messages of SCRAM (RFC 5802), without channel binding."""

    def __init__(self, algorithm: str, user: str, password: str) -> None:
        self._algorithm = algorithm
        self._password = password.encode()
        escaped = user.replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={escaped},r={base64.b64encode(secrets.token_bytes(_NONCE_BYTES)).decode()}"

    def first(self) -> bytes:
        """Return the first message."""
        return f"n,,{self._bare}".encode()

    def final(self, server_first: bytes) -> bytes:
        """Return the proof that we know the password."""
        told = dict(part.split("=", 1) for part in server_first.decode().split(","))
        salt, rounds = base64.b64decode(told["s"]), int(told["i"])
        salted = hashlib.pbkdf2_hmac(self._algorithm, self._password, salt, rounds)
        key = self._mac(salted, b"Client Key")
        without_proof = f"c={base64.b64encode(b'n,,').decode()},r={told['r']}"
        signed = f"{self._bare},{server_first.decode()},{without_proof}".encode()
        signature = self._mac(hashlib.new(self._algorithm, key).digest(), signed)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def _mac(self, key: bytes, data: bytes) -> bytes:
        return hmac.digest(key, data, self._algorithm)
