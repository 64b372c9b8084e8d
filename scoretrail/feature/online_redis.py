"""The online store on Redis or Valkey: one deadline over a whole read, and writes that the server orders."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

import redis
from redis.connection import Connection, SSLConnection

from scoretrail.errors import StoreUnavailableError
from scoretrail.feature.online import WriteResult, entity_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator, Sequence

    from scoretrail.feature.online import OnlineValue

READ_KEYS: Final = 512
"""Keys of one MGET: more at once make a reply that the server sends in one piece while others wait."""
PIPELINE_VALUES: Final = 2_000
"""Values between two waits for the server."""
SCRIPT_VALUES: Final = 100
"""Values of one call of the script, during which the server does nothing else."""
CONNECT_TIMEOUT_S: Final = 1.0
"""For a connection with its handshakes; a read does not wait for it beyond its own deadline."""
WRITE_TIMEOUT_S: Final = 10.0
"""For one pipeline."""
PING_TIMEOUT_S: Final = 1.0

_FAILURES: Final = (redis.RedisError, OSError, ValueError)
"""What redis-py raises; the last two where it met what it did not expect."""
_Item = TypeVar("_Item")
_SPECIAL: Final = re.compile(r"[*?\[\]\\^]")
_ESCAPED: Final = r"\\\g<0>"

# Bytes 2 to 17 of a value are its two times, in an order in which a greater byte is later (`online.ORDER`). Compared
# byte by byte: Lua's numbers lose what lies beyond 2**53, and its strings are compared by locale.
_WRITE: Final = """
local older = 0
for i, key in ipairs(KEYS) do
  local old, new = redis.call('GETRANGE', key, 0, 16), ARGV[i]
  local keep = false
  for at = 2, #old do
    local a, b = string.byte(old, at), string.byte(new, at)
    if a ~= b then
      keep = a > b
      break
    end
  end
  if keep then
    older = older + 1
  else
    redis.call('SET', key, new)
  end
end
return older
"""
_WRITE_SHA1: Final = hashlib.sha1(_WRITE.encode(), usedforsecurity=False).hexdigest()
"""The name that EVALSHA knows the script by."""


@dataclass(frozen=True, kw_only=True)
class RedisAddress:
    """Where a server is and how one is let in; secrets are given by the caller and never shown."""

    host: str = "127.0.0.1"
    port: int = 6379
    database: int = 0
    username: str | None = None
    """An ACL user with keys ``~fs:*``: to read ``+mget +ping``, to write ``+evalsha +script|load +getrange +set``."""
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    """Check the server's certificate and its name; nothing turns the check off."""
    ca_file: str | None = None
    """Certificates to trust; None: the system's."""
    certificate_file: str | None = None
    key_file: str | None = None
    """Of the client, where the server asks for one."""
    connect_s: float = CONNECT_TIMEOUT_S


class RedisOnlineStore:
    """Keeps values on one server, or behind one address that leads to a primary.

    A Redis Cluster is not spoken to: the keys of a micro-batch lie in many of its slots, and it answers MGET and
    scripts for one slot only (``CROSSSLOT``, which is reported as such). Where one server is too small, give views
    addresses of their own, or put a proxy that splits MGET before the cluster.
    """

    def __init__(self, address: RedisAddress, *, read_keys: int = READ_KEYS) -> None:
        """Say where the server is; it is asked for nothing yet.

        Args:
            address: where it is.
            read_keys: keys of one MGET at most.
        """
        self._address = address
        self._read_keys = read_keys
        self._connection: _Connection | None = None
        self._opening: _Opening | None = None

    def read(self, keys: Sequence[str], deadline_s: float) -> list[bytes | None]:
        """Return the value of each key, in order; None where there is none.

        All MGETs are sent before the first answer is read. A connection that the server closed while it was idle is
        made anew once, within the same deadline.

        Args:
            keys: as :func:`~scoretrail.feature.online.online_key` made them.
            deadline_s: the answer is here within so many seconds, or there is an error.

        Raises:
            StoreUnavailableError: no server, no answer in time, or a refusal.
        """
        if not keys:
            return []
        until = time.monotonic() + deadline_s
        commands = [("MGET", *chunk) for chunk in _parts(keys, self._read_keys)]
        replies = self._ask(commands, until, again=self._is_used)
        return list(chain.from_iterable(replies))

    def write(self, values: Iterable[OnlineValue]) -> WriteResult:
        """Write values, each only where the store holds no newer one; the server compares and writes in one step.

        Raises:
            StoreUnavailableError: no server, no answer in time, or a refusal; some of the values may be written, and
                writing all of them again is right.
        """
        written = older = 0
        for part in _parts(values, PIPELINE_VALUES):
            kept = sum(self._write_part(part))
            written, older = written + len(part) - kept, older + kept
        return WriteResult(written, older)

    def erase(self, entity: str) -> int:
        """Remove every value of an entity, of all views, sets and layouts; return how many there were.

        The server's keys are gone through, so it takes a while; its user needs ``+scan +del`` for it.

        Raises:
            StoreUnavailableError: no server, no answer in time, or a refusal; erasing again is right.
        """
        pattern, cursor, gone = f"fs:*:*:*:{_SPECIAL.sub(_ESCAPED, entity)}", b"0", 0
        while True:
            command = ("SCAN", cursor, "MATCH", pattern, "COUNT", PIPELINE_VALUES)
            ((cursor, keys),) = self._ask([command], time.monotonic() + WRITE_TIMEOUT_S, again=self._is_used)
            # A pattern cannot say that no colon comes before the entity.
            if keys := [key for key in keys if entity_of(key.decode()) == entity]:
                (removed,) = self._ask([("DEL", *keys)], time.monotonic() + WRITE_TIMEOUT_S)
                gone += removed
            if cursor == b"0":
                return gone

    def ping(self) -> None:
        """Return if the server answers.

        Raises:
            StoreUnavailableError: no server, no answer in time, or a refusal.
        """
        self._ask([("PING",)], time.monotonic() + PING_TIMEOUT_S, again=self._is_used)

    def close(self) -> None:
        """Give up the connection; the next call makes a new one."""
        if self._opening is not None:
            self._opening.abandon()
        if self._connection is not None:
            self._connection.disconnect()
        self._opening = self._connection = None

    @property
    def _is_used(self) -> bool:
        """Whether the next request meets a connection that may have been closed since it was made."""
        return self._connection is not None or self._opening is not None

    def _write_part(self, values: Sequence[OnlineValue]) -> list[int]:
        until = time.monotonic() + WRITE_TIMEOUT_S
        commands = [
            ("EVALSHA", _WRITE_SHA1, len(some), *(one.key for one in some), *(one.payload for one in some))
            for some in _parts(values, SCRIPT_VALUES)
        ]
        try:
            return self._ask(commands, until, again=self._is_used)
        except StoreUnavailableError as error:
            if not isinstance(error.__cause__, redis.exceptions.NoScriptError):
                raise
        # A server that was restarted, or that was never written to, does not know the script. What the calls before
        # the refused one wrote is written again, which changes nothing.
        self._ask([("SCRIPT", "LOAD", _WRITE)], until)
        return self._ask(commands, until)

    def _ask(self, commands: Sequence[tuple[Any, ...]], until: float, *, again: bool = False) -> list[Any]:
        """Return the server's replies, in order.

        Args:
            commands: each a name and its arguments; all of them may be sent twice.
            until: the deadline, in monotonic seconds.
            again: ask once more, on a new connection, if the one there is turns out to be closed.

        Raises:
            StoreUnavailableError: no server, no answer in time, or a refusal.
        """
        while True:
            try:
                return self._exchange(commands, until)
            except _FAILURES as error:
                # Only a plain ConnectionError: its subclasses are refusals, and a timeout has used the time up.
                if not again or type(error) is not redis.ConnectionError:
                    failure = _translated(error, self._address)
                    raise failure from error
            again = False

    def _exchange(self, commands: Sequence[tuple[Any, ...]], until: float) -> list[Any]:
        """Send commands and return their replies; whatever fails costs the connection.

        A reply that is left unread would be taken for the answer to the next request.
        """
        connection = self._connected(until)
        try:
            connection.until = until
            connection.send_packed_command([b"".join(connection.pack_commands(commands))], check_health=False)
            return [connection.read_response() for _ in commands]
        except BaseException:
            self._connection = None
            connection.disconnect()
            raise

    def _connected(self, until: float) -> _Connection:
        """Return the connection, made in a thread: neither a name server nor a handshake can hold a read up.

        Raises:
            TimeoutError: it is not there by the deadline; it goes on being made, for the next call.
            error: why it could not be made.
        """
        if self._connection is not None:
            return self._connection
        opening = self._opening
        if opening is None or opening.has_failed:
            # A failure from before this call says nothing about the server now.
            opening = self._opening = _Opening(_make(self._address), self._address.connect_s)
            opening.start()
        opening.join(max(until - time.monotonic(), 0))
        if opening.is_alive():
            raise redis.TimeoutError
        self._opening = None
        if opening.error is not None:
            raise opening.error
        self._connection = opening.connection
        return opening.connection


class _Connection(Connection):
    """A connection whose every receive and send ends at one deadline.

    The timeout of a socket counts for each receive, so a server that drips a byte at a time is never too late for it.
    """

    until = 0.0

    def _connect(self) -> socket.socket:
        return _BoundedSocket(super()._connect(), self)  # type: ignore[return-value]


class _TlsConnection(_Connection, SSLConnection):
    """The same over TLS: its handshake lies below and ends within the connection's timeout as a whole."""


class _BoundedSocket:
    """A socket that is given what is left until its connection's deadline, each time."""

    def __init__(self, plain: socket.socket, connection: _Connection) -> None:
        self._plain = plain
        self._connection = connection

    def recv(self, *args: Any) -> bytes:  # noqa: ANN401
        self._plain.settimeout(self._left_s())
        return self._plain.recv(*args)

    def recv_into(self, *args: Any) -> int:  # noqa: ANN401
        self._plain.settimeout(self._left_s())
        return self._plain.recv_into(*args)

    def sendall(self, data: bytes) -> None:
        # Over TLS, sendall would have its timeout for each piece.
        rest = memoryview(data)
        while rest:
            self._plain.settimeout(self._left_s())
            rest = rest[self._plain.send(rest) :]

    def _left_s(self) -> float:
        left_s = self._connection.until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._plain, name)


class _Opening(threading.Thread):
    """Makes a connection; ends by itself, by the timeouts, or when the name server gives up."""

    def __init__(self, connection: _Connection, limit_s: float) -> None:
        super().__init__(name="online-store-connect", daemon=True)
        self.connection = connection
        self._limit_s = limit_s
        self.error: Exception | None = None
        self._is_abandoned = False

    @property
    def has_failed(self) -> bool:
        return not self.is_alive() and self.error is not None

    def run(self) -> None:
        self.connection.until = time.monotonic() + self._limit_s
        try:
            self.connection.connect()
        except _FAILURES as error:
            self.error = error
        if self._is_abandoned:
            self.connection.disconnect()

    def abandon(self) -> None:
        """Let the connection go, whether it is there already or will be."""
        self._is_abandoned = True
        if not self.is_alive():
            self.connection.disconnect()


def _make(address: RedisAddress) -> _Connection:
    arguments: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "db": address.database,
        "username": address.username,
        "password": address.password,
        "socket_connect_timeout": address.connect_s,
        "socket_timeout": address.connect_s,
        "retry": None,
        "protocol": 2,  # no notifications between the replies
        "driver_info": None,  # one round trip less, and an ACL user need not be allowed it
    }
    if not address.tls:
        return _Connection(**arguments)
    return _TlsConnection(
        **arguments,
        ssl_ca_certs=address.ca_file,
        ssl_certfile=address.certificate_file,
        ssl_keyfile=address.key_file,
        ssl_cert_reqs="required",
        ssl_check_hostname=True,
    )


def _parts(items: Iterable[_Item], size: int) -> Iterator[tuple[_Item, ...]]:
    rest = iter(items)
    while part := tuple(islice(rest, size)):
        yield part


def _translated(error: Exception, address: RedisAddress) -> StoreUnavailableError:
    """Return our error; a server's own text only where it cannot hold keys or values."""
    for cls, what, fix in _MEANINGS:
        if isinstance(error, cls):
            got = str(error) if cls is redis.ConnectionError else None
            return StoreUnavailableError(f"the online store {what}", where=_where(address), got=got, fix=fix)
    return StoreUnavailableError(
        "the online store refused", where=_where(address), got=type(error).__name__, fix="look at the server's log"
    )


_MEANINGS: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (redis.TimeoutError, "did not answer in time", "is the server up, and has it too much to do?"),
    (redis.AuthenticationError, "does not accept the user or the password", "look at both where they are set"),
    (redis.exceptions.NoPermissionError, "does not allow the user what is asked", "look at the user's ACL"),
    (redis.exceptions.ReadOnlyError, "is a replica and takes no writes", "give the primary's address"),
    (redis.exceptions.OutOfMemoryError, "has no memory left", "raise its maxmemory, or remove old layouts"),
    (redis.exceptions.ClusterCrossSlotError, "is a cluster", "give the address of one server, or of a proxy"),
    (redis.exceptions.MovedError, "is a cluster", "give the address of one server, or of a proxy"),
    (redis.exceptions.NoScriptError, "does not keep the script that writes", "is somebody flushing its scripts?"),
    (redis.exceptions.BusyLoadingError, "is loading its data", "wait for it"),
    (redis.ConnectionError, "is not reachable", "is the server up, and does the address lead to it?"),
)
"""What an exception says of the store, the special ones first."""


def _where(address: RedisAddress) -> str:
    return f"{address.host}:{address.port}{' over TLS' if address.tls else ''}"
