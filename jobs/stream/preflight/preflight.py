"""Looks at every requirement of a worker before it starts, one by one: names what it saw, and claims nothing else."""

from __future__ import annotations

import logging
import socket
import ssl
from typing import TYPE_CHECKING, Final

from jobs.stream.kafka.cluster import KafkaCluster
from jobs.stream.message.redrive_header import redrive_topics
from jobs.stream.preflight.login import look_at_login
from jobs.stream.preflight.right import look_at_rights
from jobs.stream.preflight.seen import Seen
from jobs.stream.preflight.store import look_at_store
from scoretrail.errors import ConfigurationError, ScoretrailError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jobs.stream.kafka.cluster import Topic
    from scoretrail.setting import KafkaSettings, OnlineSettings, StreamSettings

_DEFAULT_PORT: Final = 9092
_DEAD_LETTER_BYTES: Final = 4096
"""What our headers add to a dead letter, rounded up."""


def preflight(kafka: KafkaSettings, stream: StreamSettings, online: OnlineSettings | None = None) -> list[Seen]:
    """Return what was seen, in the order in which one thing needs another; it ends where nothing more can be seen.

    Args:
        kafka: the brokers.
        stream: topics and group.
        online: the online store; None leaves it out.
    """
    return [*_brokers(kafka, stream), *(look_at_store(online) if online else ())]


def _brokers(kafka: KafkaSettings, stream: StreamSettings) -> list[Seen]:
    found: list[Seen] = []
    for address in kafka.bootstrap:
        found += _reached(address, kafka)
    if not any(_is_open(address, found) for address in kafka.bootstrap):
        return found
    heard = _Heard()
    with heard:
        try:
            cluster = KafkaCluster(kafka)
        except ScoretrailError as error:
            # The client reports its own time limit only; the reason was logged by its connection.
            why = heard.reasons() or error.got or error.what
            return [*found, Seen("login", ok=False, text=why, fix=_login_fix(why))]
    with cluster:
        found.append(Seen("login", ok=True, text=f"{kafka.security} as {kafka.username or 'nobody'}"))
        return [*found, *_topics(cluster, kafka, stream), *look_at_rights(cluster, stream)]


def _is_open(address: str, found: Sequence[Seen]) -> bool:
    """Tell whether everything that was looked at of one broker is as it should be."""
    looked = [one for one in found if one.name.endswith(f" {address}")]
    return bool(looked) and all(one.ok for one in looked)


def _login_fix(why: str) -> str:
    if "uthentication" in why or "Sasl" in why:
        return "check kafka.username, kafka.password, kafka.mechanism"
    return "compare kafka.security with what this listener of the broker speaks"


def check_topics(topics: Mapping[str, Topic], stream: StreamSettings) -> Mapping[str, Topic]:
    """Return the topics, all of which are there.

    Raises:
        ConfigurationError: one is not, or this user may not see it.
    """
    for name in (*stream.input, *redrive_topics(stream), stream.predictions, stream.dead_letters):
        if name not in topics:
            raise ConfigurationError(
                f"there is no topic {name!r}, or this user may not see it",
                where="stream.input, stream.predictions, stream.dead_letters",
                got=", ".join(sorted(topics)) or "no topic",
                fix=f"create it, or allow this user to Describe {name}",
            )
    return topics


def check_limits(topics: Mapping[str, Topic], stream: StreamSettings, kafka: KafkaSettings) -> None:
    """Compare what the topics take.

    Raises:
        ConfigurationError: the topic of dead letters has not even room for one without its value.
    """
    limit = topics[stream.dead_letters].max_message_bytes
    smallest = min(kafka.max_request_bytes, limit or kafka.max_request_bytes)
    if smallest < _DEAD_LETTER_BYTES:
        raise ConfigurationError(
            f"topic {stream.dead_letters!r} has no room for a dead letter",
            where="its max.message.bytes, kafka.max_request_bytes",
            expected=f"at least {_DEAD_LETTER_BYTES} bytes",
            got=f"{smallest} bytes",
        )


def _reached(address: str, kafka: KafkaSettings) -> Iterator[Seen]:
    """Yield what TCP, TLS and SASL say of one broker."""
    host, _, port = address.rpartition(":")
    try:
        plain = socket.create_connection((host or address, int(port or _DEFAULT_PORT)), timeout=kafka.bootstrap_s)
    except (OSError, ValueError) as error:
        yield Seen(f"tcp {address}", ok=False, text=str(error), fix="check kafka.bootstrap, and that the broker runs")
        return
    with plain:
        yield Seen(f"tcp {address}", ok=True, text="connects")
        if kafka.security.endswith("SSL"):
            yield from _secured(plain, host, address, kafka)
        elif kafka.security.startswith("SASL"):
            yield look_at_login(plain, address, kafka)


def _secured(plain: socket.socket, host: str, address: str, kafka: KafkaSettings) -> Iterator[Seen]:
    secured = _wrapped(plain, host, address, kafka)
    if isinstance(secured, Seen):
        yield secured
        return
    with secured:
        until = (secured.getpeercert() or {}).get("notAfter", "an unknown day")
        yield Seen(f"tls {address}", ok=True, text=f"certificate valid until {until}")
        if kafka.security.startswith("SASL"):
            yield look_at_login(secured, address, kafka)


def _wrapped(plain: socket.socket, host: str, address: str, kafka: KafkaSettings) -> ssl.SSLSocket | Seen:
    """Return the connection over TLS, or what is wrong with it."""
    name = f"tls {address}"
    try:
        context = ssl.create_default_context(cafile=kafka.ca_file)
        context.check_hostname = kafka.check_hostname
        if kafka.cert_file:
            password = kafka.key_password.get_secret_value() if kafka.key_password else None
            context.load_cert_chain(kafka.cert_file, kafka.key_file, password)
        return context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        # OpenSSL names it: expired, self-signed, unknown issuer, another host.
        return Seen(name, ok=False, text=error.verify_message, fix="check kafka.ca_file and the broker's certificate")
    except ssl.SSLError as error:
        return Seen(
            name, ok=False, text=error.reason or str(error), fix="check that this port of the broker speaks TLS"
        )
    except OSError as error:
        return Seen(name, ok=False, text=str(error), fix="check that this port speaks TLS, and the certificate files")


def _topics(cluster: KafkaCluster, kafka: KafkaSettings, stream: StreamSettings) -> Iterator[Seen]:
    reads = (*stream.input, *redrive_topics(stream))
    needed = dict.fromkeys(reads, "READ") | dict.fromkeys((stream.predictions, stream.dead_letters), "WRITE")
    try:
        topics = cluster.topics(needed)
    except ScoretrailError as error:
        yield Seen("topics", ok=False, text=error.got or error.what, fix="allow this user to Describe the topics")
        return
    for name, operation in needed.items():
        topic = topics.get(name)
        if topic is None:
            yield Seen(f"topic {name}", ok=False, text="not there, or not visible to this user", fix=f"create {name}")
            continue
        yield Seen(f"topic {name}", ok=True, text=f"{topic.partitions} partitions")
        allowed = operation in topic.operations or "ALL" in topic.operations
        if not topic.operations:
            yield Seen(f"acl {name}", ok=True, text="not seen: the broker does not say what this user may do")
        else:
            text = ", ".join(sorted(topic.operations))
            yield Seen(
                f"acl {name}", ok=allowed, text=text, fix="" if allowed else f"allow this user to {operation} it"
            )
    yield from _limits(topics, kafka, stream)


def _limits(topics: Mapping[str, Topic], kafka: KafkaSettings, stream: StreamSettings) -> Iterator[Seen]:
    dead = topics.get(stream.dead_letters)
    if dead is None:
        return
    if dead.max_message_bytes is None:
        unseen = "not seen: this user may not read its configuration (DescribeConfigs)"
        yield Seen(f"size {stream.dead_letters}", ok=True, text=unseen)
        return
    room = min(dead.max_message_bytes, kafka.max_request_bytes) - _DEAD_LETTER_BYTES
    for name in stream.input:
        topic = topics.get(name)
        if topic is None or topic.max_message_bytes is None:
            continue
        fits = topic.max_message_bytes <= room
        text = f"takes {topic.max_message_bytes} bytes, {stream.dead_letters} has room for {room}"
        # No failure: a larger event's dead letter says its digest and position in place of its bytes.
        fix = "" if fits else "the largest dead letters will come without their value; raise max.message.bytes there"
        yield Seen(f"size {name}", ok=True, text=text, fix=fix)


class _Heard(logging.Handler):
    """The exceptions that kafka-python's connections log and its clients swallow."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._reasons: list[str] = []
        self._logger = logging.getLogger("kafka.net.manager")

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        self._reasons += [str(one) for one in arguments if isinstance(one, Exception)]

    def reasons(self) -> str:
        return "; ".join(dict.fromkeys(self._reasons))[:300]

    def __enter__(self) -> None:
        self._logger.addHandler(self)

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
